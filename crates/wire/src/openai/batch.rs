//! A batch: a file of requests, a line each, and a file of replies.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chat::{ChatRequest, ChatResponse};
use crate::{BodyError, Object};

/// The path that chat requests of a batch name.
pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";

/// One request of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchLine {
    /// The caller's name for it, by which the reply is found: replies come in any order.
    pub custom_id: String,
    /// `POST`.
    #[serde(default = "post")]
    pub method: String,
    /// The path, as `/v1/chat/completions`.
    pub url: String,
    /// The request's body, as the path wants it.
    pub body: Value,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl BatchLine {
    /// A chat request of a batch.
    pub fn chat(custom_id: impl Into<String>, request: &ChatRequest) -> Result<Self, BodyError> {
        let body = serde_json::to_value(request)?;
        let url = CHAT_COMPLETIONS.to_owned();
        Ok(Self { custom_id: custom_id.into(), method: post(), url, body, rest: Object::new() })
    }

    /// The body as a chat request, where it is one.
    pub fn chat_request(&self) -> Result<ChatRequest, BodyError> {
        Ok(ChatRequest::deserialize(&self.body)?)
    }
}

/// The reply to one request of a batch. All keys are always written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchOutputLine {
    /// Names the reply.
    #[serde(default)]
    pub id: String,
    /// The caller's name for the request.
    pub custom_id: String,
    /// What the server answered, be it an error; `None` where it was not reached.
    #[serde(default)]
    pub response: Option<BatchResponse>,
    /// Why the request was not tried, or not to the end.
    #[serde(default)]
    pub error: Option<BatchError>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl BatchOutputLine {
    /// The chat reply, where the call succeeded: status 2xx and a body of that shape.
    pub fn chat_response(&self) -> Option<ChatResponse> {
        let response = self.response.as_ref().filter(|response| response.is_success())?;
        ChatResponse::deserialize(&response.body).ok()
    }
}

/// What the server answered to one request of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// The HTTP status.
    pub status_code: u16,
    /// The server's name for the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The body.
    pub body: Value,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl BatchResponse {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status_code)
    }
}

/// Why a request of a batch has no reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchError {
    /// A word for a program, as `batch_expired`.
    #[serde(default)]
    pub code: Option<String>,
    /// A sentence for a person.
    #[serde(default)]
    pub message: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

fn post() -> String {
    "POST".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openai::chat::Message;
    use crate::parse_body;

    #[test]
    fn a_request_survives_the_way_into_a_batch_line_and_back() {
        let request = ChatRequest::new("gpt-5-mini", vec![Message::user("Where is my card?")]);
        let line = BatchLine::chat("row-17", &request).unwrap();
        let read: BatchLine = parse_body(serde_json::to_string(&line).unwrap().as_bytes()).unwrap();
        assert_eq!((read.custom_id.as_str(), read.url.as_str()), ("row-17", CHAT_COMPLETIONS));
        assert_eq!(read.chat_request().unwrap(), request);
    }

    #[test]
    fn only_a_successful_output_line_has_a_reply() {
        let body = json!({"id":"chatcmpl-1","object":"chat.completion","created":1762000000,"model":"gpt-5-mini",
            "choices":[{"index":0,"message":{"role":"assistant","content":"card_arrival"},"finish_reason":"stop"}]});
        let rows = [
            (
                json!({"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":"r1","body":body},"error":null}),
                Some("card_arrival"),
            ),
            (
                json!({"id":"batch_req_2","custom_id":"b","response":{"status_code":429,"request_id":"r2","body":{"error":{"message":"slow down"}}},"error":null}),
                None,
            ),
            (
                json!({"id":"batch_req_3","custom_id":"c","response":null,"error":{"code":"batch_expired","message":"too late"}}),
                None,
            ),
        ];
        for (written, text) in rows {
            let line: BatchOutputLine = serde_json::from_value(written.clone()).unwrap();
            let reply = line.chat_response().and_then(|reply| reply.text());
            assert_eq!(reply.as_deref(), text, "{written}");
            assert_eq!(serde_json::to_value(&line).unwrap(), written);
        }
    }
}
