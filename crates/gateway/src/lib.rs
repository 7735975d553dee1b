//! The server: OpenAI's protocol in front, certified small models behind it, the large model for everything else.
//!
//! A request takes six stages, one file each:
//!
//! | stage | question | file |
//! |---|---|---|
//! | accept | May it come in, what is it called, and until when is an answer wanted? | [`accept`] |
//! | decode | What does the body ask? | [`decode`] |
//! | resolve | Whose is it: a task's, or a remote model's? | [`resolve`], [`shape`] |
//! | answer | What is the answer? | [`answer`], [`moderate`], [`pass`], `attempt`, `dialect` |
//! | encode | How is that said on the wire? | [`encode`], `relay` |
//! | record | What did it do and cost, and what was said where a task keeps that? | [`record`], [`capture`] |
//!
//! Beside them:
//!
//! | question | file |
//! |---|---|
//! | Whose request is it? Asked before its body is read. | [`keys`] |
//! | How often may it ask, and for how much? | [`limits`], [`quote`], [`budget`] |
//! | What answers now? Exchanged while requests run. | [`current`] |
//! | What vector is a text? | `embeddings` |
//! | Was a small answer right? | [`audit`] |
//! | What did the large model's own words mean for a task? | [`reply`] |
//! | What would a release have answered that only watches? | [`watch`] |
//! | What do people look at? | `dashboard` |
//! | What do operators watch? | [`metrics`] |
//! | What is said when there is no answer? Every error in OpenAI's four keys. | [`error`] |
//! | Where does it listen, and how does it leave? | [`server`], `connection` |
//!
//! The models come through `LadderLoader`: this crate knows none of them.

pub mod accept;
pub mod answer;
mod attempt;
pub mod audit;
pub mod budget;
pub mod capture;
mod connection;
pub mod current;
mod dashboard;
pub mod decode;
mod dialect;
mod embeddings;
pub mod encode;
pub mod error;
pub mod feedback;
pub mod keys;
pub mod limits;
pub mod metrics;
pub mod moderate;
pub mod pass;
pub mod quote;
pub mod record;
mod relay;
pub mod reply;
pub mod resolve;
pub mod server;
pub mod shape;
pub mod watch;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use accept::{Accepted, Arrival};
use answer::answer;
use audit::Auditor;
use capture::{Capture, Captures};
use current::Current;
use decode::decode;
use encode::encode;
use error::Refusal;
use keys::Keyring;
use metrics::Metrics;
use record::Record;
use resolve::{permitted, resolve};
pub use server::{Addresses, Server};
use sprat_store::Store;
use sprat_task::KeySecret;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use watch::{Watch, Watching};

/// How the gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Everything goes to the large model untouched; small models only say what they would have answered.
    pub shadow: bool,
    /// Longest body of a request, in bytes.
    pub body_limit: usize,
    /// Requests that may be under way at once; more are told to come back.
    pub most_at_once: usize,
    /// Room for the bodies of all requests under way together, in bytes; beyond it requests are told to come back.
    pub bodies_limit: usize,
    /// How long an answer may take.
    pub deadline: Duration,
    /// How long a client may take to send a request's head, then its body, and to take anything of the reply.
    pub client_timeout: Duration,
    /// Connections that may be open at once; more wait to be taken in.
    pub most_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shadow: false,
            body_limit: 32 << 20,
            most_at_once: 1024,
            bodies_limit: 1 << 30,
            deadline: Duration::from_secs(600),
            client_timeout: Duration::from_secs(60),
            most_connections: 10_000,
        }
    }
}

/// What all requests share.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) current: Current,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) auditor: Auditor,
    pub(crate) captures: Captures,
    /// What goes on after replies have gone out; finished before the server leaves.
    pub(crate) background: TaskTracker,
    pub(crate) places: Arc<Semaphore>,
    /// Room for the bodies of requests, in KiB.
    pub(crate) room: Arc<Semaphore>,
    /// Where clients connect; unknown until the sockets are bound.
    pub(crate) clients: OnceLock<SocketAddr>,
    pub(crate) watching: Arc<Watching>,
    pub(crate) keys: Keyring,
}

impl Gateway {
    /// A gateway over a store, with nothing to answer with loaded yet. Where the store has keys it is open to nobody
    /// until it [can recognise them](Self::with_secret).
    pub fn new(settings: Settings, store: Store) -> Self {
        let places = Arc::new(Semaphore::new(settings.most_at_once));
        let room = settings.bodies_limit.div_ceil(1024).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room));
        let metrics = Metrics::default();
        let captures = Captures::start(store.clone(), metrics.not_captured());
        let gateway = Self {
            settings,
            current: Current::default(),
            store,
            metrics,
            auditor: Auditor::default(),
            captures,
            watching: Arc::default(),
            background: TaskTracker::new(),
            places,
            room,
            clients: OnceLock::new(),
            keys: Keyring::new(None),
        };
        gateway.load_keys_or_warn();
        gateway
    }

    /// The same, recognising keys by the workspace's secret.
    pub fn with_secret(mut self, secret: KeySecret) -> Self {
        self.keys = Keyring::new(Some(secret));
        self.load_keys_or_warn();
        self
    }

    /// Reads the store's keys now, rather than within a second or so. Waits for the disk.
    pub fn load_keys(&self) -> Result<(), String> {
        self.keys.load(&self.store)
    }

    fn load_keys_or_warn(&self) {
        if let Err(why) = self.load_keys() {
            tracing::warn!("nobody comes in until the keys can be read: {why}");
        }
    }

    /// Returns when the texts of all requests that have ended are kept. Waits for the disk.
    pub fn settle_captures(&self) {
        self.captures.settle();
    }

    /// Where clients connect, as a page shows it.
    pub(crate) fn client_address(&self) -> String {
        self.clients.get().map_or_else(|| "127.0.0.1:7077".to_owned(), ToString::to_string)
    }

    /// What answers now.
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many small answers are checked.
    pub fn auditor(&self) -> &Auditor {
        &self.auditor
    }

    /// Returns once everything that goes on after replies is done.
    pub async fn quiet(&self) {
        self.background.close();
        self.background.wait().await;
        self.background.reopen();
    }

    /// What releases in shadow have seen.
    pub fn watching(&self) -> &Arc<Watching> {
        &self.watching
    }
}

/// What clients see.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/moderations", post(moderate::moderations))
        .route("/v1/models", get(resolve::models))
        .route("/v1/models/{*name}", get(resolve::model))
        .route("/v1/feedback", post(feedback::feedback))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn_with_state(gateway.clone(), keys::admit))
        .layer(map_response(encode::always_named))
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
        .with_state(gateway.clone())
        .merge(dashboard::routes(gateway))
}

/// `POST /v1/chat/completions`: the six stages.
async fn chat(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    let answered: Result<Response, Refusal> = async {
        let call = decode(arrival)?;
        let route = permitted(&accepted, resolve(&gateway.current.deployed(), &accepted, &call)?)?;
        let capture = Capture::begin(&accepted, &route, &call);
        let watch = Watch::of(&gateway, &accepted, &route);
        let record = Record::begin(&gateway, &accepted, &route)
            .capturing(capture, &route)
            .watched_by(watch.as_ref(), &route);
        let answered = answer(&gateway, &accepted, &route, &call, record).await?;
        let reply = encode(&accepted, &route, &call, answered);
        Ok(match watch {
            Some(watch) => watch.after(reply),
            None => reply,
        })
    }
    .await;
    encode::named(&id, answered.unwrap_or_else(IntoResponse::into_response))
}
