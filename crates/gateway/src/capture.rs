//! Capture: what was asked of a task and answered, kept where the task says so. After the answer, never on its way.
//!
//! A thread of its own asks the small models where the request didn't, blanks out what the task wants blanked out, and
//! writes. Room for what waits is bounded: what doesn't fit is dropped and counted, and no request waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sprat_cascade::{Climbed, End, Reach, Serving};
use sprat_store::{NewCaptured, Store};
use sprat_task::redact::Redacted;
use sprat_task::{Answer, Confidence, Context, Input, Provenance, RequestId, Sha256Hex, Task};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::accept::Accepted;
use crate::answer::reach;
use crate::decode::Call;
use crate::metrics::NotCaptured;
use crate::resolve::{Reading, Route};

/// Requests that may wait to be kept,
const MOST_WAITING: usize = 4_096;
/// and the bytes of their texts together.
const MOST_WAITING_BYTES: usize = 32 << 20;
/// A longer text is no routine work, and isn't kept.
const LONGEST_TEXT: usize = 256 << 10;
/// Requests that are written together.
const TOGETHER: usize = 64;
/// How long the small models may take to say what they would have answered.
const SMALL_PATIENCE: Duration = Duration::from_secs(10);

/// A request of a task that keeps its texts, on its way.
pub struct Capture {
    serving: Arc<Serving>,
    input: Input,
    request: RequestId,
    time_unix_ms: i64,
    prompt_hash: Option<Sha256Hex>,
    session: Option<String>,
    propensity: f64,
    provenance: Provenance,
}

impl Capture {
    /// The request, where its task keeps texts and it is about one text, as the small models are.
    pub fn begin(accepted: &Accepted, route: &Route, call: &Call) -> Option<Self> {
        Self::of(accepted, route, |task| session(task, call))
    }

    /// The same of a text that came in no call.
    pub(crate) fn of_text(accepted: &Accepted, route: &Route) -> Option<Self> {
        Self::of(accepted, route, |_| None)
    }

    fn of(accepted: &Accepted, route: &Route, session: impl FnOnce(&Task) -> Option<String>) -> Option<Self> {
        let (serving, input, prompt_hash, reach, provenance) = match route {
            Route::Task { serving, question, .. } if question.single => {
                let reach = reach(accepted, serving, true);
                (serving, &question.input, None, reach, serving.provenance)
            }
            Route::Recognised {
                serving,
                reading: Some(Reading { input, .. }),
                hash,
                lowered,
                remote,
                ..
            } => {
                let reach = match reach(accepted, serving, true) {
                    Reach::Whole if !lowered => Reach::LargeOnly,
                    other => other,
                };
                (serving, input, Some(hash.clone()), reach, remote.provenance)
            }
            Route::Task { .. } | Route::Recognised { .. } | Route::Remote(_) => return None,
        };
        if !serving.task.capture.enabled {
            return None;
        }
        Some(Self {
            serving: serving.clone(),
            input: input.clone(),
            request: accepted.id.clone(),
            time_unix_ms: accepted.time_unix_ms,
            prompt_hash,
            session: session(&serving.task),
            propensity: propensity(serving, reach),
            provenance,
        })
    }

    /// The request has ended, with this answer if any: it is kept as soon as there is time.
    pub fn keep(self, gateway: &Gateway, climbed: &Climbed, answer: Option<Answer>) {
        let (end, answered_by) = (climbed.end, climbed.answered_by.clone());
        let opinion = climbed.own.as_ref().map(|(_, own, confidence)| Opinion {
            answer: own.answer.clone(),
            confidence: *confidence,
            sure: end == End::Small,
        });
        let row = NewCaptured {
            task: self.serving.task.name.clone(),
            request: self.request,
            time_unix_ms: self.time_unix_ms,
            text: String::new(),
            prompt_hash: self.prompt_hash,
            session: self.session,
            small: None,
            confidence: None,
            would_answer: false,
            large: answer.filter(|_| end == End::Large),
            answered_by,
            release: self.serving.release.as_ref().map(|release| release.version),
            propensity: self.propensity,
            provenance: self.provenance,
        };
        gateway.captures.take(Kept { serving: self.serving, input: self.input, opinion, row });
    }
}

/// The probability with which the large model is asked whatever the text says.
fn propensity(serving: &Serving, reach: Reach) -> f64 {
    let has_large = !serving.ladder.last.models().is_empty();
    let always = match reach {
        Reach::LargeOnly => true,
        Reach::Whole => !serving.ladder.answers_something_small(),
        Reach::SmallOnly | Reach::BelowTheEnd => false,
    };
    if has_large && always { 1.0 } else { 0.0 }
}

/// The conversation or user that a call belongs to, as far as the client says: a digest, because a user's name may be
/// an address.
fn session(task: &Task, call: &Call) -> Option<String> {
    let named = call.session()?;
    Some(Sha256Hex::of_parts([task.name.as_str().as_bytes(), named.as_bytes()]).to_string())
}

/// What the small models say.
struct Opinion {
    answer: Answer,
    confidence: Confidence,
    sure: bool,
}

/// A request that waits to be kept: its row still lacks the text and the opinion.
struct Kept {
    serving: Arc<Serving>,
    input: Input,
    opinion: Option<Opinion>,
    row: NewCaptured,
}

/// What waits to be kept, and the thread that keeps it.
pub(crate) struct Captures {
    inbox: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
    waiting_bytes: Arc<AtomicUsize>,
    not_captured: NotCaptured,
}

enum Message {
    Keep(Box<Kept>),
    /// Says when all that came before is kept.
    Settle(Sender<()>),
    End,
}

impl Captures {
    /// Starts the thread. Whoever drops this waits until all that was taken is kept, and the thread's hold on the store
    /// is gone.
    pub(crate) fn start(store: Store, not_captured: NotCaptured) -> Self {
        let (inbox, messages) = sync_channel(MOST_WAITING);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let keeper = Keeper {
            store,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().ok(),
            waiting_bytes: waiting_bytes.clone(),
            not_captured: not_captured.clone(),
        };
        let started = std::thread::Builder::new()
            .name("sprat-capture".to_owned())
            .spawn(move || keeper.work(&messages));
        let thread = started.inspect_err(|error| tracing::warn!("no texts can be kept: {error}")).ok();
        Self { inbox, thread, waiting_bytes, not_captured }
    }

    fn take(&self, kept: Kept) {
        let bytes = kept.input.text.len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = bytes <= LONGEST_TEXT && before.saturating_add(bytes) <= MOST_WAITING_BYTES;
        let task = kept.row.task.clone();
        if !fits || self.inbox.try_send(Message::Keep(Box::new(kept))).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.not_captured.add(task.as_str(), 1);
        }
    }

    /// Returns when all that has been taken is kept. Waits for the disk.
    pub(crate) fn settle(&self) {
        let (reply, kept) = channel();
        if self.inbox.send(Message::Settle(reply)).is_ok() {
            // A thread that is gone keeps nothing more.
            let _ = kept.recv();
        }
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        let _ = self.inbox.send(Message::End);
        if let Some(thread) = self.thread.take() {
            // It could only have panicked, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

struct Keeper {
    store: Store,
    runtime: Option<Runtime>,
    waiting_bytes: Arc<AtomicUsize>,
    not_captured: NotCaptured,
}

impl Keeper {
    fn work(self, inbox: &Receiver<Message>) {
        let mut ends = false;
        while !ends && let Ok(first) = inbox.recv() {
            let mut settles = Vec::new();
            let mut rows = Vec::new();
            let more = std::iter::from_fn(|| inbox.try_recv().ok());
            for message in std::iter::once(first).chain(more).take(TOGETHER) {
                match message {
                    Message::Keep(kept) => {
                        self.waiting_bytes.fetch_sub(kept.input.text.len(), Ordering::Relaxed);
                        rows.push(self.row(*kept));
                    }
                    Message::Settle(reply) => settles.push(reply),
                    Message::End => ends = true,
                }
            }
            self.write(rows);
            for reply in settles {
                let _ = reply.send(());
            }
        }
    }

    fn write(&self, rows: Vec<NewCaptured>) {
        if rows.is_empty() {
            return;
        }
        let tasks: Vec<_> = rows.iter().map(|row| row.task.clone()).collect();
        if let Err(error) = self.store.captured().add(rows) {
            tracing::debug!("texts could not be kept: {error}");
            tasks.iter().for_each(|task| self.not_captured.add(task.as_str(), 1));
        }
    }

    fn row(&self, kept: Kept) -> NewCaptured {
        let Kept { serving, input, opinion, row } = kept;
        let opinion = opinion.or_else(|| self.ask(&serving, &input, &row.request));
        let redacted = Redacted::of(&input, &serving.task);
        let beside = |answer: Option<Answer>| redacted.answer(answer?, &input, &serving.task);
        NewCaptured {
            confidence: opinion.as_ref().map(|opinion| opinion.confidence),
            would_answer: opinion.as_ref().is_some_and(|opinion| opinion.sure),
            small: beside(opinion.map(|opinion| opinion.answer)),
            large: beside(row.large),
            text: redacted.text,
            ..row
        }
    }

    /// What the small models would have said; nobody is paid for it.
    fn ask(&self, serving: &Serving, input: &Input, request: &RequestId) -> Option<Opinion> {
        if serving.ladder.rungs.iter().any(|rung| rung.model.is_remote()) {
            return None;
        }
        let cx = Context {
            deadline: Instant::now() + SMALL_PATIENCE,
            cancel: CancellationToken::new(),
            request: request.clone(),
        };
        let climb = serving.ladder.climb(&cx, &serving.task, std::slice::from_ref(input), Reach::SmallOnly);
        let climbed = self.runtime.as_ref()?.block_on(climb).pop()?;
        let sure = climbed.end == End::Small;
        climbed.own.map(|(_, own, confidence)| Opinion { answer: own.answer, confidence, sure })
    }
}
