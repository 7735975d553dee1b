//! A stream, event by event: held until it has content, its usage read, its end recorded before it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use sprat_task::model::WireReply;
use sprat_task::{ModelError, Outcome, RequestId};
use sprat_wire::openai::chat;
use sprat_wire::sse::{SseEvent, SseParser, write_data};

use crate::Gateway;
use crate::attempt::Asked;
use crate::dialect::{Dialect, Heard, Says};
use crate::error::Refusal;
use crate::pass::Passed;
use crate::record::Record;

/// A stream as it comes in, in OpenAI's words.
pub(crate) struct Incoming {
    head: HeaderMap,
    reply: WireReply,
    dialect: Dialect,
    parser: SseParser,
    /// Events that are ready to go.
    ready: VecDeque<String>,
    /// Whether an answer has said why it ended.
    finished: bool,
    ended: bool,
}

/// What has come.
#[derive(PartialEq)]
enum Came {
    /// Events without content: a role, a comment.
    Nothing,
    /// Content, or the end.
    Content,
}

impl Incoming {
    pub fn new(head: HeaderMap, reply: WireReply, dialect: Dialect) -> Self {
        Self {
            head,
            reply,
            dialect,
            parser: SseParser::new(),
            ready: VecDeque::new(),
            finished: false,
            ended: false,
        }
    }

    /// Waits for the first content, so that a failure before it is an ordinary error.
    pub async fn hold(&mut self) -> Result<(), ModelError> {
        while self.more().await? == Came::Nothing {}
        Ok(())
    }

    /// What it has used, where it has said so; one that broke off has used more than nobody says.
    pub fn usage(&self) -> Option<Box<chat::Usage>> {
        self.dialect.usage()
    }

    /// Waits for the next bytes and takes their events. An error ends the stream.
    async fn more(&mut self) -> Result<Came, ModelError> {
        let mut events = Vec::new();
        match self.reply.body.next().await {
            Some(Ok(bytes)) => {
                let read = self.parser.push(&bytes, &mut events);
                read.map_err(|error| ModelError::Failed(error.to_string()))?;
                self.take(events)
            }
            Some(Err(error)) => Err(error),
            None => {
                events.extend(std::mem::take(&mut self.parser).finish());
                if self.take(events)? == Came::Nothing && !self.finished {
                    return Err(ModelError::Unavailable("the stream broke off before its end".to_owned()));
                }
                self.end();
                Ok(Came::Content)
            }
        }
    }

    fn take(&mut self, events: Vec<SseEvent>) -> Result<Came, ModelError> {
        let mut came = Came::Nothing;
        for event in events {
            if self.ended {
                break;
            }
            let Heard { says, told } = self.dialect.hear(event)?;
            if let Some(told) = told {
                self.pass(told);
            }
            match says {
                Says::Nothing => continue,
                Says::Content => {}
                Says::Finished => self.finished = true,
                Says::End => self.end(),
            }
            came = Came::Content;
        }
        Ok(came)
    }

    fn pass(&mut self, event: SseEvent) {
        let mut text = String::with_capacity(event.data.len() + 8);
        SseEvent { id: None, ..event }.write_to(&mut text);
        self.ready.push_back(text);
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(words) = self.dialect.last_words() {
            self.say(&words);
        }
        self.say("[DONE]");
    }

    fn say(&mut self, data: &str) {
        let mut text = String::new();
        write_data(data, &mut text);
        self.ready.push_back(text);
    }
}

/// A stream on its way through.
pub(crate) struct Relay {
    gateway: Arc<Gateway>,
    id: RequestId,
    asked: Asked,
    incoming: Incoming,
    /// `None` once its end is recorded.
    record: Option<Record>,
    /// Of the events that are ready, those that have been listened to.
    heard: usize,
}

impl Relay {
    /// A stream that has content, and where its end is recorded.
    pub fn new(
        gateway: &Arc<Gateway>,
        id: &RequestId,
        asked: Asked,
        incoming: Incoming,
        record: Record,
    ) -> Self {
        let mut relay = Self {
            gateway: gateway.clone(),
            id: id.clone(),
            asked,
            incoming,
            record: Some(record),
            heard: 0,
        };
        relay.settle();
        relay
    }

    /// Lets it run.
    pub fn pass(mut self) -> Passed {
        let mut head = std::mem::take(&mut self.incoming.head);
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let model = self.asked.remote.upstream.id().to_string();
        let body = Body::from_stream(stream::unfold(self, Self::next));
        Passed { model, climbed: None, response: (head, body).into_response() }
    }

    /// Where a task wants to know what is said: hears what the client is about to be told.
    fn listen(&mut self) {
        let Some(listening) = self.record.as_mut().and_then(Record::listening) else { return };
        for event in self.incoming.ready.iter().skip(self.heard) {
            let data = event.strip_prefix("data: ").unwrap_or_default().trim_end();
            if let Ok(chat::StreamData::Chunk(chunk)) = chat::parse_stream_data(data) {
                listening.piece(&chunk);
            }
        }
        self.heard = self.incoming.ready.len();
    }

    /// Records a whole answer, before its end is told.
    fn settle(&mut self) {
        self.listen();
        if self.incoming.ended
            && let Some(record) = self.record.take()
        {
            record.finish(&self.asked.answered(self.incoming.usage().as_deref()));
        }
    }

    /// Records, then says what went wrong; no `[DONE]` follows.
    fn end_badly(&mut self, error: ModelError) {
        let refusal = Refusal::model(self.asked.remote.upstream.id().as_str(), &error);
        tracing::debug!(request = %self.id, "a stream ended badly: {error}");
        if let Some(record) = self.record.take() {
            let spent = self.asked.spent(self.incoming.usage().as_deref());
            record.finish(&self.asked.ended(spent, Outcome::Failed(error)));
        }
        self.gateway.metrics.cut();
        self.incoming.say(&refusal.data());
        self.incoming.ended = true;
    }

    /// The next bytes for the client.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            self.settle();
            if !self.incoming.ready.is_empty() {
                self.heard = 0;
                let together: String = self.incoming.ready.drain(..).collect();
                return Some((Ok(Bytes::from(together)), self));
            }
            if self.incoming.ended {
                return None;
            }
            if let Err(error) = self.incoming.more().await {
                self.end_badly(error);
            }
        }
    }
}
