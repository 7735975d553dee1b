//! What a reply that is no answer means.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use sprat_task::ModelError;
use sprat_wire::openai::error::{ApiError, ErrorBody};

use super::quoting::{echoes, one_line};
use super::retry::{asked_wait, is_worth_a_retry};

/// A reply with a status that is no success, read whole.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Refusal {
    /// How long the provider asks to be left alone.
    pub(super) fn asked_wait(&self) -> Option<Duration> {
        asked_wait(&self.headers, SystemTime::now())
    }

    /// Whether the same call may succeed a little later.
    pub(super) fn is_worth_a_retry(&self) -> bool {
        is_worth_a_retry(self.status, &self.headers) && !self.is_out_of_money()
    }

    /// Whether the provider is there but asks for fewer calls.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 529) || (self.status == 503 && self.asked_wait().is_some())
    }

    /// Whether the provider, or something between here and it, is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.status >= 500 && !self.is_busy()
    }

    /// Whether the model may have run, and been paid for, all the same: something between lost it or gave up waiting.
    /// For an error of its own (500, 503, 529) no provider asks money.
    pub(super) fn may_have_cost(&self) -> bool {
        matches!(self.status, 408 | 502 | 504 | 520..=524)
    }

    /// What the provider says is wrong, in whatever shape it says so.
    pub(super) fn said(&self) -> Option<ApiError> {
        Some(ErrorBody::find(&self.body)?.error)
    }

    /// What a caller can do about it. `redact` blanks the key; a provider's sentence that quotes `request` is left
    /// out, since errors are recorded where texts may not be.
    pub(super) fn explain(&self, request: &str, redact: impl Fn(&str) -> String) -> ModelError {
        let said = self.words(request, &redact);
        let status = self.status;
        match status {
            _ if self.is_out_of_money() => {
                ModelError::Refused(format!("the account has no credit left{said}"))
            }
            _ if self.is_busy() => ModelError::Busy {
                retry_after_ms: self
                    .asked_wait()
                    .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
            300..=399 => {
                ModelError::Refused(format!("{status}: the address redirects elsewhere{}", self.target()))
            }
            401 | 403 => {
                ModelError::Refused(format!("{status}: the key was not accepted, or not for this{said}"))
            }
            404 => ModelError::Refused(format!("404: no such model or path{said}")),
            413 => ModelError::BadInput(format!("413: too long for the provider{said}")),
            400 | 422 if self.is_too_long() => ModelError::BadInput(format!("too long for the model{said}")),
            408 | 409 => ModelError::Unavailable(format!("{status}{said}")),
            400..=499 => ModelError::Refused(format!("{status}{said}")),
            500.. => ModelError::Unavailable(format!("{status}{said}")),
            _ => ModelError::Failed(format!("unexpected status {status}{said}")),
        }
    }

    /// `: ` and the provider's own words, or what stands in their place; empty where there are none.
    fn words(&self, request: &str, redact: impl Fn(&str) -> String) -> String {
        let Some(error) = self.said() else {
            return if is_html(&self.headers, &self.body) {
                ": an HTML page".to_owned()
            } else {
                String::new()
            };
        };
        let code = error.code.or(error.kind).unwrap_or_default();
        let words = match (code.as_str(), error.message.as_str()) {
            ("", "") => return String::new(),
            (code, "") => code.to_owned(),
            (code, message) if echoes(message, request) => match code {
                "" => "(its words quote the request, and are left out)".to_owned(),
                code => format!("{code} (its words quote the request, and are left out)"),
            },
            ("", message) => message.to_owned(),
            (code, message) => format!("{message} ({code})"),
        };
        format!(": {}", one_line(&redact(&words), 240))
    }

    fn is_out_of_money(&self) -> bool {
        let quota = |error: ApiError| {
            [error.code, error.kind].into_iter().flatten().any(|word| word == "insufficient_quota")
        };
        self.status == 402 || (self.status == 429 && self.said().is_some_and(quota))
    }

    fn is_too_long(&self) -> bool {
        self.said().is_some_and(|error| {
            let message = error.message.to_lowercase();
            error.code.as_deref() == Some("context_length_exceeded")
                || message.contains("maximum context length")
                || message.contains("prompt is too long")
                || message.contains("exceeds the available context size")
        })
    }

    fn target(&self) -> String {
        let host =
            self.headers.get(LOCATION).and_then(|place| reqwest::Url::parse(place.to_str().ok()?).ok());
        host.and_then(|url| Some(format!(" ({})", url.host_str()?))).unwrap_or_default()
    }
}

/// Whether a body is a web page: what proxies and wrong addresses answer.
pub(super) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let start = body.trim_ascii_start();
    kind.starts_with("text/html") || (start.starts_with(b"<") && !start.starts_with(b"<?xml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal { status, headers: HeaderMap::new(), body: body.into() }
    }

    fn check(status: u16, body: &str) -> ModelError {
        refusal(status, body).explain("my card 4111 was charged twice", str::to_owned)
    }

    #[test]
    fn every_refusal_says_what_the_caller_can_do() {
        let quota = r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#;
        let long =
            r#"{"error":{"message":"maximum context length is 8192","code":"context_length_exceeded"}}"#;
        let rows = [
            (401, "{}", "refused: 401: the key was not accepted, or not for this"),
            (
                404,
                r#"{"error":"model \"x\" not found"}"#,
                "refused: 404: no such model or path: model \"x\" not found",
            ),
            (429, "{}", "the provider refused for now (too many requests)"),
            (
                429,
                quota,
                "refused: the account has no credit left: You exceeded your current quota (insufficient_quota)",
            ),
            (
                400,
                long,
                "the input can't be handled: too long for the model: maximum context length is 8192 (context_length_exceeded)",
            ),
            (502, "<html>bad gateway</html>", "unavailable: 502: an HTML page"),
            (500, "", "unavailable: 500"),
            (302, "", "refused: 302: the address redirects elsewhere"),
        ];
        for (status, body, said) in rows {
            assert_eq!(check(status, body).to_string(), said);
        }
        assert!(!refusal(429, quota).is_worth_a_retry(), "waiting earns no money");
        assert!(refusal(529, "").is_busy() && !refusal(529, "").is_broken());
    }

    #[test]
    fn words_that_quote_the_request_are_left_out() {
        let said = r#"{"error":{"message":"flagged: 'card 4111 was charged'","code":"content_filter"}}"#;
        assert_eq!(
            check(400, said).to_string(),
            "refused: 400: content_filter (its words quote the request, and are left out)"
        );
    }
}
