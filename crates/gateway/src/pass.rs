//! Requests passed on to a remote model as they came, nothing dropped, and what the reply cost read on the way.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Map, Value};
use sprat_cascade::{Climbed, Remote};
use sprat_task::model::{WireReply, WireRequest};
use sprat_task::{ModelError, Outcome, Step, TaskName, Tokens, Usage};
use sprat_wire::openai::chat;
use sprat_wire::openai::error::ErrorBody;
use sprat_wire::parse_body;

use crate::Gateway;
use crate::accept::{Accepted, Arrival};
use crate::decode::Call;
use crate::encode;
use crate::error::Refusal;
use crate::record::{NO_TASK, Record, micros};
use crate::relay::{self, Relay};
use crate::resolve;

/// Longest reply that is held whole, in bytes.
const REPLY_LIMIT: usize = 64 << 20;

/// Request headers that end here: they are about this connection, or ours.
const KEPT_HERE: [&str; 8] = [
    "authorization",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "connection",
    "accept-encoding",
    "expect",
];

/// A remote model's reply.
pub struct Passed {
    /// Who replied.
    pub model: String,
    /// What the climb came to; `None` while a stream still runs.
    pub climbed: Option<Climbed>,
    /// The reply, ready to send.
    pub response: Response,
}

/// Passes a chat call on.
pub async fn chat(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    call: &Call,
    remote: &Arc<Remote>,
    start: Climbed,
    mut record: Record,
) -> Result<Passed, Refusal> {
    if !remote.speaks_openai {
        let name = remote.upstream.id();
        let why = format!(
            "`{name}` doesn't speak OpenAI's protocol, and calls aren't translated for it yet; a task may use it"
        );
        return Err(Refusal::field("model", why));
    }
    let hide_usage = call.chat.is_stream() && !call.chat.wants_stream_usage();
    let request = WireRequest {
        path: "/chat/completions".to_owned(),
        headers: passed_headers(&call.headers),
        body: for_upstream(&call.raw, &remote.model, hide_usage)?,
    };
    record.asking(&start.steps, remote.upstream.id());
    let mut sent = Asked { remote: remote.clone(), since: Instant::now(), start, unknown_cost: false };
    let reply = match remote.upstream.send(&accepted.cx, request).await {
        Ok(reply) => reply,
        Err(none) => return Err(sent.failed(none.usage(), none.error, record)),
    };
    sent.unknown_cost = reply.unknown_cost;
    if (200..300).contains(&reply.status) && is_event_stream(&reply) {
        let relay = Relay::new(gateway.clone(), accepted.id.clone(), sent, reply, record, hide_usage);
        return relay::respond(relay).await;
    }
    let head = head(&reply);
    let status = reply.status;
    let bytes = match whole(reply).await {
        Ok(bytes) => bytes,
        Err(error) => return Err(sent.failed(Usage::UNKNOWN, error, record)),
    };
    if !(200..300).contains(&status) {
        return Ok(sent.refused(status, head, &bytes, record));
    }
    let usage = parse_body::<chat::ChatResponse>(&bytes).ok().and_then(|reply| reply.usage);
    let climbed = sent.answered(usage.as_ref());
    record.finish(&climbed);
    let model = remote.upstream.id().to_string();
    Ok(Passed { model, climbed: Some(climbed), response: (head, Body::from(bytes)).into_response() })
}

/// A call that a remote model has been asked.
pub struct Asked {
    pub(crate) remote: Arc<Remote>,
    pub(crate) since: Instant,
    pub(crate) start: Climbed,
    /// Whether a try before the reply, or the refusal that it is, may have cost something that nobody reported.
    pub(crate) unknown_cost: bool,
}

impl Asked {
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

    /// Records a failure, and says it.
    pub(crate) fn failed(&self, usage: Usage, error: ModelError, record: Record) -> Refusal {
        let refusal = Refusal::model(self.remote.upstream.id().as_str(), &error);
        record.finish(&self.ended(usage, Outcome::Failed(error)));
        refusal
    }

    /// A refusal that stands: its own words in OpenAI's keys, with the status and headers it came with.
    fn refused(&self, status: u16, head: HeaderMap, bytes: &[u8], record: Record) -> Passed {
        let error = match status {
            429 => ModelError::Busy { retry_after_ms: None },
            500.. => ModelError::Unavailable(format!("status {status}")),
            _ => ModelError::Refused(format!("status {status}")),
        };
        let usage = if self.unknown_cost { Usage::UNKNOWN } else { Usage::FREE };
        let climbed = self.ended(usage, Outcome::Failed(error));
        record.finish(&climbed);
        let body = ErrorBody::find(bytes).unwrap_or_else(|| {
            ErrorBody::new(
                "upstream_error",
                format!("{} answered with status {status}", self.remote.upstream.id()),
            )
        });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = (status, head, axum::Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Passed { model: self.remote.upstream.id().to_string(), climbed: Some(climbed), response }
    }
}

/// `POST /v1/embeddings`, passed on until there are local ones.
pub async fn embeddings(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    other(gateway, arrival, "/embeddings").await
}

/// `POST /v1/moderations`, passed on until there are local ones.
pub async fn moderations(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    other(gateway, arrival, "/moderations").await
}

async fn other(gateway: Arc<Gateway>, arrival: Arrival, path: &str) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    let answered = pass_other(&gateway, &accepted, arrival, path).await;
    encode::named(&id, answered.unwrap_or_else(IntoResponse::into_response))
}

async fn pass_other(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    arrival: Arrival,
    path: &str,
) -> Result<Response, Refusal> {
    let raw = arrival.body;
    let asked: Map<String, Value> =
        parse_body(&raw).map_err(|error| Refusal::request(format!("the body can't be read: {error}")))?;
    let Some(name) = asked.get("model").and_then(Value::as_str) else {
        return Err(Refusal::field("model", "`model` must name a model"));
    };
    let remote = resolve::remote(&gateway.current.deployed(), name)?;
    if !remote.speaks_openai {
        return Err(Refusal::field("model", format!("`{name}` doesn't serve {path}")));
    }
    let mut record = Record::of(gateway, accepted, TaskName::from(NO_TASK), remote.provenance);
    let request = WireRequest {
        path: path.to_owned(),
        headers: passed_headers(&arrival.headers),
        body: for_upstream(&raw, &remote.model, false)?,
    };
    record.asking(&[], remote.upstream.id());
    let start = Climbed::starting();
    let mut sent = Asked { remote: remote.clone(), since: Instant::now(), start, unknown_cost: false };
    let reply = match remote.upstream.send(&accepted.cx, request).await {
        Ok(reply) => reply,
        Err(none) => return Err(sent.failed(none.usage(), none.error, record)),
    };
    sent.unknown_cost = reply.unknown_cost;
    let (head, status) = (head(&reply), reply.status);
    let bytes = match whole(reply).await {
        Ok(bytes) => bytes,
        Err(error) => return Err(sent.failed(Usage::UNKNOWN, error, record)),
    };
    if !(200..300).contains(&status) {
        return Ok(sent.refused(status, head, &bytes, record).response);
    }
    #[derive(serde::Deserialize)]
    struct Metered {
        usage: Option<chat::Usage>,
    }
    let usage = parse_body::<Metered>(&bytes).ok().and_then(|reply| reply.usage);
    record.finish(&sent.answered(usage.as_ref()));
    Ok((head, Body::from(bytes)).into_response())
}

/// The body as it came, but for the model's name, and for the usage that we must know to charge a stream.
fn for_upstream(raw: &Bytes, model: &str, ask_for_usage: bool) -> Result<Vec<u8>, Refusal> {
    let mut body: Map<String, Value> =
        parse_body(raw).map_err(|error| Refusal::request(format!("the body can't be read: {error}")))?;
    body.insert("model".to_owned(), Value::from(model));
    if ask_for_usage {
        let options = body.entry("stream_options").or_insert_with(|| Value::Object(Map::new()));
        if !options.is_object() {
            *options = Value::Object(Map::new());
        }
        options["include_usage"] = Value::Bool(true);
    }
    serde_json::to_vec(&body)
        .map_err(|error| Refusal::ours(format!("the body can't be written again: {error}")))
}

fn passed_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let passes = |name: &str| !KEPT_HERE.contains(&name) && !name.starts_with("x-sprat-");
    headers
        .iter()
        .filter(|(name, _)| passes(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// The reply's headers as they are passed on.
pub(crate) fn head(reply: &WireReply) -> HeaderMap {
    let mut head = HeaderMap::new();
    for (name, value) in &reply.headers {
        // The upstream's own name for the request goes beside ours.
        let name = if name == "x-request-id" { "x-upstream-request-id" } else { name };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            head.append(name, value);
        }
    }
    head
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
            cache_write: 0,
            output: usage.completion_tokens.unwrap_or(0),
        })
    });
    Usage { tokens, cost: tokens.zip(remote.price).map(|(tokens, price)| price.cost(tokens)) }
}
