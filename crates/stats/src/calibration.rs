//! How likely is a model to be right, given what it says of itself?
//!
//! A raw score is a model's own opinion. A [`Calibrator`], fitted on rows the model was not trained on, turns it
//! into a confidence in [0, 1] that may be held against a threshold. Input that is not finite gets confidence
//! 0, which no threshold accepts: broken input fails to the expensive side.

mod class_affine;
mod clearance;
mod isotonic;
mod logistic;
mod reject;
mod right_head;
mod score;
mod temperature;

#[cfg(test)]
mod tests;

pub use class_affine::ClassAffine;
pub use clearance::{CategoryScore, Cleared, clear_below};
pub use isotonic::Isotonic;
pub use reject::{RejectThreshold, ScopeRow};
pub use right_head::RightHead;
pub use score::{BetaCalibration, Platt};
pub use temperature::{Temperature, TemperedShape, softmax};

use serde::{Deserialize, Serialize};

/// What a model says of one answer. Leave empty what the calibrator does not read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals<'a> {
    /// The score of the answer itself. For [`BetaCalibration`] a probability in [0, 1].
    pub score: f64,
    /// Scores of every class, unnormalised, in the classes' order or any other.
    pub logits: &'a [f64],
    /// Whatever else the model offers: in the order the calibrator was fitted with.
    pub features: &'a [f64],
    /// What it says of each category, where the task has categories that must not be missed.
    pub categories: &'a [CategoryScore<'a>],
}

/// From what a model says of itself to the probability that it is right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// The largest class probability after dividing the logits by one number.
    Temperature(Temperature),
    /// The largest class probability after a slope and an offset per class; needs the classes' own order.
    ClassAffine(ClassAffine),
    /// A logistic curve over the score.
    Platt(Platt),
    /// A curve over a score that is a probability already.
    Beta(BetaCalibration),
    /// A logistic "will it be right" head over the features.
    Head(RightHead),
    /// The same over the features with the shape of the tempered class probabilities appended.
    TemperedHead {
        /// Applied to the logits first.
        temperature: Temperature,
        /// Reads the features, then the [`TemperedShape`] of the logits.
        head: RightHead,
    },
    /// A step function over the score. For display: it makes ties, and ties escalate.
    Isotonic(Isotonic),
    /// Another calibrator where every category is flagged or clear; nothing where one may be missed.
    Cleared(Cleared),
}

impl Calibrator {
    /// Estimated probability in [0, 1] that the answer is right; 0 where a signal it reads is not finite.
    pub fn confidence(&self, signals: Signals<'_>) -> f64 {
        let confidence = match self {
            Calibrator::Temperature(temperature) => temperature.confidence(signals.logits),
            Calibrator::ClassAffine(affine) => affine.confidence(signals.logits),
            Calibrator::Platt(platt) => platt.confidence(signals.score),
            Calibrator::Beta(beta) => beta.confidence(signals.score),
            Calibrator::Head(head) => head.confidence(signals.features),
            Calibrator::TemperedHead { temperature, head } => {
                let shape = temperature.shape(signals.logits);
                head.confidence(&[signals.features, &shape.features()].concat())
            }
            Calibrator::Isotonic(isotonic) => isotonic.confidence(signals.score),
            Calibrator::Cleared(cleared) => cleared.confidence(signals),
        };
        if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) }
    }
}

/// Why a calibrator could not be fitted. Rows with a number that is not finite are left out, not an error; so
/// is a sample in which every answer is right, or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// No row is left to fit on.
    #[error("no rows to fit a calibrator on: {given} given, none with finite numbers")]
    NoRows {
        /// Rows given.
        given: usize,
    },
    /// Inputs and outcomes differ in number.
    #[error("{inputs} inputs but {outcomes} outcomes to fit a calibrator on")]
    LengthsDiffer {
        /// Rows of input.
        inputs: usize,
        /// Outcomes given.
        outcomes: usize,
    },
    /// A row has another number of values than the first.
    #[error("row {row} has {found} values where the first has {expected}")]
    RaggedRow {
        /// Counted from 0.
        row: usize,
        /// Values in it.
        found: usize,
        /// Values in the first row.
        expected: usize,
    },
    /// A label does not number any class.
    #[error("row {row} is labelled {label}, but there are {classes} classes, counted from 0")]
    NoSuchClass {
        /// Counted from 0.
        row: usize,
        /// As given.
        label: usize,
        /// Number of logits in the row.
        classes: usize,
    },
}

/// Checks that rows and outcomes pair up and rows are equally long; gives that length.
fn common_width<R: AsRef<[f64]>>(rows: &[R], outcomes: usize) -> Result<usize, FitError> {
    if rows.len() != outcomes {
        return Err(FitError::LengthsDiffer { inputs: rows.len(), outcomes });
    }
    let expected = rows.first().ok_or(FitError::NoRows { given: 0 })?.as_ref().len();
    match rows.iter().map(|row| row.as_ref().len()).enumerate().find(|(_, found)| *found != expected) {
        Some((row, found)) => Err(FitError::RaggedRow { row, found, expected }),
        None => Ok(expected),
    }
}

fn is_finite(row: &[f64]) -> bool {
    row.iter().all(|value| value.is_finite())
}
