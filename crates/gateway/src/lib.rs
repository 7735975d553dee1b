//! The server: OpenAI's protocol in front, certified small models behind it, the large model for everything else.
//!
//! A request takes six stages, one file each:
//!
//! | stage | question | file |
//! |---|---|---|
//! | accept | May it come in, what is it called, and until when is an answer wanted? | [`accept`] |
//! | decode | What does the body ask? | [`decode`] |
//! | resolve | Whose is it: a task's, or a remote model's? | [`resolve`], [`shape`] |
//! | answer | What is the answer? | [`answer`], [`pass`] |
//! | encode | How is that said on the wire? | [`encode`], [`relay`] |
//! | record | What did it do and cost? | [`record`] |
//!
//! Beside them: [`current`] (what answers now, exchanged while requests run), [`error`] (every error in OpenAI's four
//! keys), [`metrics`], [`server`] (sockets, and how to leave). The models come through `LadderLoader`: this crate knows
//! none of them.

pub mod accept;
pub mod answer;
pub mod current;
pub mod decode;
pub mod encode;
pub mod error;
pub mod feedback;
pub mod metrics;
pub mod pass;
pub mod record;
pub mod relay;
pub mod resolve;
pub mod server;
pub mod shape;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use accept::{Accepted, Arrival};
use answer::answer;
use current::Current;
use decode::decode;
use encode::encode;
use error::Refusal;
use metrics::Metrics;
use record::Record;
use resolve::resolve;
pub use server::{Addresses, Server};
use sprat_store::Store;

/// How the gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Everything goes to the large model untouched; small models only say what they would have answered.
    pub shadow: bool,
    /// Longest body of a request, in bytes.
    pub body_limit: usize,
    /// Requests that may be under way at once; more are told to come back.
    pub most_at_once: usize,
    /// How long an answer may take, in seconds.
    pub deadline_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { shadow: false, body_limit: 32 << 20, most_at_once: 1024, deadline_s: 600 }
    }
}

/// What all requests share.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) current: Current,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) places: Arc<tokio::sync::Semaphore>,
}

impl Gateway {
    /// A gateway over a store, with nothing loaded yet.
    pub fn new(settings: Settings, store: Store) -> Self {
        let places = Arc::new(tokio::sync::Semaphore::new(settings.most_at_once));
        Self { settings, current: Current::default(), store, metrics: Metrics::default(), places }
    }

    /// What answers now.
    pub fn current(&self) -> &Current {
        &self.current
    }
}

/// What clients see.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let body_limit = DefaultBodyLimit::max(gateway.settings.body_limit);
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(pass::embeddings))
        .route("/v1/moderations", post(pass::moderations))
        .route("/v1/models", get(resolve::models))
        .route("/v1/models/{*name}", get(resolve::model))
        .route("/v1/feedback", post(feedback::feedback))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(body_limit)
        .with_state(gateway)
}

/// What operators see, on a port of its own.
pub fn management(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/health", get(metrics::health))
        .route("/health/liveliness", get(metrics::health))
        .route("/health/readiness", get(metrics::readiness))
        .route("/metrics", get(metrics::metrics))
        .fallback(error::no_such_path)
        .with_state(gateway)
}

/// `POST /v1/chat/completions`: the six stages.
async fn chat(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    let answered: Result<Response, Refusal> = async {
        let call = decode(arrival, gateway.settings.body_limit)?;
        let route = resolve(&gateway.current.deployed(), &call)?;
        let record = Record::begin(&gateway, &accepted, &route);
        let answered = answer(&gateway, &accepted, &route, &call, record).await?;
        Ok(encode(&accepted, &route, &call, answered))
    }
    .await;
    encode::named(&id, answered.unwrap_or_else(IntoResponse::into_response))
}
