//! Every error in OpenAI's four keys, with the status that clients act on.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sprat_task::calendar::day;
use sprat_task::{Budget, ModelError, Money};
use sprat_wire::openai::error::ErrorBody;

use crate::budget::TooMuch;
use crate::limits::Reached;

/// Why a request gets no answer.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Box<ErrorBody>,
    retry_after_ms: Option<u64>,
    /// `x-should-retry`, where OpenAI's clients would decide wrongly by the status alone.
    should_retry: Option<bool>,
}

impl Refusal {
    /// The client's mistake, at a field of the request.
    pub fn field(param: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorBody::new(INVALID, message).with_param(param))
    }

    /// The client's mistake.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorBody::new(INVALID, message))
    }

    /// Something named in a field that isn't there.
    pub fn not_found(param: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorBody::new(INVALID, message).with_param(param))
    }

    /// A model that nobody here has.
    pub fn no_model(name: &str, known: &str) -> Self {
        let message = format!("there is no task or model `{name}` here; there are: {known}");
        let body = ErrorBody::new(INVALID, message).with_param("model").with_code("model_not_found");
        Self::new(StatusCode::NOT_FOUND, body)
    }

    /// More requests than there are places.
    pub fn crowded() -> Self {
        let body =
            ErrorBody::new("overloaded_error", "too many requests are under way; try again in a moment");
        Self { retry_after_ms: Some(1_000), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, body) }
    }

    /// A body that took too long to come.
    pub fn too_slow(limit: Duration) -> Self {
        let message = format!("the body did not come within {} seconds", limit.as_secs_f64());
        let body = ErrorBody::new(INVALID, message).with_code("request_timeout");
        Self::new(StatusCode::REQUEST_TIMEOUT, body)
    }

    /// A body that is too long, in bytes.
    pub fn too_long(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorBody::new(INVALID, message))
    }

    /// A model that could not answer.
    pub fn model(model: &str, error: &ModelError) -> Self {
        let (status, code) = match error {
            ModelError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
            ModelError::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            ModelError::Unavailable(_) | ModelError::Resting { .. } | ModelError::Cancelled => {
                (StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable")
            }
            ModelError::BadInput(_) => (StatusCode::BAD_REQUEST, "bad_input"),
            ModelError::Refused(_) | ModelError::BadAnswer(_) | ModelError::Failed(_) => {
                (StatusCode::BAD_GATEWAY, "upstream_failed")
            }
        };
        let kind = if status == StatusCode::BAD_REQUEST { INVALID } else { "upstream_error" };
        let body = ErrorBody::new(kind, format!("{model}: {error}")).with_code(code);
        let retry_after_ms = match error {
            ModelError::Busy { retry_after_ms } => *retry_after_ms,
            ModelError::Resting { retry_after_ms, .. } => Some(*retry_after_ms),
            _ => None,
        };
        // The upstream has been tried as often as makes sense; a client that tries on only multiplies that.
        let should_retry = (!error.is_transient() && status.is_server_error()).then_some(false);
        Self { retry_after_ms, should_retry, ..Self::new(status, body) }
    }

    /// The end of a ladder that has no large model, reached without an answer.
    pub fn no_answer(task: &str, why: &str) -> Self {
        let body = ErrorBody::new("no_answer", format!("task `{task}` gives no answer: {why}"))
            .with_code("no_answer");
        Self { should_retry: Some(false), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, body) }
    }

    /// A request without a key that opens this gateway.
    pub fn key(why: &str) -> Self {
        let body = ErrorBody::new(INVALID, why).with_code("invalid_api_key");
        Self { should_retry: Some(false), ..Self::new(StatusCode::UNAUTHORIZED, body) }
    }

    /// A key that may not use what it names.
    pub fn not_allowed(key: &str, name: &str) -> Self {
        let message = format!("key `{key}` may not use `{name}`");
        let body = ErrorBody::new(INVALID, message).with_param("model").with_code("not_allowed");
        Self { should_retry: Some(false), ..Self::new(StatusCode::FORBIDDEN, body) }
    }

    /// A key with a budget, and a model of which nobody knows what it costs.
    pub fn no_price(key: &str, model: &str) -> Self {
        let message = format!(
            "key `{key}` has a budget, and nobody knows beforehand what a call of `{model}` costs; \
             with a `price` in sprat.toml it can be used"
        );
        let body = ErrorBody::new(INVALID, message).with_param("model").with_code("price_unknown");
        Self { should_retry: Some(false), ..Self::new(StatusCode::FORBIDDEN, body) }
    }

    /// A budget that has no room for a call that may cost `most`.
    pub fn quota(key: &str, budget: Budget, too_much: TooMuch, most: Money, unix_ms: i64) -> Self {
        let left = match too_much.left {
            Money::ZERO => format!("key `{key}` has nothing left of its {budget}"),
            left => format!(
                "this call may cost up to {most}, and key `{key}` has {left} left of its {budget}; \
                 a smaller `max_tokens` may fit"
            ),
        };
        let renewed = match budget.per.next(unix_ms) {
            Some(next) => format!("the budget is renewed on {} at 00:00 UTC", day(next)),
            None => "the budget is not renewed".to_owned(),
        };
        let body = ErrorBody::new(QUOTA, format!("{left}; {renewed}")).with_code(QUOTA);
        Self { should_retry: Some(false), ..Self::new(StatusCode::TOO_MANY_REQUESTS, body) }
    }

    /// A budget all of whose rest was reserved by calls under way for as long as an answer was wanted.
    pub fn budget_reserved(key: &str) -> Self {
        let message = format!("what is left of the budget of key `{key}` is reserved by its other calls");
        let body = ErrorBody::new("requests", message).with_code("rate_limit_exceeded");
        Self { retry_after_ms: Some(1_000), ..Self::new(StatusCode::TOO_MANY_REQUESTS, body) }
    }

    /// A key that asks too often, or for too much at once.
    pub fn rate(key: &str, reached: Reached) -> Self {
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let (kind, message, wait) = match reached {
            Reached::Requests(most, wait) => {
                ("requests", format!("key `{key}` may ask {most} times a minute"), Some(millis(wait)))
            }
            Reached::AtOnce(most) => {
                ("requests", format!("key `{key}` may have {most} requests under way at once"), Some(1_000))
            }
            Reached::Tokens(most, wait) => {
                ("tokens", format!("key `{key}` may use {most} tokens a minute"), Some(millis(wait)))
            }
            Reached::TooManyTokens(most) => (
                "tokens",
                format!(
                    "this call may use more than the {most} tokens a minute of key `{key}`; \
                     a smaller `max_tokens` may fit"
                ),
                None,
            ),
        };
        let body = ErrorBody::new(kind, message).with_code("rate_limit_exceeded");
        Self {
            retry_after_ms: wait,
            should_retry: wait.is_none().then_some(false),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, body)
        }
    }

    /// Our own fault.
    pub fn ours(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorBody::new("server_error", message))
    }

    /// The error as the data of a stream's event, for a failure after the stream has begun.
    pub fn data(&self) -> String {
        serde_json::to_string(&self.body).unwrap_or_default()
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn new(status: StatusCode, body: ErrorBody) -> Self {
        Self { status, body: Box::new(body), retry_after_ms: None, should_retry: None }
    }
}

const INVALID: &str = "invalid_request_error";
const QUOTA: &str = "insufficient_quota";

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&*self.body)).into_response();
        let headers = response.headers_mut();
        if let Some(ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
            headers.insert("retry-after-ms", HeaderValue::from(ms));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(retry) = self.should_retry {
            headers.insert("x-should-retry", HeaderValue::from_static(if retry { "true" } else { "false" }));
        }
        response
    }
}

/// A path that nobody serves.
pub async fn no_such_path(method: Method, uri: Uri) -> Refusal {
    let message = format!("there is no {method} {} here", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, ErrorBody::new(INVALID, message).with_code("unknown_url"))
}

/// A path that is served with another method.
pub async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("{} doesn't take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorBody::new(INVALID, message))
}
