//! What a model answers, and how sure of it anybody can be.

use serde::{Deserialize, Serialize};

use crate::hash::Sha256Hex;
use crate::names::Label;

/// A model's own opinion of its answer. Not a probability, not comparable across models, and never
/// compared with a threshold: a calibrator makes it a [`Confidence`] first.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(pub f32);

/// Estimated probability in [0, 1] that an answer is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(f64);

impl Confidence {
    /// Clamps to [0, 1]; what is not a number becomes 0, which no threshold accepts.
    pub fn new(probability: f64) -> Self {
        if probability.is_nan() { Self(0.0) } else { Self(probability.clamp(0.0, 1.0)) }
    }

    /// The probability.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What a model knows about its own answer besides the score: the inputs of the confidence head.
/// The order is the model's own and fixed for one scorer version; [`Model::feature_names`] names them.
///
/// [`Model::feature_names`]: crate::model::Model::feature_names
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub Vec<f32>);

/// An answer in a task's own terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// One label.
    Label(Label),
    /// Any number of labels, sorted, none twice (`multi` tasks).
    Labels(Vec<Label>),
    /// Declared fields (`extract`).
    Fields(serde_json::Map<String, serde_json::Value>),
    /// Free text (`generate`, `answer`).
    Text(String),
}

impl Answer {
    /// A single label.
    pub fn label(label: impl Into<Label>) -> Self {
        Self::Label(label.into())
    }

    /// Several labels, sorted, without repetition.
    pub fn labels(labels: impl IntoIterator<Item = Label>) -> Self {
        let mut labels: Vec<Label> = labels.into_iter().collect();
        labels.sort();
        labels.dedup();
        Self::Labels(labels)
    }

    /// The same answer without the words of its text, for places that hold no text: each value of a record, and a free
    /// text, as its digest. Equal answers stay equal, others stay apart.
    pub fn without_words(&self) -> Self {
        let digest = |words: &str| Sha256Hex::of(words.as_bytes()).as_str()[..16].to_owned();
        match self {
            Self::Label(_) | Self::Labels(_) => self.clone(),
            Self::Fields(record) => {
                let value = |value: &serde_json::Value| digest(&value.to_string()).into();
                Self::Fields(record.iter().map(|(field, found)| (field.clone(), value(found))).collect())
            }
            Self::Text(text) => Self::Text(digest(text)),
        }
    }

    /// As one line of text: labels joined by `|`, fields as JSON.
    pub fn to_line(&self) -> String {
        match self {
            Self::Label(label) => label.to_string(),
            Self::Labels(labels) => labels.iter().map(Label::as_str).collect::<Vec<_>>().join("|"),
            Self::Fields(fields) => serde_json::Value::Object(fields.clone()).to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A model's answer to one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The answer.
    pub answer: Answer,
    /// How much the model likes it.
    pub score: Score,
    /// What feeds the confidence head.
    pub features: Features,
    /// The labels that were considered, best first, the answer included; may be cut after the first few. For tasks that
    /// moderate: every category, in any order. Of a record: its fields, each with the probability that its value is
    /// right, calibrated field by field.
    pub alternatives: Vec<(Label, Score)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_that_is_not_a_number_is_no_confidence() {
        for (given, kept) in [(f64::NAN, 0.0), (-0.5, 0.0), (1.5, 1.0), (0.25, 0.25)] {
            assert_eq!(Confidence::new(given).get(), kept);
        }
    }

    #[test]
    fn a_record_without_its_words_is_the_same_as_its_like_and_gives_nothing_away() {
        let record = |name: &str| {
            Answer::Fields([("name".to_owned(), serde_json::json!(name))].into_iter().collect())
                .without_words()
        };
        assert_eq!(record("Ada"), record("Ada"));
        assert_ne!(record("Ada"), record("Bob"));
        assert!(!record("Ada").to_line().contains("Ada"), "{}", record("Ada").to_line());
        assert_eq!(Answer::label("refund").without_words(), Answer::label("refund"));
    }

    #[test]
    fn labels_are_equal_whatever_order_they_came_in() {
        let a = Answer::labels(["joy".into(), "anger".into(), "joy".into()]);
        let b = Answer::labels(["anger".into(), "joy".into()]);
        assert_eq!(a, b);
        assert_eq!(a.to_line(), "anger|joy");
    }
}
