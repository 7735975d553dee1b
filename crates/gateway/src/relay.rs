//! A stream, event by event: held until it has content, its usage read, its end recorded before it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use sprat_task::model::WireReply;
use sprat_task::{ModelError, Outcome, RequestId, Usage};
use sprat_wire::openai::chat::{self, ChatChunk, StreamData, parse_stream_data};
use sprat_wire::sse::{SseEvent, SseParser, write_data};

use crate::Gateway;
use crate::error::Refusal;
use crate::pass::{Asked, Passed, head};
use crate::record::Record;

/// A stream on its way through.
pub struct Relay {
    gateway: Arc<Gateway>,
    id: RequestId,
    sent: Asked,
    reply: WireReply,
    record: Option<Record>,
    /// The client didn't ask for the usage; we did.
    hide_usage: bool,
    parser: SseParser,
    /// Events that are ready to go.
    ready: VecDeque<String>,
    usage: Option<chat::Usage>,
    /// Whether every answer has said why it ended.
    finished: bool,
    ended: bool,
}

/// What has come.
enum Came {
    /// Events without content: a role, a comment.
    Nothing,
    /// Content, or the end.
    Content,
}

impl Relay {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        id: RequestId,
        sent: Asked,
        reply: WireReply,
        record: Record,
        hide_usage: bool,
    ) -> Self {
        Self {
            gateway,
            id,
            sent,
            reply,
            record: Some(record),
            hide_usage,
            parser: SseParser::new(),
            ready: VecDeque::new(),
            usage: None,
            finished: false,
            ended: false,
        }
    }

    /// Waits for the next bytes and takes their events. An error ends the stream.
    async fn more(&mut self) -> Result<Came, ModelError> {
        let mut events = Vec::new();
        match self.reply.body.next().await {
            Some(Ok(bytes)) => self
                .parser
                .push(&bytes, &mut events)
                .map_err(|error| ModelError::Failed(error.to_string()))?,
            Some(Err(error)) => return Err(error),
            None => {
                events.extend(std::mem::take(&mut self.parser).finish());
                if !self.take(events)?.is_content() && !self.finished {
                    return Err(ModelError::Unavailable("the stream broke off before its end".to_owned()));
                }
                self.end_well();
                return Ok(Came::Content);
            }
        }
        self.take(events)
    }

    fn take(&mut self, events: Vec<SseEvent>) -> Result<Came, ModelError> {
        let mut came = Came::Nothing;
        for event in events {
            if self.ended {
                break;
            }
            match parse_stream_data(&event.data) {
                Ok(StreamData::Done) => {
                    self.end_well();
                    came = Came::Content;
                }
                Ok(StreamData::Error(error)) => {
                    return Err(ModelError::Failed(format!("the stream said: {}", error.error.message)));
                }
                Ok(StreamData::Chunk(chunk)) => {
                    if self.chunk(&chunk) {
                        came = Came::Content;
                    }
                    if !(self.hide_usage && chunk.choices.is_empty() && chunk.usage.is_some()) {
                        self.pass(&event);
                    }
                }
                // What we can't read may still mean something to the client.
                Err(_) => self.pass(&event),
            }
        }
        Ok(came)
    }

    /// Looks at a chunk; says whether the client sees something of the answer in it.
    fn chunk(&mut self, chunk: &ChatChunk) -> bool {
        if chunk.usage.is_some() {
            self.usage.clone_from(&chunk.usage);
        }
        self.finished |= chunk.choices.iter().any(|choice| choice.finish_reason.is_some());
        chunk.choices.iter().any(|choice| {
            let delta = &choice.delta;
            let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
            says(&delta.content)
                || says(&delta.refusal)
                || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
                || delta.rest.values().any(|value| !value.is_null())
                || choice.finish_reason.is_some()
        })
    }

    fn pass(&mut self, event: &SseEvent) {
        let mut text = String::with_capacity(event.data.len() + 8);
        SseEvent { id: None, ..event.clone() }.write_to(&mut text);
        self.ready.push_back(text);
    }

    /// Records, then says that the answer is whole.
    fn end_well(&mut self) {
        if let Some(record) = self.record.take() {
            record.finish(&self.sent.answered(self.usage.as_ref()));
        }
        self.say("[DONE]");
        self.ended = true;
    }

    /// Records, then says what went wrong; no `[DONE]` follows.
    fn end_badly(&mut self, error: ModelError) {
        let refusal = Refusal::model(self.sent.remote.upstream.id().as_str(), &error);
        tracing::debug!(request = %self.id, "a stream ended badly: {error}");
        if let Some(record) = self.record.take() {
            record.finish(&self.sent.ended(self.spent(), Outcome::Failed(error)));
        }
        self.gateway.metrics.cut();
        self.say(&refusal.data());
        self.ended = true;
    }

    /// What is known to be used; a stream that broke off has used more than nobody says.
    fn spent(&self) -> Usage {
        self.usage.as_ref().map_or(Usage::UNKNOWN, |usage| self.sent.spent(Some(usage)))
    }

    fn say(&mut self, data: &str) {
        let mut text = String::new();
        write_data(data, &mut text);
        self.ready.push_back(text);
    }

    /// The next bytes for the client.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if !self.ready.is_empty() {
                let together: String = self.ready.drain(..).collect();
                return Some((Ok(Bytes::from(together)), self));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.more().await {
                self.end_badly(error);
            }
        }
    }
}

impl Came {
    fn is_content(&self) -> bool {
        matches!(self, Self::Content)
    }
}

/// Waits for the first content, so that a failure before it is an ordinary error; then lets the stream run.
pub(crate) async fn respond(mut relay: Relay) -> Result<Passed, Refusal> {
    loop {
        match relay.more().await {
            Ok(Came::Content) => break,
            Ok(Came::Nothing) => {}
            Err(error) => {
                let Some(record) = relay.record.take() else { break };
                let spent = relay.spent();
                return Err(relay.sent.failed(spent, error, record));
            }
        }
    }
    let mut head = head(&relay.reply);
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let model = relay.sent.remote.upstream.id().to_string();
    let body = Body::from_stream(stream::unfold(relay, Relay::next));
    Ok(Passed { model, climbed: None, response: (head, body).into_response() })
}
