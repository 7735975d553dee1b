//! Rungs from cheapest to dearest, and where the ladder ends.

use std::sync::Arc;

use sprat_stats::calibration::{Calibrator, CategoryScore, Signals};
use sprat_task::{Answer, Confidence, Input, Model, Prediction, Sha256Hex, Slice};

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
        let categories = categories(prediction);
        let signals = Signals {
            score: f64::from(prediction.score.0),
            logits: &logits,
            features: &features,
            categories: &categories,
        };
        Confidence::new(self.calibrator.confidence(signals))
    }
}

/// What a prediction says of each label by itself, where its answer may be several.
pub fn categories(prediction: &Prediction) -> Vec<CategoryScore<'_>> {
    let Answer::Labels(flagged) = &prediction.answer else { return Vec::new() };
    let scored = prediction.alternatives.iter().map(|(label, score)| CategoryScore {
        name: label.as_str(),
        score: f64::from(score.0),
        flagged: flagged.contains(label),
    });
    scored.collect()
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
    /// What the audits have taken away from the small models for now.
    pub held_back: Vec<HeldBack>,
}

/// A part of the traffic that goes to the end of the ladder, whatever the small models think of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldBack {
    /// Which part.
    pub slice: Slice,
    /// The share of it that is answered small again already, on the way back: 0 to 1.
    pub share: f64,
}

impl HeldBack {
    /// Whether it keeps this small answer back. A raised share lets more inputs through, and none fewer.
    fn keeps(&self, answer: &Answer, input: &Input) -> bool {
        self.slice.holds(answer, &input.groups) && position(&input.text) >= self.share
    }
}

/// A text's place in [0, 1), the same on every machine.
fn position(text: &str) -> f64 {
    let digest = Sha256Hex::of_parts([b"way back".as_slice(), text.as_bytes()]);
    let leading = u64::from_str_radix(&digest.as_str()[..13], 16).unwrap_or(0);
    leading as f64 / (1_u64 << 52) as f64
}

impl Ladder {
    /// A ladder of which nothing is held back.
    pub fn new(rungs: Vec<Rung>, last: LadderEnd) -> Self {
        Self { rungs, last, held_back: Vec::new() }
    }

    /// What keeps a small answer back, if anything does.
    pub fn holds_back(&self, answer: &Answer, input: &Input) -> Option<&Slice> {
        self.held_back.iter().find(|held| held.keeps(answer, input)).map(|held| &held.slice)
    }

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
    fn a_raised_share_lets_more_inputs_through_and_none_fewer() {
        let held = |share| HeldBack { slice: Slice::Label("a".into()), share };
        let answer = Answer::label("a");
        let through = |share: f64| -> Vec<u32> {
            (0..2_000).filter(|n| !held(share).keeps(&answer, &Input::new(format!("text {n}")))).collect()
        };
        assert!(through(0.0).is_empty());
        assert_eq!(through(1.0).len(), 2_000);
        let (few, many) = (through(0.1), through(0.5));
        assert!((120..280).contains(&few.len()) && (850..1_150).contains(&many.len()));
        assert!(few.iter().all(|n| many.contains(n)));
        assert!(!held(0.0).keeps(&Answer::label("b"), &Input::new("text")), "another slice");
    }

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
