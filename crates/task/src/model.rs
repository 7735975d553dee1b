//! Who may answer, and who trains them. Open sets are traits held as `Arc<dyn Trait>`, so that fakes work.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::input::{Input, LabelledRow};
use crate::money::Usage;
use crate::names::{ModelId, RequestId};
use crate::prediction::Prediction;
use crate::task::Task;

/// What every attempt of one request shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// When an answer is no longer wanted.
    pub deadline: Instant,
    /// Cancelled when the client has left.
    pub cancel: CancellationToken,
    /// Whose attempt it is.
    pub request: RequestId,
}

impl Context {
    /// A context without a way to cancel it from outside.
    pub fn until(deadline: Instant, request: impl Into<RequestId>) -> Self {
        Self { deadline, cancel: CancellationToken::new(), request: request.into() }
    }

    /// How long is left at `now`; `None` once the deadline has passed.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.deadline.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// The same for the first of several that are asked one after the other: it gets an equal share of the time that is
    /// left, so that one that hangs leaves something to the next. The last of them gets all of it.
    pub fn sharing(&self, among: usize, now: Instant) -> Self {
        let among = u32::try_from(among.max(1)).unwrap_or(u32::MAX);
        let deadline = match self.left(now) {
            Some(left) if among > 1 => now + left / among,
            _ => self.deadline,
        };
        Self { deadline, ..self.clone() }
    }
}

/// Why a model could not answer. Small on purpose: what a caller can do about it differs, nothing else.
/// No message ever holds a secret or a request's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "error", content = "why")]
pub enum ModelError {
    /// It took longer than the deadline allows.
    #[error("no answer before the deadline")]
    Timeout,
    /// The client left.
    #[error("cancelled")]
    Cancelled,
    /// The provider asks for patience; with what its answer said about how long, in milliseconds.
    #[error("the provider refused for now (too many requests)")]
    Busy {
        /// `retry-after`, where given.
        retry_after_ms: Option<u64>,
    },
    /// Not reachable, or restarting.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Not asked, because it failed too often lately.
    #[error("unavailable: {why}")]
    Resting {
        /// How it failed.
        why: String,
        /// How long it rests, in milliseconds.
        retry_after_ms: u64,
    },
    /// The provider doesn't accept the request or the key.
    #[error("refused: {0}")]
    Refused(String),
    /// It answered, but not with an answer this task has.
    #[error("the answer is not one of this task's: {0}")]
    BadAnswer(String),
    /// The input can't be handled (too long, not text).
    #[error("the input can't be handled: {0}")]
    BadInput(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl ModelError {
    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout | Self::Busy { .. } | Self::Unavailable(_) | Self::Resting { .. })
    }

    /// Whether another model may answer where this one could not. Not where the client has left, where the input is at
    /// fault, or where there is an answer already, be it a bad one.
    pub fn another_may_answer(&self) -> bool {
        !matches!(self, Self::Cancelled | Self::BadInput(_) | Self::BadAnswer(_))
    }
}

/// One attempt a row, in order: a bad row fails alone, and what was spent is known even when there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What it used.
    pub usage: Usage,
    /// How long it took.
    pub latency: Duration,
    /// The answer; `None` where the model abstained.
    pub result: Result<Option<Prediction>, ModelError>,
}

impl Attempt {
    /// A free attempt: with an answer, or without one where the model abstained.
    pub fn free(prediction: impl Into<Option<Prediction>>, latency: Duration) -> Self {
        Self { usage: Usage::FREE, latency, result: Ok(prediction.into()) }
    }

    /// An attempt that failed before anything was spent.
    pub fn failed(error: ModelError) -> Self {
        Self { usage: Usage::FREE, latency: Duration::ZERO, result: Err(error) }
    }

    /// The prediction, where there is one.
    pub fn prediction(&self) -> Option<&Prediction> {
        self.result.as_ref().ok().and_then(Option::as_ref)
    }
}

/// Anything that answers a task.
pub trait Model: Send + Sync {
    /// Its declared name.
    fn id(&self) -> &ModelId;

    /// One attempt for each input, in the order of the inputs.
    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>>;

    /// The most that one answer to this input may use; unknown unless the model says so.
    fn at_most(&self, _task: &Task, _input: &Input) -> Usage {
        Usage::UNKNOWN
    }

    /// The training rows nearest to an input, where the model has kept them and can compare; at most so many.
    fn nearest<'a>(
        &'a self,
        _cx: &'a Context,
        _input: &'a Input,
        _most: usize,
    ) -> BoxFuture<'a, Option<Nearest>> {
        Box::pin(std::future::ready(None))
    }

    /// The names of [`Prediction::features`], in their order. Empty where the model gives none.
    fn feature_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Raised when features, scores or decoding change: a certificate is bound to it.
    fn scorer_version(&self) -> u32 {
        1
    }

    /// Whether somebody is paid for asking, or another machine works: such a model is never asked on the side.
    fn is_remote(&self) -> bool {
        false
    }

    /// How the process stands that the model runs in, where it has one of its own.
    fn own_process(&self) -> Option<OwnProcess> {
        None
    }
}

/// A process that a model runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnProcess {
    /// Whether it runs now; it is started when the model is first asked.
    pub is_running: bool,
    /// How often it ended without being told to.
    pub crashes: u64,
    /// How it ended the last time, in a sentence.
    pub last: Option<String>,
}

/// Training rows that are near to an input, as a model sees them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nearest {
    /// How many rows it was trained on.
    pub among: usize,
    /// The nearest first.
    pub rows: Vec<NearRow>,
}

/// A training row and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearRow {
    /// Its place among the rows that the model was trained on, in the order in which they were given.
    pub row: usize,
    /// The cosine of the two texts' vectors, -1 to 1.
    pub similarity: f32,
}

/// A model that can speak at length: pieces of text as they come, then what it used.
pub trait Generate: Model {
    /// Answers one input piece by piece. The last item is always [`Piece::End`], also after an error.
    fn generate<'a>(&'a self, cx: &'a Context, task: &'a Task, input: &'a Input) -> BoxStream<'a, Piece>;
}

/// One item of a generated answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// The next piece of text.
    Text(String),
    /// The end, and what was used.
    End {
        /// What it used in all.
        usage: Usage,
        /// Whether it ended well.
        result: Result<(), ModelError>,
    },
}

/// A model as a wire, most of them remote: a request through as it came, a stream of chunks back. What the bytes mean is
/// `sprat-wire`'s business, so that nothing of a request is lost on the way.
pub trait Upstream: Send + Sync {
    /// Its declared name.
    fn id(&self) -> &ModelId;

    /// Sends a request; the reply's head comes at once, its body chunk by chunk.
    fn send<'a>(&'a self, cx: &'a Context, request: WireRequest)
    -> BoxFuture<'a, Result<WireReply, NoReply>>;

    /// How the process stands that the model runs in, where it runs on this machine.
    fn own_process(&self) -> Option<OwnProcess> {
        None
    }
}

/// A request as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    /// The path below the upstream's base, such as `/chat/completions`.
    pub path: String,
    /// Headers to add; never the key, which the upstream itself adds.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A reply as it comes over the wire.
pub struct WireReply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunk by chunk; dropping it cancels the call.
    pub body: BoxStream<'static, Result<Vec<u8>, ModelError>>,
    /// Whether an earlier try, or the refusal that this is, may have cost something that nobody reported.
    pub unknown_cost: bool,
}

/// A request without a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NoReply {
    /// Why.
    pub error: ModelError,
    /// Whether a try may have cost something that nobody reported; false where nothing was sent.
    pub unknown_cost: bool,
}

impl NoReply {
    /// Before anything was sent.
    pub fn unsent(error: ModelError) -> Self {
        Self { error, unknown_cost: false }
    }

    /// What was spent on it.
    pub fn usage(&self) -> Usage {
        if self.unknown_cost { Usage::UNKNOWN } else { Usage::FREE }
    }
}

/// Texts to vectors of one length.
pub trait Embed: Send + Sync {
    /// The vectors' length.
    fn dimensions(&self) -> usize;

    /// What it has computed so far.
    fn computed(&self) -> Computed;

    /// One vector of unit length for each text, in order.
    fn embed<'a>(
        &'a self,
        cx: &'a Context,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Embedded, ModelError>>;
}

/// How much has been computed, and how well callers shared it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Computed {
    /// Texts.
    pub texts: u64,
    /// Batches of them; callers at the same time share one.
    pub batches: u64,
}

/// What texts were made into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// A vector for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts together.
    pub tokens: u64,
}

/// What a trainer is given besides the rows.
pub struct Training<'a> {
    /// Seed of everything random: the same rows and seed give the same artefact.
    pub seed: u64,
    /// Threads it may use, at least 1.
    pub threads: usize,
    /// A folder that outlives an interrupted run: what lies there of the very same run is gone on with. `None`: every run
    /// begins anew.
    pub kept: Option<&'a Path>,
    /// Called with progress; [`ControlFlow::Break`] asks the trainer to stop, and it returns [`TrainError::Cancelled`].
    pub progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
}

/// How far a training run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Share done, 0 to 1.
    pub done: f32,
    /// Mean loss of the last pass, where there is one.
    pub loss: Option<f32>,
    /// Rows taught a second, where that is known.
    pub rows_per_second: Option<f32>,
}

/// Why training gave no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Somebody asked it to stop.
    #[error("stopped")]
    Cancelled,
    /// The rows can't teach anything; the sentence says why.
    #[error("{0}")]
    Rows(String),
    /// The artefact could not be written or read back; the sentence names the file.
    #[error("{0}")]
    Artifact(String),
}

/// A trained model, the file it is served from, and what models that never saw a row said of it.
pub struct Fitted {
    /// Ready to answer, from the very artefact that will be served.
    pub model: Arc<dyn Model>,
    /// The artefact's file name inside the folder given to [`Trainer::fit`].
    pub file: String,
    /// One attempt for each row, made by a model that saw no row of that row's fold; `None` where every model that was
    /// fitted has seen it. Enough rows have one to calibrate on.
    pub out_of_fold: Vec<Option<Attempt>>,
    /// What was tried on the way, where there was a choice.
    pub told: Option<Told>,
}

/// What a trainer tried, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What was tried, all of it on the same rows, which it had not seen.
    pub tried: Vec<Tried>,
    /// What the best of it that trains most gained over what trains less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gains: Vec<Gain>,
    /// Each pass of fine-tuning by pairs; empty where there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pair_passes: Vec<Pass>,
    /// Each pass of fine-tuning by labels; empty where there was none.
    pub passes: Vec<Pass>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// What it is, in a few words.
    pub name: String,
    /// Rows that it had not seen.
    pub rows: u64,
    /// Share of them that it answers rightly.
    pub accuracy: f64,
    /// Whether it is what the rung became.
    pub chosen: bool,
}

/// What one thing that was tried gained over another, on the same rows. Neither had seen them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gain {
    /// What it is.
    pub of: String,
    /// What it is compared with.
    pub over: String,
    /// Rows that both answered.
    pub rows: u64,
    /// Rows that only it answered rightly.
    pub only_it: u64,
    /// Rows that only the other answered rightly.
    pub only_other: u64,
}

/// One pass of fine-tuning over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Passes done.
    pub pass: u32,
    /// Mean loss of the rows taught, seen on the way, in nats.
    pub loss: f64,
    /// Mean loss of the rows held out, in nats; `None` where none are.
    pub held_out_loss: Option<f64>,
    /// Share of the rows held out whose best label is right; `None` where none are.
    pub held_out_accuracy: Option<f64>,
}

/// Makes models out of labelled rows ([`LabelledRow::target`] is what is learned; every row has one that the task
/// [admits](Task::admits)).
pub trait Trainer: Send + Sync {
    /// The name of the model it makes.
    fn id(&self) -> &ModelId;

    /// The sort of model, as declared: `linear`, `encoder`, …
    fn kind(&self) -> &'static str;

    /// Fits on all rows, and once more without each fold so that every row is also answered by a model that never
    /// saw it; writes the artefact into `folder`. `folds` has one fold number a row: the caller keeps clusters and
    /// sessions together. One verb, because the two share most of their work.
    fn fit(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
        folder: &Path,
    ) -> Result<Fitted, TrainError>;

    /// Opens an artefact that [`fit`](Self::fit) wrote.
    fn open(&self, task: &Task, file: &Path) -> Result<Arc<dyn Model>, TrainError>;
}
