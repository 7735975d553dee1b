//! Anthropic's protocol: calls translated on the way there, replies on the way back.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sprat_task::ModelError;
use sprat_task::model::WireRequest;
use sprat_wire::anthropic::convert::{StreamTranslator, error_to_openai, to_anthropic, to_openai};
use sprat_wire::anthropic::messages::{ErrorBody as TheirError, MessagesResponse, StreamEvent};
use sprat_wire::openai::chat::Usage;
use sprat_wire::openai::error::ErrorBody;
use sprat_wire::parse_body;
use sprat_wire::sse::SseEvent;

use super::{Heard, Says, Whole, gave_up, passed_headers, says};
use crate::decode::Call;
use crate::error::Refusal;

/// Fields of the request that had to be left out, by name.
const LEFT_OUT: HeaderName = HeaderName::from_static("x-sprat-left-out");
/// Longest list of them that a header carries, in bytes.
const LONGEST_LIST: usize = 1_000;

/// What is remembered of a call until its reply has come.
pub(crate) struct Anthropic {
    /// The tool whose arguments are the answer.
    answer_tool: Option<String>,
    left_out: Vec<String>,
    now_s: u64,
    wants_usage: bool,
    stream: StreamTranslator,
    finished: bool,
}

impl Anthropic {
    pub fn speak(
        call: &Call,
        model: &str,
        max_tokens: u64,
        now_s: u64,
    ) -> Result<(WireRequest, Self), Refusal> {
        let mut converted = to_anthropic(&call.chat, model)
            .map_err(|error| Refusal::field(&error.field, error.to_string()))?;
        if call.chat.max_tokens.or(call.chat.max_completion_tokens).is_none() {
            converted.request.max_tokens = max_tokens;
        }
        let body = serde_json::to_vec(&converted.request)
            .map_err(|error| Refusal::ours(format!("the body can't be written again: {error}")))?;
        let mut headers = passed_headers(&call.headers);
        headers.retain(|(name, _)| !name.starts_with("openai-"));
        let ears = Self {
            stream: StreamTranslator::new(converted.answer_tool.clone(), now_s),
            answer_tool: converted.answer_tool,
            left_out: converted.left_out,
            now_s,
            wants_usage: call.chat.wants_stream_usage(),
            finished: false,
        };
        Ok((WireRequest { path: "/messages".to_owned(), headers, body }, ears))
    }

    pub fn add_to(&self, head: &mut HeaderMap) {
        let mut room = LONGEST_LIST;
        let fitting = self.left_out.iter().take_while(|name| {
            let fits = name.len() < room;
            room = room.saturating_sub(name.len() + 2);
            fits
        });
        let list = fitting.map(String::as_str).collect::<Vec<_>>().join(", ");
        if let Some(list) = HeaderValue::from_str(&list).ok().filter(|list| !list.is_empty()) {
            head.insert(LEFT_OUT, list);
        }
    }

    pub fn whole(&self, body: &[u8]) -> Result<Whole, ModelError> {
        let reply: MessagesResponse = parse_body(body).map_err(strange)?;
        let reply = to_openai(&reply, self.answer_tool.as_deref(), self.now_s);
        let body = serde_json::to_vec(&reply).map_err(strange)?;
        Ok(Whole { body, usage: reply.usage.map(Box::new) })
    }

    pub fn hear(&mut self, event: &SseEvent) -> Result<Heard, ModelError> {
        let event: StreamEvent = parse_body(event.data.as_bytes()).map_err(strange)?;
        if let StreamEvent::MessageStop(_) = event {
            return Ok(Heard { says: Says::End, told: None });
        }
        let Some(chunk) = self.stream.push(&event).map_err(|error| gave_up(&error))? else {
            return Ok(Heard { says: Says::Nothing, told: None });
        };
        let says = says(&chunk);
        self.finished |= says == Says::Finished;
        let data = serde_json::to_string(&chunk).map_err(strange)?;
        Ok(Heard { says, told: Some(SseEvent::from_data(data)) })
    }

    pub fn last_words(&self) -> Option<String> {
        self.wants_usage.then(|| serde_json::to_string(&self.stream.usage_chunk()).ok()).flatten()
    }

    /// The counts at the beginning of a stream are of what had happened until then.
    pub fn usage(&self) -> Option<Box<Usage>> {
        self.stream.usage().filter(|_| self.finished).map(Box::new)
    }
}

/// A refusal in OpenAI's words. 529 is Anthropic's own "overloaded", which HTTP calls 503.
pub(super) fn refusal(status: u16, body: &[u8]) -> (u16, Option<ErrorBody>) {
    let theirs = parse_body::<TheirError>(body).ok().map(|body| error_to_openai(&body.error));
    (if status == 529 { 503 } else { status }, theirs.or_else(|| ErrorBody::find(body)))
}

fn strange(error: impl std::fmt::Display) -> ModelError {
    ModelError::Failed(format!("the reply is not one of Anthropic's protocol: {error}"))
}
