//! From class scores to class probabilities, with one number that makes them as unsure as they should be.

use super::{FitError, common_width, is_finite};
use serde::{Deserialize, Serialize};

/// Temperatures outside this range mean that the scores say nothing, or are no logits.
const RANGE: (f64, f64) = (0.01, 100.0);
/// Pull of the logarithm towards 0, in rows' worth of evidence: a few rows, all right, must not make it sure.
const PRIOR_ROWS: f64 = 1.0;

/// What the logits are divided by. Source: Guo et al. 2017.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature(f64);

/// How the probability lies over the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TemperedShape {
    /// Largest class probability.
    pub largest: f64,
    /// Largest less second largest.
    pub margin: f64,
    /// In nats, divided by its greatest possible value: 0 sure, 1 even. 0 for a single class.
    pub entropy: f64,
}

impl TemperedShape {
    /// As features of a "will it be right" head, in a fixed order: logit of the largest, margin, entropy.
    pub fn features(&self) -> [f64; 3] {
        let largest = self.largest.clamp(1e-9, 1.0 - 1e-9);
        // NaN survives `clamp`: a head gives such features confidence 0.
        [(largest / (1.0 - largest)).ln(), self.margin, self.entropy]
    }
}

impl Temperature {
    /// Leaves logits as they are.
    pub const ONE: Temperature = Temperature(1.0);

    /// Fits on out-of-fold logits (a row's classes in a fixed order) and the number of each row's right class.
    ///
    /// Rows with a logit that is not finite are left out. The log loss is convex in 1 / temperature: its one
    /// valley is found by golden section.
    pub fn fit<R: AsRef<[f64]>>(logits: &[R], labels: &[usize]) -> Result<Self, FitError> {
        let classes = common_width(logits, labels.len())?;
        if let Some((row, &label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes) {
            return Err(FitError::NoSuchClass { row, label, classes });
        }
        let pairs = logits.iter().map(AsRef::as_ref).zip(labels);
        let rows: Vec<(&[f64], usize)> =
            pairs.filter(|(row, _)| is_finite(row)).map(|(row, label)| (row, *label)).collect();
        if rows.is_empty() {
            return Err(FitError::NoRows { given: logits.len() });
        }
        let loss = |ln_temperature: f64| {
            let inverse = (-ln_temperature).exp();
            let losses = rows.iter().map(|(row, label)| log_sum_exp(row, inverse) - row[*label] * inverse);
            0.5 * PRIOR_ROWS * ln_temperature * ln_temperature + losses.sum::<f64>()
        };
        Ok(Temperature(golden_section(RANGE.0.ln(), RANGE.1.ln(), loss).exp()))
    }

    /// The number itself, above 0.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Class probabilities, in the order of the logits.
    pub fn apply(self, logits: &[f64]) -> Vec<f64> {
        softmax(logits, self.0)
    }

    /// The largest class probability; 0 where a logit is not finite or there is none.
    pub fn confidence(self, logits: &[f64]) -> f64 {
        let largest = self.shape(logits).largest;
        if largest.is_nan() { 0.0 } else { largest }
    }

    /// How the probability lies over the classes; all NaN where a logit is not finite or there is none.
    pub fn shape(self, logits: &[f64]) -> TemperedShape {
        if logits.is_empty() || !is_finite(logits) {
            return TemperedShape { largest: f64::NAN, margin: f64::NAN, entropy: f64::NAN };
        }
        let (mut largest, mut second, mut entropy) = (0.0, 0.0, 0.0);
        for probability in self.apply(logits) {
            if probability > largest {
                (largest, second) = (probability, largest);
            } else if probability > second {
                second = probability;
            }
            if probability > 0.0 {
                entropy -= probability * probability.ln();
            }
        }
        let most = (logits.len() as f64).ln();
        TemperedShape {
            largest,
            margin: largest - second,
            entropy: if most > 0.0 { entropy / most } else { 0.0 },
        }
    }
}

/// e^(logit / temperature), normalised to sum to 1; empty for no logits.
pub fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = logits.iter().map(|logit| ((logit - highest) / temperature).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

fn log_sum_exp(logits: &[f64], inverse_temperature: f64) -> f64 {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| ((logit - highest) * inverse_temperature).exp()).sum();
    highest * inverse_temperature + sum.ln()
}

/// Where a function with one valley between `low` and `high` is least.
fn golden_section(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (function(left), function(right));
    while high - low > 1e-6 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = function(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = function(right);
        }
    }
    0.5 * (low + high)
}
