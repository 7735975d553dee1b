//! The files that come with the pages, built in. A file's name carries the digest of its content, so that a browser may
//! keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Where each comes from and under which licence stands in `assets/README.md`.
const FILES: [(&str, &str, &[u8]); 9] = [
    ("dashboard.css", "text/css; charset=utf-8", include_bytes!("../../assets/dashboard.css")),
    ("dashboard.js", SCRIPT, include_bytes!("../../assets/dashboard.js")),
    ("charts.js", SCRIPT, include_bytes!("../../assets/charts.js")),
    ("review.js", SCRIPT, include_bytes!("../../assets/review.js")),
    ("sprat.svg", "image/svg+xml", include_bytes!("../../assets/sprat.svg")),
    ("htmx.min.js", SCRIPT, include_bytes!("../../assets/htmx.min.js")),
    ("uPlot.iife.min.js", SCRIPT, include_bytes!("../../assets/uPlot.iife.min.js")),
    ("uPlot.min.css", "text/css; charset=utf-8", include_bytes!("../../assets/uPlot.min.css")),
    ("licences.txt", "text/plain; charset=utf-8", include_bytes!("../../assets/licences.txt")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

struct Asset {
    name: &'static str,
    url: String,
    kind: &'static str,
    content: &'static [u8],
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.map(of).into_iter().collect());

fn of((name, kind, content): (&'static str, &'static str, &'static [u8])) -> Asset {
    let digest: String = Sha256::digest(content).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    Asset { name, url: format!("/assets/{stem}.{digest}.{ending}"), kind, content }
}

/// Where a file is found; empty where there is none of that name, which a test would show.
pub fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// `GET /assets/NAME.DIGEST.ENDING`.
pub async fn asset(Path(file): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.url.strip_prefix("/assets/") == Some(file.as_str()));
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (head, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_an_address_that_changes_with_its_content() {
        for (name, kind, content) in FILES {
            assert!(url(name).starts_with("/assets/"), "{name}");
            assert_ne!(of((name, kind, content)).url, of((name, kind, b"other")).url);
        }
        assert_eq!(url("nobody.js"), "");
    }
}
