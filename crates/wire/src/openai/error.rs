//! `{"error": {"message", "type", "param", "code"}}`, all four keys, always.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Object, lenient};

/// The body of a reply that is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    #[serde(deserialize_with = "text_or_object")]
    pub error: ApiError,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What went wrong. Unknown keys are written as null, never left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    /// A sentence for a person.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub message: String,
    /// A word for a program, as `invalid_request_error`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The field at fault.
    #[serde(default)]
    pub param: Option<String>,
    /// A narrower word, as `context_length_exceeded`; a number becomes its digits.
    #[serde(default, deserialize_with = "lenient::code")]
    pub code: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ErrorBody {
    /// An error with its kind.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        let error = ApiError { message: message.into(), kind: Some(kind.to_owned()), ..ApiError::default() };
        Self { error, rest: Object::new() }
    }

    /// The same error, at a field.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }

    /// The same error, with a code.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.error.code = Some(code.into());
        self
    }

    /// The error in a body that some server sent: OpenAI's shape, Anthropic's, `{"error": "text"}`,
    /// `{"message": …}` or `{"detail": …}`. `None` where there is none of these.
    pub fn find(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        if value.get("error").is_some_and(|error| error.is_object() || error.is_string()) {
            return serde_json::from_value(value).ok();
        }
        if value.get("message").is_some_and(Value::is_string) {
            let error: ApiError = serde_json::from_value(value).ok()?;
            return Some(Self { error, rest: Object::new() });
        }
        let message = match value.get("detail")? {
            Value::String(text) => text.clone(),
            detail => detail.to_string(),
        };
        Some(Self { error: ApiError { message, ..ApiError::default() }, rest: Object::new() })
    }
}

/// The error as an object, or as the bare sentence that some servers send.
fn text_or_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ApiError, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(message) => Ok(ApiError { message, ..ApiError::default() }),
        value => serde_json::from_value(value).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_four_keys_are_written_even_when_they_are_unknown() {
        let body = serde_json::to_value(ErrorBody::new("invalid_request_error", "`n` must be 1")).unwrap();
        let expected = json!({"error": {"message": "`n` must be 1", "type": "invalid_request_error", "param": null, "code": null}});
        assert_eq!(body, expected);
    }

    #[test]
    fn the_error_is_found_in_every_shape_a_server_sends() {
        let rows = [
            (
                r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
                "slow down",
                Some("rate_limit_exceeded"),
            ),
            (r#"{"error":{"message":"No endpoints found","code":404}}"#, "No endpoints found", Some("404")),
            (r#"{"error":"model \"small\" not found"}"#, "model \"small\" not found", None),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                "Overloaded",
                None,
            ),
            (
                r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#,
                "too long",
                Some("400"),
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found", None),
        ];
        for (body, message, code) in rows {
            let found = ErrorBody::find(body.as_bytes()).unwrap_or_else(|| panic!("nothing found in {body}"));
            assert_eq!(
                (found.error.message.as_str(), found.error.code.as_deref()),
                (message, code),
                "{body}"
            );
        }
    }

    #[test]
    fn a_body_that_is_no_error_is_not_taken_for_one() {
        for body in ["<html>502</html>", "[]", "{}", r#"{"error":null}"#, "\u{feff}"] {
            assert_eq!(ErrorBody::find(body.as_bytes()), None, "{body}");
        }
    }
}
