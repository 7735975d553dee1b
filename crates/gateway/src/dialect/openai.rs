//! OpenAI's protocol, passed on as it came.

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use sprat_task::ModelError;
use sprat_task::model::WireRequest;
use sprat_wire::openai::chat::{StreamData, Usage, parse_stream_data};
use sprat_wire::parse_body;
use sprat_wire::sse::SseEvent;

use super::{Heard, Says, Whole, gave_up, passed_headers, says};
use crate::decode::Call;
use crate::error::Refusal;

/// What is remembered of a call until its reply has come.
pub(crate) struct OpenAi {
    /// The client didn't ask for the usage; we did.
    hide_usage: bool,
    usage: Option<Box<Usage>>,
}

impl OpenAi {
    pub fn speak(call: &Call, model: &str) -> Result<(WireRequest, Self), Refusal> {
        let hide_usage = call.chat.is_stream() && !call.chat.wants_stream_usage();
        let (mut request, ears) = Self::as_it_is("/chat/completions", &call.headers, &call.raw, model)?;
        if hide_usage {
            request.body = body(&call.raw, model, true)?;
        }
        Ok((request, Self { hide_usage, ..ears }))
    }

    pub fn as_it_is(
        path: &str,
        headers: &HeaderMap,
        raw: &Bytes,
        model: &str,
    ) -> Result<(WireRequest, Self), Refusal> {
        let body = body(raw, model, false)?;
        let request = WireRequest { path: path.to_owned(), headers: passed_headers(headers), body };
        Ok((request, Self { hide_usage: false, usage: None }))
    }

    pub fn whole(&self, body: Vec<u8>) -> Whole {
        #[derive(serde::Deserialize)]
        struct Metered {
            usage: Option<Box<Usage>>,
        }
        let usage = parse_body::<Metered>(&body).ok().and_then(|reply| reply.usage);
        Whole { body, usage }
    }

    pub fn hear(&mut self, event: SseEvent) -> Result<Heard, ModelError> {
        let chunk = match parse_stream_data(&event.data) {
            Ok(StreamData::Chunk(chunk)) => chunk,
            Ok(StreamData::Done) => return Ok(Heard { says: Says::End, told: None }),
            Ok(StreamData::Error(error)) => return Err(gave_up(&error)),
            // What we can't read may still mean something to the client.
            Err(_) => return Ok(Heard { says: Says::Nothing, told: Some(event) }),
        };
        let says = says(&chunk);
        let is_hidden = self.hide_usage && chunk.choices.is_empty() && chunk.usage.is_some();
        self.usage = chunk.usage.map(Box::new).or_else(|| self.usage.take());
        Ok(Heard { says, told: (!is_hidden).then_some(event) })
    }

    pub fn usage(&self) -> Option<Box<Usage>> {
        self.usage.clone()
    }
}

/// The body as it came, but for the model's name, and for the usage that we must know to charge a stream.
fn body(raw: &Bytes, model: &str, ask_for_usage: bool) -> Result<Vec<u8>, Refusal> {
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
