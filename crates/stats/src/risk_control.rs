//! Which thresholds may answer, so that the declared error holds with the declared confidence?
//!
//! A *configuration* is one threshold per rung. [`certify`] draws up a list of configurations on a tuning
//! sample T (out-of-fold outputs of every rung on its training rows; no new labels), tests them on a fresh
//! sample S (rows nothing was fitted on), and deploys the cheapest that passed. The probability is over the
//! draw of S.
//!
//! Sources: Bates et al. 2021 (risk-controlling prediction sets); Angelopoulos et al. 2021 (Learn then Test:
//! fixed-sequence and fallback testing); Laufer-Goldshtein et al. 2023 (Pareto testing); Clopper & Pearson 1934.

mod candidates;
mod certification;
mod chain;
mod cost;
mod grid;
mod joint;
mod look;
mod ranked;
mod sample;
mod starts;
mod walk;

#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;

pub use certification::{Candidate, Certification, Certified, Infeasible, Status, Tested};
pub use chain::{ChainBound, chain_bound};
pub use cost::{Configuration, Costs, Count, Tally, tally};
pub use look::{LEAST_GROWTH, delta_of_look, is_look_offered};
pub use sample::{Positive, RungAnswer, Sample, SampleError};
pub use starts::Starts;

use serde::{Deserialize, Serialize};

/// What the declared error is an error of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Of the answers a small model gives, at most `max_error` are bad.
    #[default]
    Selective,
    /// Of all requests, at most `max_error` get a bad small answer. More power, weaker promise.
    Joint,
}

/// A further promise that a configuration has to prove, at the same level, before it may be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// The risk among the rows of one declared slice is at most `max_error`.
    Slice {
        /// The slice, as numbered in [`Sample::push_in_slices`].
        slice: u16,
        /// In (0, 1).
        max_error: f64,
    },
    /// At most `share` of small answers take longer than `limit_ms`, every rung climbed on the way counted.
    Latency {
        /// Milliseconds.
        limit_ms: f64,
        /// In (0, 1); 0.05 for a 95th percentile.
        share: f64,
    },
    /// Of the rows that belong to a category, at most `max_missed` are answered small with an answer that leaves it out;
    /// the others are flagged, or answered by somebody else. An exact binomial test with n = the category's positives.
    Recall {
        /// The category, as numbered in [`Sample::push_positive`].
        category: u16,
        /// In (0, 1).
        max_missed: f64,
    },
}

/// What is promised, and how the proof goes about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// Alpha, in (0, 1).
    pub max_error: f64,
    /// 1 - delta, in (0, 1): the probability, over the draw of the fresh sample, that the promise holds.
    pub confidence: f64,
    /// What `max_error` bounds.
    pub risk: Risk,
    /// Which certification of this task on this growing sample it is, from 1. See [`delta_of_look`].
    pub look: u32,
    /// A joint certificate is refused where the upper end of its selective error exceeds this.
    pub max_error_when_answered: f64,
    /// Coverage below which nobody would bother, in [0, 1]; used to tell `infeasible` from `underpowered`.
    pub smallest_useful_coverage: f64,
    /// All must be proven too; none by default.
    pub constraints: Vec<Constraint>,
    /// How selective testing shares delta between its starts.
    pub starts: Starts,
}

impl Promise {
    /// A first look with the defaults of the guarantee: confidence 0.95, at most twice `max_error` when
    /// answered, smallest useful coverage 5%, no further constraints.
    pub fn new(max_error: f64, risk: Risk) -> Self {
        Promise {
            max_error,
            confidence: 0.95,
            risk,
            look: 1,
            max_error_when_answered: 2.0 * max_error,
            smallest_useful_coverage: 0.05,
            constraints: Vec::new(),
            starts: Starts::default(),
        }
    }

    /// The probability of a broken promise that this look may spend.
    pub fn delta(&self) -> f64 {
        delta_of_look(1.0 - self.confidence, self.look)
    }

    /// The level at which the test of a configuration begins, where most of delta is.
    pub fn first_level(&self) -> f64 {
        if self.risk == Risk::Joint { self.delta() } else { self.starts.largest_share() * self.delta() }
    }

    fn check(&self) -> Result<(), RiskControlError> {
        let share = |name, value: f64| {
            let range = "between 0 and 1, ends excluded";
            if value > 0.0 && value < 1.0 {
                Ok(())
            } else {
                Err(RiskControlError::OutOfRange { name, value, range })
            }
        };
        share("max_error", self.max_error)?;
        share("confidence", self.confidence)?;
        for constraint in &self.constraints {
            match *constraint {
                Constraint::Slice { max_error, .. } => share("max_error of a slice", max_error)?,
                Constraint::Latency { share: slow, .. } => share("the share of slow answers", slow)?,
                Constraint::Recall { max_missed, .. } => share("max_missed of a category", max_missed)?,
            }
        }
        let positive = |name, value: f64| {
            if value > 0.0 {
                Ok(())
            } else {
                Err(RiskControlError::OutOfRange { name, value, range: "above 0" })
            }
        };
        positive("max_error_when_answered", self.max_error_when_answered)?;
        positive("look", f64::from(self.look))
    }
}

/// Why nothing could be tested at all. Too little evidence is not an error but a [`Status`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RiskControlError {
    /// A number of the promise or of the costs can't be meant.
    #[error("{name} is {value}; it must be {range}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// As given.
        value: f64,
        /// Which values there are.
        range: &'static str,
    },
    /// The samples and the costs disagree about how many rungs there are.
    #[error(
        "the tuning sample has {tuning} rungs, the fresh sample {fresh}, the costs {costs}; they must agree"
    )]
    RungsDisagree {
        /// Rungs of the tuning sample.
        tuning: usize,
        /// Rungs of the fresh sample.
        fresh: usize,
        /// Rungs with a cost.
        costs: usize,
    },
    /// A list of configurations cannot be drawn up from no rows.
    #[error("the tuning sample is empty; give it the out-of-fold outputs on the training rows")]
    NoTuningRows,
}

/// Tests on `fresh` the configurations drawn up on `tuning`, and deploys the cheapest that passed.
///
/// `fresh` must be a uniform sample of the traffic to be served on which no model, calibrator or threshold was
/// fitted. Joint risk of one rung without further constraints is tested exactly and needs no `tuning` rows.
pub fn certify(
    promise: &Promise,
    costs: &Costs,
    tuning: &Sample,
    fresh: &Sample,
) -> Result<Certification, RiskControlError> {
    promise.check()?;
    costs.check()?;
    if tuning.rungs() != fresh.rungs() || costs.rungs.len() != fresh.rungs() {
        let (tuning, fresh, costs) = (tuning.rungs(), fresh.rungs(), costs.rungs.len());
        return Err(RiskControlError::RungsDisagree { tuning, fresh, costs });
    }
    if promise.risk == Risk::Joint && fresh.rungs() == 1 && promise.constraints.is_empty() {
        return Ok(joint::certify_one_rung(promise, costs, tuning, fresh));
    }
    if tuning.is_empty() {
        return Err(RiskControlError::NoTuningRows);
    }
    Ok(walk::certify(promise, costs, tuning, fresh))
}
