//! Decode: what does the body ask?

use axum::body::Bytes;
use axum::http::HeaderMap;
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

/// Reads a chat call.
pub fn decode(arrival: Arrival) -> Result<Call, Refusal> {
    let Arrival { headers, body: raw, room } = arrival;
    let chat: ChatRequest = parse_body(&raw).map_err(|error| {
        Refusal::request(format!("the body can't be read as a chat completion request: {error}"))
    })?;
    if chat.messages.is_empty() {
        return Err(Refusal::field("messages", "`messages` is empty; it must hold at least one message"));
    }
    Ok(Call { headers, raw, chat, room })
}
