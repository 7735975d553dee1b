//! `POST /v1/embeddings`: what vector is a text? By an encoder of ours where one is named; another model's are passed on.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sprat_cascade::{Climbed, Encoder, End};
use sprat_task::{Embedded, ModelError, Money, Outcome, Provenance, Step, TaskName, Tokens, Usage};
use sprat_wire::openai::chat::Usage as Counted;
use sprat_wire::openai::embeddings::{
    Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Vector,
};
use sprat_wire::{Object, parse_body};

use crate::Gateway;
use crate::accept::{Accepted, Arrival};
use crate::encode;
use crate::error::Refusal;
use crate::pass;
use crate::record::{NO_TASK, Record, micros};

/// Most texts of one call, as with OpenAI.
const MOST_TEXTS: usize = 2_048;

/// Makes vectors of texts.
pub async fn embeddings(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    let answered = answer(&gateway, &accepted, arrival).await;
    encode::named(&id, answered.unwrap_or_else(IntoResponse::into_response))
}

async fn answer(gateway: &Arc<Gateway>, accepted: &Accepted, arrival: Arrival) -> Result<Response, Refusal> {
    let asked: Object = parse_body(&arrival.body).map_err(unreadable)?;
    let name = asked.get("model").and_then(|name| name.as_str()).unwrap_or_default();
    let encoder = gateway.current.deployed().encoders.get(name).cloned();
    let Some(encoder) = encoder else { return pass::other(gateway, accepted, arrival, "/embeddings").await };
    if let Some(lease) = &accepted.lease {
        lease.may_use(&encoder.id)?;
    }
    let call: EmbeddingRequest = parse_body(&arrival.body).map_err(unreadable)?;
    let (texts, form) = (texts(&call.input)?, Form::of(&call)?);
    check_dimensions(&call, &encoder)?;
    let record = Record::of(gateway, accepted, TaskName::from(NO_TASK), Provenance::Measured);
    let embedded = embed(accepted, &encoder, &texts, record).await;
    let embedded = embedded.map_err(|error| Refusal::model(encoder.id.as_str(), &error))?;
    Ok(Json(reply(&encoder, form, embedded)).into_response())
}

fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::request(format!("the body can't be read as a request for embeddings: {error}"))
}

/// How a vector is written.
#[derive(Clone, Copy)]
enum Form {
    Floats,
    Base64,
}

impl Form {
    fn of(call: &EmbeddingRequest) -> Result<Self, Refusal> {
        match call.encoding_format.as_deref() {
            None | Some("float") => Ok(Self::Floats),
            Some("base64") => Ok(Self::Base64),
            Some(other) => Err(Refusal::field(
                "encoding_format",
                format!("`encoding_format` is `{other}`; it must be `float` or `base64`"),
            )),
        }
    }

    fn write(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Floats => Vector::Floats(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

fn texts(input: &EmbeddingInput) -> Result<Vec<&str>, Refusal> {
    let texts: Vec<&str> = match input {
        EmbeddingInput::Text(text) => vec![text],
        EmbeddingInput::Texts(texts) => texts.iter().map(String::as_str).collect(),
        EmbeddingInput::Tokens(_) | EmbeddingInput::TokenLists(_) => {
            return Err(Refusal::field(
                "input",
                "`input` holds tokens of another model's tokenizer; give the text itself",
            ));
        }
    };
    match texts.len() {
        1..=MOST_TEXTS => Ok(texts),
        count => Err(Refusal::field(
            "input",
            format!("`input` holds {count} texts; it must hold 1 to {MOST_TEXTS}"),
        )),
    }
}

/// A vector is as long as its model makes it: cutting it would change what is near to what.
fn check_dimensions(call: &EmbeddingRequest, encoder: &Encoder) -> Result<(), Refusal> {
    let own = encoder.embed.dimensions();
    match call.dimensions {
        Some(wanted) if wanted as usize != own => Err(Refusal::field(
            "dimensions",
            format!("`dimensions` is {wanted}, and the vectors of `{}` have {own}: leave it out", encoder.id),
        )),
        _ => Ok(()),
    }
}

/// Asks the encoder, and records what that took.
async fn embed(
    accepted: &Accepted,
    encoder: &Encoder,
    texts: &[&str],
    record: Record,
) -> Result<Embedded, ModelError> {
    let began = Instant::now();
    let embedded = encoder.embed.embed(&accepted.cx, texts).await;
    let (tokens, outcome, end) = match &embedded {
        Ok(embedded) => {
            let tokens = Tokens { input: embedded.tokens, ..Tokens::default() };
            (Some(tokens), Outcome::Last, End::Small)
        }
        Err(error) => (None, Outcome::Failed(error.clone()), End::Failed),
    };
    let usage = Usage { tokens, cost: Some(Money::ZERO) };
    let step = Step { model: encoder.id.clone(), usage, latency_us: micros(began), outcome };
    let answered_by = embedded.is_ok().then(|| encoder.id.clone());
    record.finish(&Climbed { steps: vec![step], answered_by, end, ..Climbed::starting() });
    embedded
}

fn reply(encoder: &Encoder, form: Form, embedded: Embedded) -> EmbeddingResponse {
    let vector = |(vector, index)| Embedding {
        object: "embedding".into(),
        index,
        embedding: form.write(vector),
        rest: Object::new(),
    };
    let tokens = Some(embedded.tokens);
    EmbeddingResponse {
        object: "list".into(),
        data: embedded.vectors.into_iter().zip(0..).map(vector).collect(),
        model: encoder.id.to_string(),
        usage: Some(Counted { prompt_tokens: tokens, total_tokens: tokens, ..Counted::default() }),
        rest: Object::new(),
    }
}
