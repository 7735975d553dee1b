//! Watch: what would a release have answered that only watches? Asked after the reply has gone out, off its path, as far
//! as there is room.
//!
//! Who watches: the task's shadow release; and where everything goes to the large model (`sprat serve --shadow`,
//! `x-sprat-mode: shadow`), also the release that would have answered.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context as Poller, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use sprat_cascade::{Account, Climbed, End, Reach, Serving};
use sprat_store::{Ending, LedgerEntry, ShadowHour, ShadowSums, Source, Store, StoreError};
use sprat_task::{Answer, Context, Input, Money, ReleaseId, RequestId};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::accept::{Accepted, Mode};
use crate::resolve::Route;

/// Bytes of texts that may wait to be looked at; what doesn't fit is counted as skipped.
const ROOM: u32 = 16 << 20;

/// What a text counts for at least, so that their number is bounded too: 4,096.
const LEAST: u32 = 4 << 10;

/// Texts looked at at the same time. Few, so that watching leaves the machine to those who answer.
const AT_ONCE: usize = 2;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often what was seen goes to the store. A crash loses what came since: these sums are evidence, not accounts.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// How long leaving waits for looks under way.
const LEAVING: Duration = Duration::from_secs(2);

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;

/// What watching has seen, and how much more it can take.
pub struct Watching {
    room: Arc<Semaphore>,
    turns: Semaphore,
    seen: Mutex<Seen>,
}

/// Since the last time that it was kept: a handful of releases in an hour or two.
type Seen = BTreeMap<(ReleaseId, i64), ShadowSums>;

impl Default for Watching {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM as usize)),
            turns: Semaphore::new(AT_ONCE),
            seen: Mutex::default(),
        }
    }
}

impl Watching {
    /// Gives what was seen to the store every second, until cancelled; then once more, with what is still under way.
    pub async fn keep(self: &Arc<Self>, store: &Store, cancel: &CancellationToken) {
        let mut every = tokio::time::interval(KEEP_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let leaving = tokio::select! {
                () = cancel.cancelled() => true,
                _ = every.tick() => false,
            };
            if leaving {
                // All the room is free when every look is done.
                let _ = tokio::time::timeout(LEAVING, self.room.acquire_many(ROOM)).await;
            }
            let (watching, store) = (self.clone(), store.clone());
            let kept = tokio::task::spawn_blocking(move || watching.keep_now(&store)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(
                    "what shadow releases would have answered can't be kept, and is tried again: {error}"
                );
            }
            if leaving {
                return;
            }
        }
    }

    /// Gives what was seen to the store; where it can't take it, it is kept for the next time.
    pub fn keep_now(&self, store: &Store) -> Result<(), StoreError> {
        let seen = std::mem::take(&mut *self.lock());
        if seen.is_empty() {
            return Ok(());
        }
        let hours = seen.iter().map(|((release, hour), sums)| ShadowHour {
            release: release.clone(),
            hour: *hour,
            sums: *sums,
        });
        let kept = store.shadow().add(&hours.collect::<Vec<_>>());
        if kept.is_err() {
            seen.into_iter().for_each(|((release, hour), sums)| self.add(release, hour, sums));
        }
        kept
    }

    fn add(&self, release: ReleaseId, hour: i64, sums: ShadowSums) {
        let mut seen = self.lock();
        let there = seen.entry((release, hour)).or_default();
        *there = there.plus(sums);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Each change is one statement, so a panic elsewhere hasn't broken it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is watched once its reply has gone out.
pub struct Watch {
    gateway: Arc<Gateway>,
    watchers: Vec<(ReleaseId, Arc<Serving>)>,
    input: Input,
    said: Said,
    request: RequestId,
    time_unix_ms: i64,
}

/// What a request was answered in the task's terms, told by whoever records it; empty where that is unknown.
pub type Said = Arc<OnceLock<Answer>>;

impl Watch {
    /// Who watches this request; `None` where nobody does. Small models were certified on single texts, and watch those.
    pub fn of(gateway: &Arc<Gateway>, accepted: &Accepted, route: &Route) -> Option<Self> {
        let (serving, shadow, input) = match route {
            Route::Task { serving, shadow, question, .. } if question.single => {
                (serving, shadow, &question.input)
            }
            Route::Recognised { serving, shadow, reading: Some(reading), .. } => {
                (serving, shadow, &reading.input)
            }
            Route::Task { .. } | Route::Recognised { .. } | Route::Remote(_) => return None,
        };
        let silent = (accepted.mode == Mode::Shadow).then_some(serving);
        let named = |serving: &Arc<Serving>| Some((serving.release.clone()?, serving.clone()));
        let watchers: Vec<_> = silent.into_iter().chain(shadow).filter_map(named).collect();
        if watchers.is_empty() {
            return None;
        }
        Some(Self {
            gateway: gateway.clone(),
            watchers,
            input: input.clone(),
            said: Said::default(),
            request: accepted.id.clone(),
            time_unix_ms: accepted.time_unix_ms,
        })
    }

    /// Where it waits to be told what was answered.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// The same reply; when it has gone out, or the client has left, the watch begins.
    pub fn after(self, reply: Response) -> Response {
        reply.map(|body| Body::new(Watched { body, watch: Some(self) }))
    }

    fn begin(self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let size = u32::try_from(self.input.text.len()).unwrap_or(ROOM).clamp(LEAST, ROOM);
        let watch = Arc::new(self);
        for (release, serving) in watch.watchers.clone() {
            let watch = watch.clone();
            let watching = &watch.gateway.watching;
            let Ok(room) = watching.room.clone().try_acquire_many_owned(size) else {
                watch.skip(release);
                continue;
            };
            runtime.spawn(async move {
                let _room = room;
                let Ok(_turn) = watch.gateway.watching.turns.acquire().await else { return };
                watch.look(release, &serving).await;
            });
        }
    }

    fn skip(&self, release: ReleaseId) {
        self.gateway.metrics.watch_skipped(&release);
        self.add(release, ShadowSums { skipped: 1, ..ShadowSums::default() });
    }

    fn add(&self, release: ReleaseId, sums: ShadowSums) {
        self.gateway.watching.add(release, self.time_unix_ms.div_euclid(HOUR_MS), sums);
    }

    async fn look(&self, release: ReleaseId, serving: &Serving) {
        let began = Instant::now();
        let cx = Context {
            deadline: began + PATIENCE,
            cancel: CancellationToken::new(),
            request: self.request.clone(),
        };
        let inputs = std::slice::from_ref(&self.input);
        let climb = serving.ladder.climb(&cx, &serving.task, inputs, Reach::SmallOnly).await.pop();
        let Some(climbed) = climb else { return };
        self.charge(&release, serving, &climbed, began);
        let sums = compare(&cx, serving, &self.input, &climbed, self.said.get()).await;
        self.gateway.metrics.watched(&release, &sums);
        self.add(release, sums);
    }

    /// Rungs on this machine cost nothing; one that is bought is charged as measuring.
    fn charge(&self, release: &ReleaseId, serving: &Serving, climbed: &Climbed, began: Instant) {
        if climbed.steps.iter().all(|step| step.usage.cost == Some(Money::ZERO)) {
            return;
        }
        let entry = LedgerEntry {
            request: self.request.clone(),
            task: serving.task.name.clone(),
            release: Some(release.clone()),
            time_unix_ms: self.time_unix_ms,
            source: Source::Shadow,
            ending: if climbed.end == End::Small { Ending::Small } else { Ending::Stopped },
            answered_by: climbed.answered_by.clone(),
            steps: climbed.steps.clone(),
            cost: Account::of(climbed, None).spent.exact(),
            baseline_all_large: None,
            baseline_is_estimated: false,
            provenance: serving.provenance,
            latency_us: crate::record::micros(began),
            key: None,
            held: None,
        };
        if self.gateway.store.ledger().append(&entry).is_err() {
            self.gateway.metrics.not_recorded();
        }
    }
}

/// What a release would have answered beside what was answered.
async fn compare(
    cx: &Context,
    serving: &Serving,
    input: &Input,
    climbed: &Climbed,
    answered: Option<&Answer>,
) -> ShadowSums {
    let sure = climbed.end == End::Small;
    let own = climbed.own.as_ref().map(|(_, prediction, _)| &prediction.answer);
    let same = match own.zip(answered) {
        Some((own, answered)) => {
            let compared = serving.compare(cx, input, own, answered).await;
            if let Some(why) = compared.unclear {
                tracing::warn!(
                    "a watching release's text could not be judged, and counts as differing: {why}"
                );
            }
            Some(compared.is_as_good)
        }
        None => None,
    };
    let count = u64::from;
    ShadowSums {
        requests: 1,
        would_answer: count(sure),
        compared: count(sure && same.is_some()),
        agreed: count(sure && same == Some(true)),
        all_compared: count(same.is_some()),
        all_agreed: count(same == Some(true)),
        skipped: 0,
    }
}

/// A reply's body that begins a watch when it is let go: sent to its end, or given up.
struct Watched {
    body: Body,
    watch: Option<Watch>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(poller)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.begin();
        }
    }
}
