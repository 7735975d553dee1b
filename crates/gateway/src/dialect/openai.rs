//! OpenAI's protocol, passed on as it came.

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use sprat_task::ModelError;
use sprat_task::model::WireRequest;
use sprat_wire::openai::chat::{StreamData, Usage, parse_stream_data};
use sprat_wire::sse::SseEvent;
use sprat_wire::{RawObject, parse_body};

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
        let body = body(&call.raw, model, hide_usage)?;
        let headers = passed_headers(&call.headers);
        Ok((
            WireRequest { path: "/chat/completions".to_owned(), headers, body },
            Self { hide_usage, usage: None },
        ))
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

/// The body as it came, byte for byte but for the model's name, and for the usage that we must know to charge a stream.
fn body(raw: &Bytes, model: &str, ask_for_usage: bool) -> Result<Vec<u8>, Refusal> {
    let unread = |error| Refusal::request(format!("the body can't be read: {error}"));
    let mut body = RawObject::parse(raw).map_err(unread)?;
    body.set("model", Value::from(model).to_string());
    if ask_for_usage {
        let given = body.get("stream_options").and_then(|options| parse_body(options.as_bytes()).ok());
        let mut options: Map<String, Value> = given.unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        body.set("stream_options", Value::Object(options).to_string());
    }
    Ok(body.to_string().into_bytes())
}
