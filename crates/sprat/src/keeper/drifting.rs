//! Does what comes in look like what the release was certified on?
//!
//! Told by how sure its first rung is: the ledger has that of every request, and holds no text. Drift takes nothing away
//! from the small models, because it says nothing of whether they are right; it asks for more audits, which do.

use sprat_learn::observe::ObservedRow;
use sprat_stats::drift::{Stability, stability};
use sprat_store::{LedgerEntry, Source, Store};
use sprat_task::{Confidence, Outcome, ReleaseId};

use crate::failure::Failure;

/// Requests that are compared with the certification rows at a time; none is compared twice.
pub const WINDOW: usize = 1_000;
/// Fewer certification rows say nothing of what comes in.
const LEAST_ROWS: usize = 200;
/// Parts of about the same size that the certification rows are cut into.
const BINS: usize = 10;
/// How often requests like the certification rows are taken for different ones.
const FALSE_NOTICES: f64 = 0.001;

/// What a release was certified on, and what has come in since.
pub struct Drifting {
    release: ReleaseId,
    /// Confidences between the bins, rising.
    edges: Vec<f64>,
    certified_on: Vec<u64>,
    compared_until: i64,
    /// The last window's; `None` until there is one.
    last: Option<Stability>,
}

impl Drifting {
    /// Of a release certified on these rows; `None` where they are too few.
    pub fn of(release: &ReleaseId, rows: &[ObservedRow], now_unix_ms: i64) -> Option<Self> {
        let first = |row: &ObservedRow| row.said.first()?.as_ref().map(|said| said.confidence);
        let confidences: Vec<Option<f64>> = rows.iter().map(first).collect();
        if confidences.len() < LEAST_ROWS {
            return None;
        }
        let edges = edges(confidences.iter().flatten().copied().collect());
        let certified_on = histogram(&edges, confidences);
        Some(Self { release: release.clone(), edges, certified_on, compared_until: now_unix_ms, last: None })
    }

    /// Whether the last window looked different.
    pub fn has_drifted(&self) -> bool {
        self.last.is_some_and(|last| last.has_drifted())
    }

    /// Compares the newest requests, where enough have come since the last time. True where they are the first that look
    /// different.
    pub fn look(&mut self, store: &Store) -> Result<bool, Failure> {
        let entries = store.ledger().latest(Some(&self.release.task), WINDOW)?;
        let asked = |entry: &&LedgerEntry| {
            entry.source == Source::Serve
                && entry.release.as_ref() == Some(&self.release)
                && entry.time_unix_ms > self.compared_until
                && entry.steps.first().is_some_and(|step| step.outcome != Outcome::Last)
        };
        let new: Vec<&LedgerEntry> = entries.iter().filter(asked).collect();
        // Audits stand in the ledger too, so that a window is never quite full.
        let (Some(newest), true) =
            (new.iter().map(|entry| entry.time_unix_ms).max(), new.len() >= WINDOW / 2)
        else {
            return Ok(false);
        };
        let sure = new.iter().map(|entry| confidence(entry).map(|confidence| confidence.get()));
        let now = histogram(&self.edges, sure);
        let before = self.has_drifted();
        self.last = Some(stability(&self.certified_on, &now, FALSE_NOTICES));
        self.compared_until = newest;
        Ok(self.has_drifted() && !before)
    }

    /// How far the last window was from the certification rows, and how far chance alone would take it, for a notice.
    pub fn sentence(&self) -> String {
        let Stability { index, threshold } = self.last.unwrap_or(Stability { index: 0.0, threshold: 0.0 });
        format!(
            "what comes in no longer looks like what it was certified on: by how sure the first model is, the population \
             stability index is {index:.3}, where chance explains {threshold:.3}"
        )
    }
}

/// How sure the first rung was.
fn confidence(entry: &LedgerEntry) -> Option<Confidence> {
    match entry.steps.first()?.outcome {
        Outcome::Accepted(confidence) | Outcome::Deferred(confidence) | Outcome::HeldBack(confidence) => {
            Some(confidence)
        }
        _ => None,
    }
}

/// Where the bins meet: every tenth of the values, each once.
fn edges(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..BINS).filter_map(|bin| values.get(bin * values.len() / BINS).copied()).collect();
    edges.dedup();
    edges
}

/// How many are in each bin; the last one is for those of which nothing is known.
fn histogram(edges: &[f64], values: impl IntoIterator<Item = Option<f64>>) -> Vec<u64> {
    let mut bins = vec![0; edges.len() + 2];
    for value in values {
        let bin = match value {
            Some(value) => edges.partition_point(|edge| *edge <= value),
            None => edges.len() + 1,
        };
        bins[bin] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use sprat_learn::observe::Said;
    use sprat_store::Ending;
    use sprat_task::{Answer, Provenance, Sha256Hex, Step, TaskName, Usage};

    use super::*;

    fn rows(n: usize) -> Vec<ObservedRow> {
        let said = |n: usize| Said {
            answer: Answer::label("refund"),
            confidence: 0.5 + (n % 100) as f64 / 200.0,
            latency_us: 0,
            cost_micro_usd: None,
        };
        let row = |n: usize| ObservedRow {
            input: Sha256Hex::of(&n.to_le_bytes()),
            gold: None,
            large: None,
            said: vec![Some(said(n))],
            seen: false,
        };
        (0..n).map(row).collect()
    }

    struct World {
        _folder: tempfile::TempDir,
        store: Store,
        id: ReleaseId,
        time: i64,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
            let id = ReleaseId { task: "tickets".into(), version: 1 };
            Self { _folder: folder, store, id, time: 0 }
        }

        /// So many requests, each as sure as this says of its number.
        fn ask(&mut self, n: usize, outcome: impl Fn(usize) -> Outcome) {
            for n in 0..n {
                self.time += 1;
                let step =
                    Step { model: "linear".into(), usage: Usage::FREE, latency_us: 7, outcome: outcome(n) };
                let entry = LedgerEntry {
                    request: format!("r-{}", self.time).into(),
                    task: TaskName::from("tickets"),
                    release: Some(self.id.clone()),
                    time_unix_ms: self.time,
                    source: Source::Serve,
                    ending: Ending::Small,
                    answered_by: Some("linear".into()),
                    steps: vec![step],
                    cost: None,
                    baseline_all_large: None,
                    baseline_is_estimated: false,
                    provenance: Provenance::Measured,
                    latency_us: 7,
                    key: None,
                    held: None,
                };
                self.store.ledger().append(&entry).unwrap();
            }
        }
    }

    fn alike(n: usize) -> Outcome {
        Outcome::Deferred(Confidence::new(0.5 + (n % 100) as f64 / 200.0))
    }

    #[test]
    fn requests_like_the_certification_rows_are_no_drift_and_others_are_told_once() {
        let mut world = World::new();
        let mut drifting = Drifting::of(&world.id, &rows(500), 0).unwrap();
        world.ask(400, |_| Outcome::Abstained);
        assert!(!drifting.look(&world.store).unwrap(), "too few to say anything");
        let mut world = World::new();
        world.ask(WINDOW, alike);
        assert!(!drifting.look(&world.store).unwrap() && !drifting.has_drifted());
        for told in [true, false] {
            world.ask(WINDOW, |n| Outcome::Deferred(Confidence::new(0.5 + (n % 60) as f64 / 200.0)));
            assert_eq!(drifting.look(&world.store).unwrap(), told);
            assert!(drifting.has_drifted());
        }
        assert!(!drifting.look(&world.store).unwrap() && drifting.has_drifted(), "nothing new has come");
        world.ask(WINDOW, alike);
        assert!(!drifting.look(&world.store).unwrap() && !drifting.has_drifted());
    }

    #[test]
    fn what_the_small_models_were_not_asked_says_nothing() {
        let mut world = World::new();
        let mut drifting = Drifting::of(&world.id, &rows(500), 0).unwrap();
        world.ask(WINDOW, |_| Outcome::Last);
        assert!(!drifting.look(&world.store).unwrap() && !drifting.has_drifted());
        assert!(Drifting::of(&world.id, &rows(LEAST_ROWS - 1), 0).is_none(), "too few rows to compare with");
    }
}
