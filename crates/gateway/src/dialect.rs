//! How is a call said to a remote model, and how does its reply become OpenAI's again?

mod anthropic;
mod openai;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sprat_cascade::{Protocol, Remote};
use sprat_task::ModelError;
use sprat_task::model::{WireReply, WireRequest};
use sprat_wire::openai::chat::{ChatChunk, Usage};
use sprat_wire::openai::error::ErrorBody;
use sprat_wire::sse::SseEvent;

use self::anthropic::Anthropic;
use self::openai::OpenAi;
use crate::accept::Accepted;
use crate::decode::Call;
use crate::error::Refusal;

/// Request headers that end here: they are about this connection, or ours.
const KEPT_HERE: [&str; 10] = [
    "authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "connection",
    "accept-encoding",
    "expect",
];

/// How one call is said, and its reply heard.
pub(crate) enum Dialect {
    /// OpenAI's: everything stays as it is.
    OpenAi(OpenAi),
    /// Anthropic's.
    Anthropic(Box<Anthropic>),
}

/// A reply that came whole.
pub(crate) struct Whole {
    /// Its body, in OpenAI's words.
    pub body: Vec<u8>,
    /// What it used, where it says.
    pub usage: Option<Box<Usage>>,
}

/// An event of a stream, heard.
pub(crate) struct Heard {
    /// What it says of the answer.
    pub says: Says,
    /// What the client is told, in OpenAI's words.
    pub told: Option<SseEvent>,
}

/// What an event says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing that the client would see: a role, a comment.
    Nothing,
    /// Something of the answer.
    Content,
    /// Why the answer ended.
    Finished,
    /// That nothing follows.
    End,
}

impl Dialect {
    /// A chat call as a remote model wants it; an error where its protocol can't say it.
    pub fn speak(call: &Call, remote: &Remote, accepted: &Accepted) -> Result<(WireRequest, Self), Refusal> {
        let now_s = u64::try_from(accepted.time_unix_ms / 1_000).unwrap_or(0);
        match remote.protocol {
            Protocol::OpenAi => {
                OpenAi::speak(call, &remote.model).map(|(said, ears)| (said, Self::OpenAi(ears)))
            }
            Protocol::Anthropic { max_tokens } => Anthropic::speak(call, &remote.model, max_tokens, now_s)
                .map(|(said, ears)| (said, Self::Anthropic(Box::new(ears)))),
        }
    }

    /// A call of another sort as it came, but for the model's name.
    pub fn as_it_is(
        path: &str,
        headers: &HeaderMap,
        raw: &Bytes,
        model: &str,
    ) -> Result<(WireRequest, Self), Refusal> {
        let (said, ears) = OpenAi::as_it_is(path, headers, raw, model)?;
        Ok((said, Self::OpenAi(ears)))
    }

    /// The reply's headers as they are passed on.
    pub fn head(&self, reply: &WireReply) -> HeaderMap {
        let mut head = passed_on(reply);
        if let Self::Anthropic(ears) = self {
            ears.add_to(&mut head);
        }
        head
    }

    /// A reply that came whole; an error where it isn't one of the protocol.
    pub fn whole(&self, body: Vec<u8>) -> Result<Whole, ModelError> {
        match self {
            Self::OpenAi(ears) => Ok(ears.whole(body)),
            Self::Anthropic(ears) => ears.whole(&body),
        }
    }

    /// A refusal's status and words; `None` where it has none that can be read.
    pub fn refusal(&self, status: u16, body: &[u8]) -> (u16, Option<ErrorBody>) {
        match self {
            Self::OpenAi(_) => (status, ErrorBody::find(body)),
            Self::Anthropic(_) => anthropic::refusal(status, body),
        }
    }

    /// Hears the next event of a stream. An error ends it.
    pub fn hear(&mut self, event: SseEvent) -> Result<Heard, ModelError> {
        match self {
            Self::OpenAi(ears) => ears.hear(event),
            Self::Anthropic(ears) => ears.hear(&event),
        }
    }

    /// What the client is told after the last event, before `[DONE]`.
    pub fn last_words(&self) -> Option<String> {
        match self {
            Self::OpenAi(_) => None,
            Self::Anthropic(ears) => ears.last_words(),
        }
    }

    /// What a stream has used, once it has said all of it.
    pub fn usage(&self) -> Option<Box<Usage>> {
        match self {
            Self::OpenAi(ears) => ears.usage(),
            Self::Anthropic(ears) => ears.usage(),
        }
    }
}

/// What a chunk says of the answer.
fn says(chunk: &ChatChunk) -> Says {
    let has_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if chunk.choices.iter().any(|choice| choice.finish_reason.is_some()) {
        return Says::Finished;
    }
    let has_content = chunk.choices.iter().map(|choice| &choice.delta).any(|delta| {
        has_text(&delta.content)
            || has_text(&delta.refusal)
            || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || delta.rest.values().any(|value| !value.is_null())
    });
    if has_content { Says::Content } else { Says::Nothing }
}

/// A stream that says that it failed.
fn gave_up(error: &ErrorBody) -> ModelError {
    ModelError::Failed(format!("the stream said: {}", error.error.message))
}

/// The client's headers that go on to a remote model.
fn passed_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let passes = |name: &str| !KEPT_HERE.contains(&name) && !name.starts_with("x-sprat-");
    headers
        .iter()
        .filter(|(name, _)| passes(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn passed_on(reply: &WireReply) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in &reply.headers {
        // The upstream's own name for the request goes beside ours.
        let name = if matches!(name.as_str(), "x-request-id" | "request-id") {
            "x-upstream-request-id"
        } else {
            name
        };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            head.append(name, value);
        }
    }
    head
}
