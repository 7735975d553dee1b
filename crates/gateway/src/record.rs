//! Record: what a request did and cost, in the spool before the last byte of the reply.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sprat_cascade::{Account, Climbed, End, Remote, Serving, Spent};
use sprat_store::{Ending, LedgerEntry, Source};
use sprat_task::{ModelError, ModelId, Money, Outcome, Provenance, Step, TaskName, Usage};
use tokio::sync::OwnedSemaphorePermit;

use crate::Gateway;
use crate::accept::Accepted;
use crate::audit;
use crate::capture::Capture;
use crate::error::Refusal;
use crate::keys::{Hold, Lease};
use crate::reply::Listening;
use crate::resolve::{Reading, Route};
use crate::watch::{Said, Watch};

/// The task of a request that is nobody's: no file of a task can have this name.
pub const NO_TASK: &str = "-";

/// A request's line in the ledger. Dropped unfinished, because the client has left, it says so: whatever was being
/// asked then has an unknown cost.
pub struct Record {
    gateway: Arc<Gateway>,
    entry: Option<Box<LedgerEntry>>,
    estimate: Option<Money>,
    began: Instant,
    asking: Option<(ModelId, Instant)>,
    capture: Option<Box<Capture>>,
    listening: Option<Box<Listening>>,
    said: Option<Said>,
    lease: Option<Lease>,
    hold: Option<Hold>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Record {
    /// The line of a request whose way is known.
    pub fn begin(gateway: &Arc<Gateway>, accepted: &Accepted, route: &Route) -> Self {
        let serving = route.serving();
        let provenance = match route {
            Route::Remote(remote) => remote.provenance,
            Route::Task { serving, .. } | Route::Recognised { serving, .. } => serving.provenance,
        };
        let task = serving.map_or_else(|| TaskName::from(NO_TASK), |serving| serving.task.name.clone());
        let mut record = Self::of(gateway, accepted, task, provenance);
        record.estimate = serving.and_then(|serving| serving.large_estimate);
        if let Some(entry) = &mut record.entry {
            entry.release = serving.and_then(|serving| serving.release.clone());
        }
        record
    }

    /// The line of a request that no task is concerned with.
    pub fn of(gateway: &Arc<Gateway>, accepted: &Accepted, task: TaskName, provenance: Provenance) -> Self {
        let entry = LedgerEntry {
            request: accepted.id.clone(),
            task,
            release: None,
            time_unix_ms: accepted.time_unix_ms,
            source: Source::Serve,
            ending: Ending::Stopped,
            answered_by: None,
            steps: Vec::new(),
            cost: None,
            baseline_all_large: None,
            baseline_is_estimated: false,
            provenance,
            latency_us: 0,
            key: accepted.lease.as_ref().map(|lease| lease.id().clone()),
            held: None,
        };
        Self {
            gateway: gateway.clone(),
            entry: Some(Box::new(entry)),
            estimate: None,
            began: accepted.began,
            asking: None,
            capture: None,
            listening: None,
            said: None,
            lease: accepted.lease.clone(),
            hold: None,
            _place: accepted.place.clone(),
        }
    }

    /// Reserves what asking `model` may use at most, after these steps. Nothing may be asked where this is refused.
    pub async fn reserve(
        &mut self,
        accepted: &Accepted,
        steps: &[Step],
        model: &ModelId,
        most: Usage,
    ) -> Result<(), Refusal> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let (model, so_far) = (model.as_str(), Spent::of(steps));
        let reserved = match &mut self.hold {
            Some(hold) => hold.ask_another(accepted, model, most, so_far),
            None => lease.reserve(accepted, model, most, so_far).await.map(|hold| self.hold = Some(hold)),
        };
        if reserved.is_err() {
            self.gateway.metrics.refused(Some(lease.id()), "budget");
        }
        reserved
    }

    /// From here on a remote model is being asked, after these steps: what it costs is unknown until it has answered.
    pub fn asking(&mut self, steps: &[Step], remote: &Remote) {
        self.asking_large(steps, remote.upstream.id());
        if let Some(entry) = &mut self.entry {
            entry.provenance = entry.provenance.weaker(remote.provenance);
        }
    }

    /// The same, of a task's large model, whose provenance is known.
    pub fn asking_large(&mut self, steps: &[Step], model: &ModelId) {
        self.asking = Some((model.clone(), Instant::now()));
        if let Some(entry) = &mut self.entry {
            entry.steps = steps.to_vec();
        }
    }

    /// What was asked and answered is to be kept as well.
    pub fn capturing(mut self, capture: Option<Capture>, route: &Route) -> Self {
        if capture.is_some() {
            self.listen_as(route);
        }
        self.capture = capture.map(Box::new);
        self
    }

    /// Whoever watches is to be told what was answered.
    pub fn watched_by(mut self, watch: Option<&Watch>, route: &Route) -> Self {
        if watch.is_some() {
            self.listen_as(route);
        }
        self.said = watch.map(|watch| watch.said().clone());
        self
    }

    fn listen_as(&mut self, route: &Route) {
        if let Route::Recognised { serving, reading: Some(reading), .. } = route {
            self.listen(serving, reading);
        }
    }

    /// What the large model replies is wanted in the task's terms.
    pub fn listen(&mut self, serving: &Arc<Serving>, reading: &Reading) {
        self.listening = Some(Box::new(Listening::new(serving, &reading.input, &reading.shape)));
    }

    /// Where what the large model says is listened to.
    pub fn listening(&mut self) -> Option<&mut Listening> {
        self.listening.as_deref_mut()
    }

    /// The large model was not asked, because the key may not spend that. What the rungs did is recorded; where there
    /// was none, there is nothing to record.
    pub fn not_asked(self, climbed: &Climbed) {
        if !climbed.steps.is_empty() {
            self.finish(climbed);
        }
    }

    /// The request has ended like this.
    pub fn finish(mut self, climbed: &Climbed) {
        self.write(climbed);
    }

    fn write(&mut self, climbed: &Climbed) {
        let Some(mut entry) = self.entry.take() else { return };
        let account = Account::of(climbed, self.estimate);
        entry.ending = ending(climbed.end);
        entry.answered_by = climbed.answered_by.clone();
        entry.steps = climbed.steps.clone();
        entry.cost = account.spent.exact();
        entry.baseline_all_large = account.all_large;
        entry.baseline_is_estimated = account.all_large_is_estimated;
        entry.latency_us = micros(self.began);
        match (self.hold.take(), &self.lease) {
            (Some(hold), _) => entry.held = hold.settle(&entry),
            (None, Some(lease)) => lease.charge(&entry),
            (None, None) => {}
        }
        self.gateway.metrics.ended(&entry);
        if self.gateway.store.ledger().append(&entry).is_err() {
            // The answer is worth more than its record; the store counts what it could not keep.
            self.gateway.metrics.not_recorded();
        }
        let listening = self.listening.take();
        let heard = listening.as_ref().and_then(|listening| listening.answer());
        if let (Some(listening), Some(heard)) = (&listening, &heard)
            && climbed.end == End::Large
            && climbed.held_back.is_some()
        {
            let (serving, input) = listening.question();
            audit::held_back(&self.gateway, &entry.request, serving, input, climbed, heard.clone());
        }
        let answer = climbed.answer.clone().or(heard);
        if let (Some(said), Some(answer)) = (&self.said, &answer) {
            // A request is recorded once, so that nothing has been said before.
            let _ = said.set(answer.clone());
        }
        if let Some(capture) = self.capture.take() {
            capture.keep(&self.gateway, climbed, answer);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (Some(entry), Some((model, since))) = (&self.entry, self.asking.take()) else { return };
        let step = Step {
            model,
            usage: Usage::UNKNOWN,
            latency_us: micros(since),
            outcome: Outcome::Failed(ModelError::Cancelled),
        };
        let before = Climbed { steps: entry.steps.clone(), ..Climbed::starting() };
        self.write(&before.passed_on(step));
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Microseconds since then.
pub(crate) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn ending(end: End) -> Ending {
    match end {
        End::Small => Ending::Small,
        End::Large => Ending::Large,
        End::People => Ending::People,
        End::NoAnswer => Ending::NoAnswer,
        End::Failed => Ending::Failed,
        End::Stopped => Ending::Stopped,
    }
}
