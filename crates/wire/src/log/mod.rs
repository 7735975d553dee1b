//! A line of a log, whoever wrote it, as one call to a model.
//!
//! | a line has | written by |
//! |---|---|
//! | `request` and `response`, each plain, with a `body`, or as JSON in a string | proxies, Helicone (`request_body`), home-grown logs |
//! | `kwargs` and `response` | wrappers around the Python client |
//! | `input` and `output`, or `inputs` and `outputs` | Langfuse, LangSmith, the Responses API |
//! | `messages` and `response`, or `messages` and `choices` | LiteLLM, home-grown logs |
//! | `messages`, the last one the answer | fine-tuning files |
//! | `prompt` and `completion` | older fine-tuning files |
//! | `custom_id` and `body` | the input of a batch: a prompt without an answer |
//!
//! Bodies may be chat completions, the Responses API or Anthropic's messages. What a line does not say is `None`.

mod answer;
mod fields;
mod line;
mod prompt;

pub use line::{parse_log_bytes, parse_log_line};

use crate::openai::batch::{BatchLine, BatchOutputLine};
use crate::openai::chat::{Content, FinishReason, Message, ResponseFormat, Role, ToolCall, Usage};

/// One call to a model, as a log tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogCall {
    /// The log's own name for the call.
    pub id: Option<String>,
    /// The model, as the reply names it where it does, else as the request did.
    pub model: Option<String>,
    /// What was asked, without the answer.
    pub messages: Vec<Message>,
    /// The form the answer had to take.
    pub response_format: Option<ResponseFormat>,
    /// The tools the model could call.
    pub tool_names: Vec<String>,
    /// The text of the answer; `None` where it only calls tools, failed, or is not in the log.
    pub answer: Option<String>,
    /// Where the answer was found.
    pub answer_source: AnswerSource,
    /// The tools the model called.
    pub tool_calls: Vec<ToolCall>,
    /// Why the answer ended.
    pub finish_reason: Option<FinishReason>,
    /// Why there is no answer, where the log says that the call failed.
    pub failure: Option<String>,
    /// The tokens it took.
    pub usage: Option<Usage>,
    /// When it was asked, in milliseconds since 1970; a time without an offset is read as UTC.
    pub created_unix_ms: Option<i64>,
    /// How long it took, in microseconds: from a field that names its unit, or from start to end. A bare `latency`
    /// is not read, because some write seconds there and some milliseconds.
    pub latency_us: Option<u64>,
    /// What it cost by the log's own account, in millionths of a US dollar.
    pub cost_micro_usd: Option<u64>,
    /// The conversation it belongs to.
    pub session: Option<String>,
    /// The end user.
    pub user: Option<String>,
}

/// Where the answer of a logged call was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerSource {
    /// Nowhere.
    #[default]
    Missing,
    /// In a reply of its own.
    Reply,
    /// In the last message, as fine-tuning files have it: a person may have written it.
    LastMessage,
}

impl LogCall {
    /// The operator's instructions: system and developer messages, a blank line between them.
    pub fn system_prompt(&self) -> Option<String> {
        crate::openai::chat::system_prompt_of(&self.messages)
    }

    /// The text of every user message, in order.
    pub fn user_texts(&self) -> Vec<String> {
        self.messages.iter().filter(|message| message.role == Role::User).filter_map(Message::text).collect()
    }

    /// The text of the last user message.
    pub fn last_user_text(&self) -> Option<String> {
        self.messages.iter().rev().find(|message| message.role == Role::User)?.text()
    }

    /// The schema the answer had to follow, where there was one.
    pub fn schema(&self) -> Option<&serde_json::Value> {
        self.response_format.as_ref()?.schema()
    }

    /// Whether tools were offered or called.
    pub fn has_tools(&self) -> bool {
        !self.tool_names.is_empty() || !self.tool_calls.is_empty()
    }

    /// Whether the conversation had more than one question before this answer.
    pub fn is_multi_turn(&self) -> bool {
        self.messages.iter().any(|message| matches!(message.role, Role::Assistant | Role::Tool))
    }

    /// Whether everything asked is text, so that the texts are the whole of it.
    pub fn is_text_only(&self) -> bool {
        self.messages.iter().filter_map(|message| message.content.as_ref()).all(Content::is_text_only)
    }

    /// The call that a line of a batch's input and the line of its output with the same `custom_id` make together.
    pub fn from_batch(input: &BatchLine, output: &BatchOutputLine) -> Result<Self, LogLineError> {
        line::from_batch(input, output)
    }
}

/// A line that records no call we can read. Quotes names of fields, never what was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogLineError {
    /// Nothing there.
    #[error("the line is empty; a log has one JSON object a line")]
    Empty,
    /// Bytes that are no text.
    #[error("column {column}: not UTF-8; save the log as UTF-8")]
    NotUtf8 {
        /// The first wrong byte, from 1.
        column: usize,
    },
    /// Text that is no JSON.
    #[error("column {column}: not JSON: {reason}; a log has one JSON object a line")]
    NotJson {
        /// Where, in bytes from 1.
        column: usize,
        /// What the parser met.
        reason: String,
    },
    /// JSON that is no object.
    #[error("the line is {found}; a log has one JSON object a line")]
    NotAnObject {
        /// What it is, with its article.
        found: &'static str,
    },
    /// No field that could hold a prompt.
    #[error(
        "no prompt; the line has {keys}. Right would be `request` and `response`, `input` and `output`, or \
         `messages` with the answer last"
    )]
    NoPrompt {
        /// The line's own fields, quoted.
        keys: String,
    },
    /// A line of a batch's output, which has answers without prompts.
    #[error(
        "`{custom_id}` is a line of a batch's output, which has no prompt; import it together with the batch's input"
    )]
    BatchOutput {
        /// The caller's name for the request.
        custom_id: String,
    },
    /// A field that is not what its name says.
    #[error("`{path}`: {reason}")]
    Field {
        /// Where, as `request.messages[2]`.
        path: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
