//! What a server does beside answering: it listens to the audits, takes parts of the traffic away from the small models
//! when these say so, and gives them back once they have proved themselves again.
//!
//! Everything it decides is in the store, so that it goes on where it stopped, and the gateway learns of it as it learns of
//! a promotion: by the generation.

mod drifting;
mod learning;
mod watching;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat_gateway::Gateway;
use sprat_store::{Filter, Level, Spend, Store};
use sprat_task::{ReleaseId, Task, TaskName};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::failure::Failure;
use crate::output::words;
use crate::workspace::Workspace;
use learning::{Learned, Learning};
use watching::{Watching, tell};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// How often the share of audits is set by the traffic, and the traffic compared with what a release was certified on.
const RATES_EVERY: Duration = Duration::from_secs(60);
/// Traffic that the share of audits is set by, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;
/// A burst in the first minutes is no measure of a day.
const LEAST_OBSERVED_MS: i64 = 3_600_000;

/// Keeps the promises of a running server.
pub struct Keeper {
    app: App,
    workspace: Workspace,
    store: Store,
    gateway: Arc<Gateway>,
    cancel: CancellationToken,
    watched: BTreeMap<ReleaseId, Watching>,
    /// What is learned as it comes; only where the large model answers everything.
    learning: Option<Learning>,
    rates_set: Option<Instant>,
    /// What was last in the way, so that it is said once.
    trouble: Option<String>,
}

impl Keeper {
    /// For a server over this workspace.
    pub fn new(
        app: &App,
        workspace: Workspace,
        store: Store,
        gateway: Arc<Gateway>,
        cancel: CancellationToken,
    ) -> Self {
        let gateway_is_shadow = gateway.settings().shadow;
        Self {
            app: app.clone(),
            workspace,
            store,
            gateway,
            cancel,
            watched: BTreeMap::new(),
            learning: gateway_is_shadow.then(Learning::default),
            rates_set: None,
            trouble: None,
        }
    }

    /// Works until cancelled. Its calls wait for the disk.
    pub fn run(mut self) {
        while !self.cancel.is_cancelled() {
            self.look();
            std::thread::sleep(EVERY);
        }
        if let Some(learning) = &mut self.learning {
            learning.stop();
        }
    }

    /// One look at everything. What goes wrong is said once and tried again.
    fn look(&mut self) {
        let trouble = match self.look_at_all() {
            Ok(()) => None,
            Err(failure) => Some(failure.plainly()),
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(trouble)) {
            tracing::warn!("the audits can't be looked after: {trouble}");
        }
        self.trouble = trouble;
    }

    fn look_at_all(&mut self) -> Result<(), Failure> {
        let tasks: Vec<Task> = self.workspace.tasks.values().map(|(task, _)| task.clone()).collect();
        if self.rates_set.is_none_or(|set| set.elapsed() >= RATES_EVERY) {
            self.set_rates(&tasks)?;
            self.rates_set = Some(Instant::now());
        }
        let mut serving = Vec::new();
        for task in &tasks {
            let Some(deployment) = self.store.registry().live(&task.name)? else { continue };
            let canary = self.store.registry().beside(&task.name)?.canary.map(|canary| canary.release);
            for release in std::iter::once(deployment.live).chain(canary) {
                self.watch(task, &release)?;
                serving.push(release);
            }
        }
        self.watched.retain(|release, _| serving.contains(release));
        self.learn(&tasks)
    }

    /// As many audits as the traffic calls for; as many as there may be where it has drifted.
    fn set_rates(&mut self, tasks: &[Task]) -> Result<(), Failure> {
        for watching in self.watched.values_mut() {
            watching.compare(&self.store, self.app.now_unix_ms())?;
        }
        for task in tasks {
            let drifted =
                self.watched.iter().any(|(id, watching)| id.task == task.name && watching.has_drifted());
            let a_day = if drifted { 0.0 } else { self.small_answers_per_day(&task.name)? };
            self.gateway.auditor().set_rate(task.name.as_str(), task.audit.rate(a_day));
        }
        Ok(())
    }

    /// In shadow: learns what can be learned from the large model's answers.
    fn learn(&mut self, tasks: &[Task]) -> Result<(), Failure> {
        let Some(learning) = &mut self.learning else { return Ok(()) };
        match learning.ended(&self.store, self.app.now_unix_ms())? {
            Some(Learned::Certified(release)) => {
                let text = format!(
                    "{} is certified: {}; it would answer {} of such requests. `sprat serve` without --shadow lets it",
                    release.id,
                    release.certificate.sentence(),
                    words::share(release.certificate.coverage().unwrap_or(0.0))
                );
                tell(&self.store, &release.id, "ready", Level::Info, text.clone(), self.app.now_unix_ms())?;
                self.app.out().notice(text);
            }
            Some(Learned::NotYet(task, why)) => {
                self.app
                    .out()
                    .notice(format!("{task} was learned from the traffic, and may not answer yet: {why}"));
            }
            None => {}
        }
        tasks.iter().try_for_each(|task| learning.begin(&self.store, task, &self.workspace.root))
    }

    fn watch(&mut self, task: &Task, release: &ReleaseId) -> Result<(), Failure> {
        if !self.watched.contains_key(release) {
            let folder = self.workspace.releases();
            let watching = Watching::open(&self.store, &folder, task, release, self.app.now_unix_ms())?;
            self.watched.insert(release.clone(), watching);
        }
        if let Some(watching) = self.watched.get_mut(release) {
            watching.look(&self.store, task, self.app.now_unix_ms())?;
        }
        Ok(())
    }

    /// Small answers in a day, by the last one as far as it was observed.
    fn small_answers_per_day(&self, task: &TaskName) -> Result<f64, Failure> {
        let now = self.app.now_unix_ms();
        let filter = Filter {
            task: Some(task.clone()),
            spend: Some(Spend::Serving),
            period: Some(now - DAY_MS..now.saturating_add(1)),
        };
        let small = self.store.ledger().totals(&filter)?.small;
        let first = self.store.ledger().first_of(task)?.unwrap_or(now);
        let observed = (now - first).clamp(LEAST_OBSERVED_MS, DAY_MS);
        Ok(small as f64 * DAY_MS as f64 / observed as f64)
    }
}
