//! A logistic head over whatever a model offers: will this answer be right?

use super::logistic::{fit, sigmoid, smoothed_targets};
use super::{FitError, common_width, is_finite};
use serde::{Deserialize, Serialize};

/// A feature further than this many standard deviations from the mean counts as this far: a straight line must
/// not grow sure of what it never saw.
const FURTHEST: f64 = 5.0;

/// Logistic regression over standardised features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RightHead {
    means: Vec<f64>,
    deviations: Vec<f64>,
    weights: Vec<f64>,
    bias: f64,
}

impl RightHead {
    /// The penalty used where none is declared, in rows' worth of evidence; mild, as features are few.
    pub const DEFAULT_L2: f64 = 1.0;

    /// Fits on out-of-fold rows: each row's features, and whether the answer was right.
    ///
    /// `l2` (0 or more) penalises the squared weights of the standardised features, not the bias. Rows with a
    /// value that is not finite are left out.
    pub fn fit<R: AsRef<[f64]>>(features: &[R], right: &[bool], l2: f64) -> Result<Self, FitError> {
        let width = common_width(features, right.len())?;
        let pairs = features.iter().map(AsRef::as_ref).zip(right);
        let (rows, right): (Vec<&[f64]>, Vec<bool>) = pairs.filter(|(row, _)| is_finite(row)).unzip();
        if rows.is_empty() {
            return Err(FitError::NoRows { given: features.len() });
        }
        let count = rows.len() as f64;
        let column = |index: usize| rows.iter().map(move |row| row[index]);
        let means: Vec<f64> = (0..width).map(|index| column(index).map(|x| x / count).sum()).collect();
        let deviations: Vec<f64> = (0..width)
            .map(|index| (column(index).map(|x| (x - means[index]).powi(2) / count).sum::<f64>()).sqrt())
            .zip(&means)
            // A column that never varied gets weight 0, whatever it is divided by.
            .map(|(deviation, mean)| if deviation > 1e-9 * mean.abs() { deviation } else { 1.0 })
            .collect();
        let mut head = RightHead { means, deviations, weights: Vec::new(), bias: 0.0 };
        let standardised: Vec<Vec<f64>> =
            rows.iter().map(|row| head.standardise(row).chain([1.0]).collect()).collect();
        // The bias gets a trace of a penalty, only so that the system can always be solved.
        let mut penalties = vec![l2.max(1e-9); width];
        penalties.push(1e-9);
        head.weights = fit(&standardised, &smoothed_targets(&right), &penalties);
        head.bias = head.weights.pop().unwrap_or(0.0);
        Ok(head)
    }

    /// Probability of being right; 0 where a feature is not finite or there are more or fewer than were fitted.
    pub fn confidence(&self, features: &[f64]) -> f64 {
        if features.len() != self.means.len() || !is_finite(features) {
            return 0.0;
        }
        let evidence: f64 = self.standardise(features).zip(&self.weights).map(|(x, weight)| x * weight).sum();
        sigmoid(self.bias + evidence)
    }

    /// Weight of each standardised feature, to show what speaks for being right.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn standardise<'a>(&'a self, features: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let scales = self.means.iter().zip(&self.deviations);
        features
            .iter()
            .zip(scales)
            .map(|(x, (mean, deviation))| ((x - mean) / deviation).clamp(-FURTHEST, FURTHEST))
    }
}
