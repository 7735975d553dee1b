//! What does one remote model make of a call?

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::Value;
use sprat_cascade::{Climbed, Remote};
use sprat_task::model::{WireReply, WireRequest};
use sprat_task::{Context, ModelError, Outcome, Step, Tokens, Usage};
use sprat_wire::openai::chat;
use sprat_wire::openai::error::ErrorBody;
use sprat_wire::parse_body;
use tokio::time::timeout_at;

use crate::Gateway;
use crate::accept::Accepted;
use crate::dialect::{Dialect, Whole};
use crate::error::Refusal;
use crate::pass::Passed;
use crate::record::{Record, micros};
use crate::relay::{Incoming, Relay};

/// Longest reply that is held whole, in bytes.
const REPLY_LIMIT: usize = 64 << 20;

/// A call that a remote model has been asked.
pub struct Asked {
    pub(crate) remote: Arc<Remote>,
    pub(crate) since: Instant,
    pub(crate) start: Climbed,
    /// Whether a try before the reply, or the refusal that it is, may have cost something that nobody reported.
    unknown_cost: bool,
}

impl Asked {
    /// A call that is about to be made, at this place of a climb.
    pub(crate) fn about_to(remote: &Arc<Remote>, start: Climbed) -> Self {
        Self { remote: remote.clone(), since: Instant::now(), start, unknown_cost: false }
    }

    /// The climb, after an answer with this usage.
    pub(crate) fn answered(&self, usage: Option<&chat::Usage>) -> Climbed {
        self.ended(self.spent(usage), Outcome::Last)
    }

    /// What was spent, where the reply reports this usage.
    pub(crate) fn spent(&self, usage: Option<&chat::Usage>) -> Usage {
        let usage = usage_of(usage, &self.remote);
        Usage { cost: usage.cost.filter(|_| !self.unknown_cost), ..usage }
    }

    /// The climb, after this.
    pub(crate) fn ended(&self, usage: Usage, outcome: Outcome) -> Climbed {
        let latency_us = micros(self.since);
        let step = Step { model: self.remote.upstream.id().clone(), usage, latency_us, outcome };
        self.start.clone().passed_on(step)
    }

    /// Gives a reply that has begun well. What came whole is recorded; a stream is when it ends.
    pub(crate) fn pass(
        self,
        gateway: &Arc<Gateway>,
        accepted: &Accepted,
        begun: Begun,
        mut record: Record,
    ) -> Passed {
        match begun {
            Begun::Whole(head, whole) => {
                if let Some(listening) = record.listening()
                    && let Ok(reply) = parse_body::<chat::ChatResponse>(&whole.body)
                {
                    listening.whole(&reply);
                }
                let climbed = self.answered(whole.usage.as_deref());
                record.finish(&climbed);
                let model = self.remote.upstream.id().to_string();
                let response = (head, Body::from(whole.body)).into_response();
                Passed { model, climbed: Some(climbed), response }
            }
            Begun::Stream(incoming) => Relay::new(gateway, &accepted.id, self, *incoming, record).pass(),
        }
    }
}

/// A reply that has begun well: from here on nothing else is asked.
pub(crate) enum Begun {
    /// All of it.
    Whole(HeaderMap, Whole),
    /// A stream that has content.
    Stream(Box<Incoming>),
}

/// Why a remote model gave no answer.
pub(crate) struct Setback {
    /// Who.
    model: String,
    /// Why.
    pub error: ModelError,
    /// What it used all the same.
    pub usage: Usage,
    /// Whether asking another makes sense.
    pub another_may_answer: bool,
    /// Its own words, where they may be told.
    words: Option<Response>,
}

impl Setback {
    fn new(asked: &Asked, usage: Usage, error: ModelError) -> Self {
        let model = asked.remote.upstream.id().to_string();
        Self { model, another_may_answer: error.another_may_answer(), error, usage, words: None }
    }

    /// A reply with a status that is no success: its own words in OpenAI's keys, with the status and headers it came
    /// with.
    fn refused(asked: &Asked, dialect: &Dialect, status: u16, head: HeaderMap, bytes: &[u8]) -> Self {
        let error = match status {
            // Whose key it is: the operator's. What a provider says of it is not for clients.
            401 => ModelError::Refused("401: the provider did not accept its key".to_owned()),
            429 => ModelError::Busy { retry_after_ms: None },
            500.. => ModelError::Unavailable(format!("status {status}")),
            _ => ModelError::Refused(format!("status {status}")),
        };
        let usage = if asked.unknown_cost { Usage::UNKNOWN } else { Usage::FREE };
        let failed = Self::new(asked, usage, error);
        let (told, said) = dialect.refusal(status, bytes);
        let code = said.as_ref().and_then(|said| said.error.code.clone());
        let is_too_long = code.is_some_and(|code| code == "context_length_exceeded");
        // Money, keys and load are this provider's affair, and another may have more room; any other refusal is about the
        // request.
        let another_may_answer = matches!(status, 401..=403 | 408 | 409 | 429 | 500..) || is_too_long;
        let words = (status != 401).then(|| {
            let status = told;
            let body = said.unwrap_or_else(|| {
                ErrorBody::new("upstream_error", format!("{} answered with status {status}", failed.model))
            });
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = (status, head, axum::Json(body)).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        });
        Self { another_may_answer, words, ..failed }
    }

    /// What the client is told where this is the last of it.
    pub fn tell(self, climbed: Climbed) -> Result<Passed, Refusal> {
        match self.words {
            Some(response) => Ok(Passed { model: self.model, climbed: Some(climbed), response }),
            None => Err(Refusal::model(&self.model, &self.error)),
        }
    }
}

/// Asks a remote model until its answer is there or its stream has content, and waits for that until `patience` at most.
pub(crate) async fn ask(
    cx: &Context,
    patience: Instant,
    asked: &mut Asked,
    request: WireRequest,
    dialect: Dialect,
) -> Result<Begun, Setback> {
    let begun = timeout_at(patience.into(), begin(cx, asked, request, dialect)).await;
    begun.unwrap_or_else(|_| Err(Setback::new(asked, Usage::UNKNOWN, ModelError::Timeout)))
}

async fn begin(
    cx: &Context,
    asked: &mut Asked,
    request: WireRequest,
    dialect: Dialect,
) -> Result<Begun, Setback> {
    let sent = asked.remote.upstream.send(cx, request).await;
    let reply = sent.map_err(|none| Setback::new(asked, none.usage(), none.error))?;
    asked.unknown_cost = reply.unknown_cost;
    let unknown = |error| Setback::new(asked, Usage::UNKNOWN, error);
    let (status, head) = (reply.status, dialect.head(&reply));
    let is_success = (200..300).contains(&status);
    if is_success && is_event_stream(&reply) {
        let mut incoming = Incoming::new(head, reply, dialect);
        return match incoming.hold().await {
            Ok(()) => Ok(Begun::Stream(Box::new(incoming))),
            Err(error) => Err(Setback::new(asked, asked.spent(incoming.usage().as_deref()), error)),
        };
    }
    let bytes = whole(reply).await.map_err(unknown)?;
    if !is_success {
        return Err(Setback::refused(asked, &dialect, status, head, &bytes));
    }
    dialect.whole(bytes).map(|whole| Begun::Whole(head, whole)).map_err(unknown)
}

fn is_event_stream(reply: &WireReply) -> bool {
    reply.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("text/event-stream"))
}

async fn whole(mut reply: WireReply) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reply.body.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > REPLY_LIMIT {
            return Err(ModelError::Failed(format!("the reply is longer than {REPLY_LIMIT} bytes")));
        }
    }
    Ok(bytes)
}

/// What tokens were used, and what they cost. What was not said is unknown.
fn usage_of(usage: Option<&chat::Usage>, remote: &Remote) -> Usage {
    let tokens = usage.and_then(|usage| {
        Some(Tokens {
            input: usage.prompt_tokens?,
            cached_input: usage.cached_tokens().unwrap_or(0),
            // Who has a price for writing to the cache says so beside OpenAI's own counts.
            cache_write: usage.rest.get("cache_creation_input_tokens").and_then(Value::as_u64).unwrap_or(0),
            output: usage.completion_tokens.unwrap_or(0),
        })
    });
    Usage { tokens, cost: tokens.zip(remote.price).map(|(tokens, price)| price.cost(tokens)) }
}
