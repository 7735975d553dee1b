//! Who may look, and who may change anything. The pages are for whoever sits at this machine; the danger is another
//! website open in the same browser.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::frame::Trouble;

/// Nothing from elsewhere, nothing inline, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request in, and dresses its reply.
pub async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let response = match refusal(request.method(), request.headers(), host) {
        Some(why) => Trouble::Refused(why.to_owned()).into_response(),
        None => next.run(request).await,
    };
    dressed(response)
}

/// Why a request is refused; `None` where it isn't.
fn refusal(method: &Method, headers: &HeaderMap, host: Option<&str>) -> Option<&'static str> {
    let Some(host) = host.filter(|host| is_no_name_of_others(host)) else {
        return Some(
            "The dashboard answers only to this machine’s own addresses. Open it as http://127.0.0.1 with its port, or \
             through a tunnel that ends there.",
        );
    };
    let only_looks = matches!(*method, Method::GET | Method::HEAD);
    (!only_looks && !is_from_our_own_pages(headers, host))
        .then_some("Only the dashboard’s own pages may change anything here; this came from somewhere else.")
}

/// Whether a `Host` can't be a name that somebody else has pointed at this machine (DNS rebinding): an address is no
/// name, and `localhost` is resolved by browsers themselves.
fn is_no_name_of_others(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest.split_once(']').is_some_and(|(ip, _)| ip.parse::<std::net::Ipv6Addr>().is_ok());
        }
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<std::net::Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Whether a browser says that one of our pages sends this. A request without such a word is refused.
fn is_from_our_own_pages(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text("sec-fetch-site").map(|site| site == "same-origin");
    let origin = text("origin").map(|origin| {
        let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        of_origin.is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(host))
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site != Some(false) && origin != Some(false),
    }
}

fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let all = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        // Not `no-referrer`: browsers would then say `Origin: null` of our own forms.
        ("referrer-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_no_names_of_others() {
        for (host, fits) in [
            ("127.0.0.1:7078", true),
            ("127.0.0.1", true),
            ("localhost:7078", true),
            ("LOCALHOST", true),
            ("[::1]:7078", true),
            ("192.168.1.5:7078", true),
            ("evil.example:7078", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("[::1", false),
            ("[evil]", false),
            ("", false),
        ] {
            assert_eq!(is_no_name_of_others(host), fits, "{host}");
        }
    }

    #[test]
    fn a_change_must_say_that_it_comes_from_our_pages() {
        let ours = "http://127.0.0.1:7078";
        for (site, origin, fits) in [
            (Some("same-origin"), Some(ours), true),
            (Some("same-origin"), None, true),
            (None, Some(ours), true),
            (None, None, false),
            (Some("cross-site"), Some(ours), false),
            (Some("same-site"), None, false),
            (Some("none"), None, false),
            (None, Some("http://evil.example"), false),
            (None, Some("null"), false),
            (None, Some("http://127.0.0.1:9999"), false),
            (Some("same-origin"), Some("http://evil.example"), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_from_our_own_pages(&headers, "127.0.0.1:7078"), fits, "{site:?} {origin:?}");
        }
    }
}
