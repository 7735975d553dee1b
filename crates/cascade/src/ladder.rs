//! Rungs from cheapest to dearest, and where the ladder ends.

use std::sync::Arc;

use sprat_stats::calibration::{Calibrator, Signals};
use sprat_task::{Confidence, Model, Prediction};

/// A model, what turns its opinion into a confidence, and how much confidence is enough.
pub struct Rung {
    /// Who answers.
    pub model: Arc<dyn Model>,
    /// Makes a prediction's features a confidence. There is no way to compare a raw score with a threshold.
    pub calibrator: Calibrator,
    /// How much is enough.
    pub threshold: Threshold,
}

impl Rung {
    /// Estimated probability that the prediction is right; 0 where the features are not numbers.
    pub fn confidence(&self, prediction: &Prediction) -> Confidence {
        let logits: Vec<f64> = prediction.alternatives.iter().map(|(_, score)| f64::from(score.0)).collect();
        let features: Vec<f64> = prediction.features.0.iter().map(|feature| f64::from(*feature)).collect();
        let signals = Signals { score: f64::from(prediction.score.0), logits: &logits, features: &features };
        Confidence::new(self.calibrator.confidence(signals))
    }
}

/// The least confidence that answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// No confidence is enough.
    Never,
    /// Accept iff the confidence is greater: ties escalate.
    Above(f64),
}

impl Threshold {
    /// Whether this confidence answers.
    pub fn accepts(self, confidence: Confidence) -> bool {
        match self {
            Self::Never => false,
            Self::Above(least) => confidence.get() > least,
        }
    }

    /// The number, where there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Never => None,
            Self::Above(least) => Some(least),
        }
    }
}

impl From<Option<f64>> for Threshold {
    fn from(value: Option<f64>) -> Self {
        match value {
            Some(least) if !least.is_nan() => Self::Above(least),
            _ => Self::Never,
        }
    }
}

/// Where a ladder ends.
#[derive(Clone)]
pub enum LadderEnd {
    /// The large model.
    Remote(Arc<dyn Model>),
    /// The large model, and those that are asked where it fails, in order.
    Remotes(Vec<Arc<dyn Model>>),
    /// A queue of people.
    People,
    /// An explicit "no answer".
    NoAnswer,
}

impl LadderEnd {
    /// The models at the end, in the order they are asked; none where it ends without one.
    pub fn models(&self) -> &[Arc<dyn Model>] {
        match self {
            Self::Remote(large) => std::slice::from_ref(large),
            Self::Remotes(models) => models,
            Self::People | Self::NoAnswer => &[],
        }
    }
}

/// Rungs from cheapest to dearest, and the end.
pub struct Ladder {
    /// Below the end.
    pub rungs: Vec<Rung>,
    /// The end.
    pub last: LadderEnd,
}

impl Ladder {
    /// The same ladder with every threshold at "never": what serves a release that isn't certified.
    pub fn answering_nothing_small(mut self) -> Self {
        for rung in &mut self.rungs {
            rung.threshold = Threshold::Never;
        }
        self
    }

    /// Whether any rung may answer.
    pub fn answers_something_small(&self) -> bool {
        self.rungs.iter().any(|rung| rung.threshold != Threshold::Never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_escalates() {
        assert!(!Threshold::Above(0.9).accepts(Confidence::new(0.9)));
        assert!(Threshold::Above(0.9).accepts(Confidence::new(0.900_001)));
    }

    #[test]
    fn a_threshold_that_is_not_a_number_never_accepts() {
        for threshold in [Threshold::from(None), Threshold::from(Some(f64::NAN)), Threshold::Never] {
            assert!(!threshold.accepts(Confidence::new(1.0)));
        }
    }
}
