//! An answer in pieces, as a stream carries it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FinishReason, Logprobs, Role, Usage};
use crate::openai::error::ErrorBody;
use crate::{BodyError, Object, lenient};

/// One piece of a streamed reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// Names the reply, the same in every piece.
    #[serde(default)]
    pub id: String,
    /// `chat.completion.chunk`.
    #[serde(default = "chunk_object")]
    pub object: String,
    /// When the reply was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::seconds", skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// The model that answers.
    #[serde(default)]
    pub model: String,
    /// What is new of each answer; empty in the last piece, which carries the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// The tokens of the whole reply; in the last piece only, and only where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The server's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What is new of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Which of the answers.
    #[serde(default)]
    pub index: u32,
    /// What is new.
    #[serde(default)]
    pub delta: Delta,
    /// Why it ended; null while it has not.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
    /// Log-probabilities of the new tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What is to be added to a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Who speaks; in the first piece only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Text to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Refusal to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Pieces of tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallDelta>>,
    /// Fields not named here, `reasoning_content` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// A piece of a tool call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which of the calls. Always written by us; some servers leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The call's name for itself; in its first piece only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`; in its first piece only.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The function, in pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionCallDelta>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A piece of a function's name and arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionCallDelta {
    /// The function's name; in the first piece only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What the `data` of one server-sent event says.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamData {
    /// A piece of the answer.
    Chunk(Box<ChatChunk>),
    /// `[DONE]`: nothing follows.
    Done,
    /// The server gave up in the middle.
    Error(Box<ErrorBody>),
}

/// Reads the `data` of one server-sent event of a streamed reply.
pub fn parse_stream_data(data: &str) -> Result<StreamData, BodyError> {
    if data.trim() == "[DONE]" {
        return Ok(StreamData::Done);
    }
    let value: Value = serde_json::from_str(data)?;
    let is_error = value.get("error").is_some_and(|error| !error.is_null()) && value.get("choices").is_none();
    if is_error {
        return Ok(StreamData::Error(Box::new(serde_json::from_value(value)?)));
    }
    Ok(StreamData::Chunk(Box::new(serde_json::from_value(value)?)))
}

pub(super) fn chunk_object() -> String {
    "chat.completion.chunk".to_owned()
}
