//! What does a configuration accept on a sample, how often is that bad, and what does a request cost?

use super::sample::Row;
use super::{Constraint, Risk, RiskControlError, RungAnswer, Sample};
use crate::binomial;
use serde::{Deserialize, Serialize};

/// One threshold per rung, cheapest rung first. `None`: the rung is left out of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// A rung answers where its confidence is strictly above its threshold; thresholds are 0 or more.
    pub thresholds: Vec<Option<f64>>,
}

/// What a request costs, all in one unit of money (micro-USD, say).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Each rung's cost per request that climbs through it, answered there or not. Cheapest rung first.
    pub rungs: Vec<f64>,
    /// The large model's cost per request; for a ladder that ends with people or nobody, what that costs.
    pub large: f64,
    /// Share of small answers that are audited, in [0, 1].
    pub audit_rate: f64,
    /// Cost of one audit.
    pub audit: f64,
    /// Cost of one bad small answer; 0 where none is declared.
    pub mistake: f64,
}

impl Costs {
    /// Small answers free, large ones 1: the cheapest configuration is then the one that covers most.
    pub fn of_coverage(rungs: usize) -> Self {
        Costs { rungs: vec![0.0; rungs], large: 1.0, audit_rate: 0.0, audit: 0.0, mistake: 0.0 }
    }

    pub(super) fn check(&self) -> Result<(), RiskControlError> {
        let rungs = self.rungs.iter().map(|&cost| ("the cost of a rung", cost));
        let others = [
            ("the cost of the large model", self.large),
            ("the audit rate", self.audit_rate),
            ("the cost of an audit", self.audit),
            ("the cost of a mistake", self.mistake),
        ];
        match rungs.chain(others).find(|(_, cost)| !(cost.is_finite() && *cost >= 0.0)) {
            Some((name, value)) => {
                Err(RiskControlError::OutOfRange { name, value, range: "0 or more, and finite" })
            }
            None => Ok(()),
        }
    }

    /// What a small answer costs beyond the rungs climbed: its share of the audits, and the harm if it is bad.
    pub(super) fn of_small_answer(&self, bad: bool) -> f64 {
        self.audit_rate * self.audit + if bad { self.mistake } else { 0.0 }
    }
}

/// A count of rows and of the bad or slow ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Bad (or slow) rows.
    pub bad: u64,
    /// Rows counted.
    pub of: u64,
}

/// What a configuration does on a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows of the sample.
    pub rows: u64,
    /// Rows answered small.
    pub accepted: u64,
    /// Rows answered small whose answer is bad.
    pub bad: u64,
    /// Rows answered small, by rung.
    pub accepted_by_rung: Vec<u64>,
    /// Mean cost of a request, in the unit of the costs.
    pub cost: f64,
    /// Rows that count for each constraint, in their order.
    pub constraints: Vec<Count>,
}

impl Tally {
    /// Share of rows answered small; 0 where there are no rows.
    pub fn coverage(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.accepted as f64 / self.rows as f64 }
    }

    /// The rows among which `risk` counts bad ones.
    pub fn exposed(&self, risk: Risk) -> u64 {
        match risk {
            Risk::Selective => self.accepted,
            Risk::Joint => self.rows,
        }
    }

    /// Exact p-value of "the promise or one of its constraints is broken": the largest over all of them.
    pub fn p_value(&self, risk: Risk, max_error: f64, constraints: &[Constraint]) -> f64 {
        let promise = binomial::p_value(self.bad, self.exposed(risk), max_error);
        let further =
            constraints.iter().zip(&self.constraints).map(|(constraint, count)| match *constraint {
                Constraint::Slice { max_error, .. } => binomial::p_value(count.bad, count.of, max_error),
                Constraint::Latency { share, .. } => binomial::p_value(count.bad, count.of, share),
                Constraint::Recall { max_missed, .. } => binomial::p_value(count.bad, count.of, max_missed),
            });
        further.fold(promise, f64::max)
    }
}

/// Counts what `configuration` accepts on `sample`, and prices it.
///
/// Every rung a request climbs through is charged, then either the large model, or the audits and mistakes of
/// a small answer.
pub fn tally(
    configuration: &Configuration,
    sample: &Sample,
    costs: &Costs,
    risk: Risk,
    constraints: &[Constraint],
) -> Tally {
    let mut tally = Tally {
        rows: sample.len() as u64,
        accepted: 0,
        bad: 0,
        accepted_by_rung: vec![0; sample.rungs()],
        cost: 0.0,
        constraints: vec![Count::default(); constraints.len()],
    };
    for row in sample.rows() {
        let climb = climb(configuration, costs, row.answers);
        tally.cost += climb.cost;
        if let Some(rung) = climb.answered_by {
            tally.accepted += 1;
            tally.accepted_by_rung[rung] += 1;
            tally.bad += u64::from(climb.bad);
        }
        for (constraint, count) in constraints.iter().zip(&mut tally.constraints) {
            let (counts, bad) = constraint.judges(&climb, &row, risk);
            count.of += u64::from(counts);
            count.bad += u64::from(counts && bad);
        }
    }
    tally.cost /= sample.len().max(1) as f64;
    tally
}

/// One row going up the ladder.
struct Climb {
    answered_by: Option<usize>,
    /// Answered small, and bad.
    bad: bool,
    cost: f64,
    latency_ms: f64,
}

fn climb(configuration: &Configuration, costs: &Costs, answers: &[RungAnswer]) -> Climb {
    let (mut cost, mut latency_ms) = (0.0, 0.0);
    let rungs = answers.iter().zip(&configuration.thresholds).zip(&costs.rungs).enumerate();
    for (rung, ((answer, threshold), rung_cost)) in rungs {
        if threshold.is_none() {
            continue;
        }
        cost += rung_cost;
        latency_ms += answer.latency_ms;
        if answer.is_accepted(*threshold) {
            cost += costs.of_small_answer(answer.bad);
            return Climb { answered_by: Some(rung), bad: answer.bad, cost, latency_ms };
        }
    }
    Climb { answered_by: None, bad: false, cost: cost + costs.large, latency_ms }
}

impl Constraint {
    /// The share that must not be exceeded.
    pub(super) fn limit(&self) -> f64 {
        match *self {
            Constraint::Slice { max_error, .. } => max_error,
            Constraint::Latency { share, .. } => share,
            Constraint::Recall { max_missed, .. } => max_missed,
        }
    }

    /// Whether a row counts for this constraint, and whether it counts against it.
    fn judges(&self, climb: &Climb, row: &Row<'_>, risk: Risk) -> (bool, bool) {
        let answered = climb.answered_by.is_some();
        match *self {
            Constraint::Slice { slice, .. } => {
                (row.slices.contains(&slice) && (answered || risk == Risk::Joint), climb.bad)
            }
            // An undefined latency may have been any.
            Constraint::Latency { limit_ms, .. } => {
                (answered, climb.latency_ms.is_nan() || climb.latency_ms > limit_ms)
            }
            // What no rung answers is not missed: somebody else looks at it.
            Constraint::Recall { category, .. } => {
                let positive = row.positives.iter().find(|positive| positive.category == category);
                let missed = |by: usize| positive.is_some_and(|positive| positive.missed[by]);
                (positive.is_some(), climb.answered_by.is_some_and(missed))
            }
        }
    }
}
