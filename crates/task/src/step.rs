//! What one rung did for one request. `Vec<Step>` feeds the ledger, the audits, monitoring and the dashboard.

use serde::{Deserialize, Serialize};

use crate::model::ModelError;
use crate::money::Usage;
use crate::names::ModelId;
use crate::prediction::Confidence;

/// One rung's part in one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which model.
    pub model: ModelId,
    /// What it used, known even where it failed.
    pub usage: Usage,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of one rung's attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sure enough: this is the answer.
    Accepted(Confidence),
    /// Answered, but not surely enough: on to the next rung.
    Deferred(Confidence),
    /// Sure enough, but the audits have taken this part of the traffic away from the small models for now.
    #[serde(rename = "held_back")]
    HeldBack(Confidence),
    /// Had no answer to give.
    Abstained,
    /// Broke. A failing rung is a recorded step, not a failed request.
    Failed(ModelError),
    /// The end of the ladder answered; no threshold applies there.
    Last,
}

impl Outcome {
    /// One word for tables and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Deferred(_) => "deferred",
            Self::HeldBack(_) => "held back",
            Self::Abstained => "abstained",
            Self::Failed(_) => "failed",
            Self::Last => "last",
        }
    }

    /// Whether the step gave the request its answer.
    pub fn answered(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Last)
    }

    /// The confidence, where the rung answered with one.
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Accepted(confidence) | Self::Deferred(confidence) | Self::HeldBack(confidence) => {
                Some(*confidence)
            }
            Self::Abstained | Self::Failed(_) | Self::Last => None,
        }
    }
}
