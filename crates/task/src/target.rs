//! What the user wants promised.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::money::Money;

/// Which error the promise bounds (`guarantee.md` section 1 of the design; `docs/guides/certificates.md`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// P(bad given answered small): of the answers a small model gives, at most `max_error` are bad.
    #[default]
    Selective,
    /// P(answered small and bad): of all requests, at most `max_error` get a bad small answer.
    Joint,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Selective => "selective",
            Self::Joint => "joint",
        })
    }
}

/// What counts as a bad answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guarantee {
    /// Bad: differs from what people say is right.
    Gold,
    /// Bad: differs from what the large model says.
    Agreement,
    /// Bad: wrong where the large model is right.
    Harm,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gold => "gold",
            Self::Agreement => "agreement",
            Self::Harm => "harm",
        })
    }
}

/// `[target]` of a task, validated: every probability lies strictly between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// alpha: the largest error that is acceptable.
    pub max_error: f64,
    /// 1 - delta: how sure the promise must be, over the draw of the certification sample.
    pub confidence: f64,
    /// Which error is bounded.
    pub risk: Risk,
    /// What counts as bad; `None` means gold where rows carry gold labels, else agreement.
    pub guarantee: Option<Guarantee>,
    /// A joint certificate is refused when the upper end of its selective error exceeds this.
    pub max_error_when_answered: f64,
    /// Below this share of requests a small model is not worth deploying.
    pub smallest_coverage: f64,
    /// What one bad answer costs the user, where declared.
    pub mistake_cost: Option<Money>,
    /// The 95th percentile of latency that is acceptable, in milliseconds.
    pub latency_p95_ms: Option<f64>,
    /// The share of the all-large cost that the user hopes to save; shown beside what is saved.
    pub saving: Option<f64>,
    /// How much worse than all-large the whole cascade may be, in accuracy (0.01 is one point).
    pub non_inferiority_margin: f64,
    /// Further promises for single predicted labels.
    pub slices: Vec<Slice>,
    /// What must not be missed: a promise for each category of a `moderate` task, none for other kinds.
    // Left out where there is none: a release is recognised by the hash of the task it was made for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall: Vec<Recall>,
}

/// A promise about the texts that belong to one category, whatever is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// The category.
    pub label: crate::names::Label,
    /// The largest share of its texts that may be answered small without it; the others are flagged, or escalated.
    pub max_missed: f64,
}

/// The share of a category's texts that may be missed where nobody says.
pub const MAX_MISSED: f64 = 0.05;

/// A promise about the answers that carry one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The predicted label.
    pub label: crate::names::Label,
    /// The largest error that is acceptable among them.
    pub max_error: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            max_error: 0.05,
            confidence: 0.95,
            risk: Risk::Selective,
            guarantee: None,
            max_error_when_answered: 0.10,
            smallest_coverage: 0.05,
            mistake_cost: None,
            latency_p95_ms: None,
            saving: None,
            non_inferiority_margin: 0.01,
            slices: Vec::new(),
            recall: Vec::new(),
        }
    }
}

impl Target {
    /// delta: the probability with which the promise may fail, over the draw of the certification sample.
    pub fn delta(&self) -> f64 {
        // 1 - 0.95 is 0.050000000000000044 in binary; a promise should not depend on that.
        ((1.0 - self.confidence) * 1e12).round() / 1e12
    }
}
