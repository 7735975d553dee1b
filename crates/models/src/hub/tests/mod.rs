//! A hub on loopback: what it is asked, and what becomes of what it sends.

mod pulling;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::remote::Secret;
use crate::remote::tests::server::{Act, Seen, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &[u8] = b"sixteen bytes of weights, and then some more of them";
const TOKEN: &str = "hf_secret_0123456789";

/// A model's files, and how the hub lists them.
fn files() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"version\":\"1.0\"}".to_vec()),
        ("1_Pooling/config.json", b"{\"pooling_mode_cls_token\":true}".to_vec()),
        ("model.safetensors", WEIGHTS.to_vec()),
        ("README.md", b"not asked for".to_vec()),
    ])
}

fn hash(digest: Digest, bytes: &[u8]) -> String {
    let mut hasher = digest.hasher(bytes.len() as u64);
    hasher.update(bytes);
    match hasher.finish() {
        Digest::Sha256(hex) | Digest::GitBlob(hex) => hex,
    }
}

fn sha256(bytes: &[u8]) -> String {
    hash(Digest::Sha256(String::new()), bytes)
}

fn git(bytes: &[u8]) -> String {
    hash(Digest::GitBlob(String::new()), bytes)
}

/// The listing, as the hub writes it.
fn listing() -> Value {
    let siblings = files().into_iter().map(|(name, bytes)| match name {
        "model.safetensors" => json!({
            "rfilename": name, "size": bytes.len(), "blobId": git(b"a pointer"),
            "lfs": {"sha256": sha256(&bytes), "size": bytes.len(), "pointerSize": 134},
        }),
        _ => json!({"rfilename": name, "size": bytes.len(), "blobId": git(&bytes)}),
    });
    json!({"id": "o/n", "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()})
}

/// What the hub does with a request that goes well.
fn serve(seen: &Seen) -> Vec<Act> {
    if seen.path.contains("/api/models/") {
        return vec![Act::json(200, &[], &listing())];
    }
    match files().iter().find(|(name, _)| seen.path.ends_with(&format!("/resolve/{COMMIT}/{name}"))) {
        Some((_, bytes)) => vec![part(seen, bytes)],
        None => vec![Act::json(404, &[("x-error-code", "EntryNotFound")], &json!({}))],
    }
}

/// A file, or the part of it that was asked for.
fn part(seen: &Seen, bytes: &[u8]) -> Act {
    let from = from(seen);
    let body = &bytes[from.min(bytes.len())..];
    let (status, range) = match from {
        0 => (200, String::new()),
        _ => (206, format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{range}\r\n", body.len());
    Act::Write([head.as_bytes(), body].concat())
}

/// The first byte that was asked for.
fn from(seen: &Seen) -> usize {
    let range = seen.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    range.map_or(0, |from| from.parse().unwrap())
}

fn is_weights(seen: &Seen) -> bool {
    seen.path.ends_with("model.safetensors")
}

fn hub(server: &Server, folder: &Path) -> Hub {
    Hub::new(config(&server.url(), folder))
}

fn config(url: &str, folder: &Path) -> HubConfig {
    HubConfig {
        endpoint: url.parse().unwrap(),
        token: Some(Secret::new(TOKEN).unwrap()),
        offline: false,
        folder: folder.to_owned(),
        backoff: Duration::from_millis(1),
    }
}

fn repository(written: &str) -> Repository {
    match format!("hf:{written}").parse().unwrap() {
        ModelSource::Hub(repository) => repository,
        ModelSource::Path(_) => unreachable!(),
    }
}

async fn pull(hub: &Hub) -> Result<Snapshot, HubError> {
    hub.pull(&repository("o/n"), &|_| ()).await
}

/// The paths that were asked for, by their last part.
fn asked(server: &Server) -> Vec<String> {
    server.seen().iter().map(|seen| seen.path.rsplit('/').next().unwrap().to_owned()).collect()
}
