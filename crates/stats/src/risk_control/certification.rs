//! What came of testing: a certificate, or which of several reasons there is none.

use super::cost::Configuration;
use crate::interval::Interval;
use serde::{Deserialize, Serialize};

/// The result of one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certification {
    /// Whether small models may answer, and if not, why.
    pub status: Status,
    /// Rows of the fresh sample.
    pub n: u64,
    /// Which look this was, from 1.
    pub look: u32,
    /// The part of delta this look spent, whatever came of it.
    pub delta_spent: f64,
    /// The list of configurations, safest first, each with its p-value.
    pub tested: Vec<Tested>,
}

impl Certification {
    /// The certificate, where there is one.
    pub fn certified(&self) -> Option<&Certified> {
        match &self.status {
            Status::Certified(certified) => Some(certified),
            _ => None,
        }
    }
}

/// Only `Certified` lets a small model answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The promise is proven for this configuration, and it saves money.
    Certified(Certified),
    /// The promise may well hold, but so few rows cannot prove it.
    Underpowered {
        /// Labels to add for an 80% chance at the next look; `None` where the error measured so far is not
        /// below the one promised, so that no number is likely to help.
        more_labels: Option<u64>,
    },
    /// No number of labels will prove it for these models.
    Infeasible(Infeasible),
    /// Proven, but it costs at least as much as sending everything to the large model.
    Uneconomic {
        /// The cheapest that passed.
        best: Candidate,
        /// What a request costs when the large model answers everything.
        all_large_cost: f64,
    },
    /// Joint risk only: proven, but too large a share of what is answered small may be bad.
    RefusedWhenAnswered {
        /// The configuration that passed.
        candidate: Candidate,
        /// The most that the upper end of its selective error may be.
        max_error_when_answered: f64,
    },
}

/// Why more labels will not help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Infeasible {
    /// At every useful coverage the risk is above the one promised.
    RiskTooHigh {
        /// The least, over all configurations of useful coverage, of the lower bound on the risk, at level delta.
        risk_at_least: f64,
    },
    /// No rung is confident of anything, or nothing could be accepted within the promise.
    NothingToAccept,
}

/// A configuration with what was measured on the fresh sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// One threshold per rung.
    pub configuration: Configuration,
    /// Rows answered small.
    pub accepted: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Rows answered small, by rung.
    pub accepted_by_rung: Vec<u64>,
    /// Share of the fresh sample answered small.
    pub coverage: f64,
    /// Share of the tuning sample answered small; `None` where there were no tuning rows.
    pub tuning_coverage: Option<f64>,
    /// Clopper-Pearson interval of the share of bad ones among rows answered small, at the declared confidence.
    pub selective_error: Interval,
    /// Clopper-Pearson upper bound on the risk that was promised, at `level`; never above `max_error`.
    pub bound: f64,
    /// The level this configuration was tested at: the part of the look's delta that had reached it.
    pub level: f64,
    /// Mean cost of a request on the fresh sample, in the unit of the costs.
    pub expected_cost: f64,
}

/// A configuration that may be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// What is deployed, and its evidence.
    pub deployed: Candidate,
    /// What a request costs when the large model answers everything, in the unit of the costs.
    pub all_large_cost: f64,
}

/// One configuration of the list, for the plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// One threshold per rung.
    pub configuration: Configuration,
    /// Share of the tuning sample answered small; `None` where there were no tuning rows.
    pub tuning_coverage: Option<f64>,
    /// Share of the fresh sample answered small.
    pub coverage: f64,
    /// Rows of the fresh sample answered small.
    pub accepted: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Exact p-value on the fresh sample, the largest over the promise and its constraints.
    pub p_value: f64,
    /// The level it was tested at; `None` where the walk did not reach it.
    pub level: Option<f64>,
    /// Whether it was reached and its p-value is at most its level.
    pub passed: bool,
    /// Mean cost of a request on the fresh sample.
    pub expected_cost: f64,
}
