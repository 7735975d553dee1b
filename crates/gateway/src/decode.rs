//! Decode: what does the body ask?

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::Value;
use sprat_wire::openai::chat::ChatRequest;
use sprat_wire::parse_body;
use tokio::sync::OwnedSemaphorePermit;

use crate::accept::Arrival;
use crate::error::Refusal;

/// A chat call.
pub struct Call {
    /// The headers it came with.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub raw: Bytes,
    /// What the body says.
    pub chat: ChatRequest,
    /// The room that the body takes.
    pub room: Option<OwnedSemaphorePermit>,
}

/// Request headers and fields that name a conversation or a user, the first that is there counts.
const SESSION_HEADER: &str = "x-session-id";
const SESSION_METADATA: [&str; 3] = ["session_id", "conversation_id", "thread_id"];

impl Call {
    /// Whose call it is, as far as the client says: its conversation, else its user.
    pub fn session(&self) -> Option<&str> {
        let header = self.headers.get(SESSION_HEADER).and_then(|value| value.to_str().ok());
        let metadata =
            SESSION_METADATA.iter().filter_map(|name| self.chat.metadata.as_ref()?.get(*name)?.as_str());
        let user = self.chat.user.as_deref();
        let safety = self.chat.rest.get("safety_identifier").and_then(Value::as_str);
        let mut all = header.into_iter().chain(metadata).chain(user).chain(safety);
        all.find(|name| !name.is_empty())
    }
}

/// Reads a chat call.
pub fn decode(arrival: Arrival) -> Result<Call, Refusal> {
    let Arrival { headers, body: raw, room, .. } = arrival;
    let chat: ChatRequest = parse_body(&raw).map_err(|error| {
        Refusal::request(format!("the body can't be read as a chat completion request: {error}"))
    })?;
    if chat.messages.is_empty() {
        return Err(Refusal::field("messages", "`messages` is empty; it must hold at least one message"));
    }
    Ok(Call { headers, raw, chat, room })
}
