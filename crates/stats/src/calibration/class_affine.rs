//! A slope and an offset per class, for models whose labels are not equally likely to be said.

use super::temperature::{Temperature, softmax};
use super::{FitError, common_width, is_finite};
use serde::{Deserialize, Serialize};

/// Pull towards the tempered scores, in rows' worth of evidence per class: classes with few rows stay put.
const PRIOR_ROWS: f64 = 2.0;
const MOST_STEPS: usize = 300;

/// softmax(slope_k x logit_k + offset_k). Source: Guo et al. 2017 ("vector scaling"), with a prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassAffine {
    slopes: Vec<f64>,
    offsets: Vec<f64>,
}

impl ClassAffine {
    /// Fits on out-of-fold logits, a row's classes in a fixed order, and the number of each row's right class.
    ///
    /// Starts from the fitted temperature and descends a convex loss; rows that are not finite are left out.
    pub fn fit<R: AsRef<[f64]>>(logits: &[R], labels: &[usize]) -> Result<Self, FitError> {
        let temperature = Temperature::fit(logits, labels)?;
        let classes = common_width(logits, labels.len())?;
        // In units of the tempered logits, so that one step size suits every model.
        let pairs = logits.iter().map(AsRef::as_ref).zip(labels).filter(|(row, _)| is_finite(row));
        let rows: Vec<(Vec<f64>, usize)> = pairs
            .map(|(row, label)| (centred(row).map(|logit| logit / temperature.value()).collect(), *label))
            .collect();
        let mut affine = ClassAffine { slopes: vec![1.0; classes], offsets: vec![0.0; classes] };
        let mut loss = affine.loss(&rows);
        let mut rate = 1.0;
        for _ in 0..MOST_STEPS {
            let tried = affine.after_step(&rows, rate);
            let tried_loss = tried.loss(&rows);
            if tried_loss < loss {
                let gained = loss - tried_loss;
                (affine, loss) = (tried, tried_loss);
                rate *= 1.2;
                if gained < 1e-7 * loss {
                    break;
                }
            } else {
                rate *= 0.5;
                if rate < 1e-6 {
                    break;
                }
            }
        }
        affine.slopes.iter_mut().for_each(|slope| *slope /= temperature.value());
        Ok(affine)
    }

    /// Class probabilities, in the order of the logits; empty where their number is not the one fitted.
    pub fn apply(&self, logits: &[f64]) -> Vec<f64> {
        if logits.len() != self.slopes.len() {
            Vec::new()
        } else {
            softmax(&self.moved(centred(logits)), 1.0)
        }
    }

    /// The largest class probability; 0 where a logit is not finite or their number is not the one fitted.
    pub fn confidence(&self, logits: &[f64]) -> f64 {
        if is_finite(logits) { self.apply(logits).into_iter().fold(0.0, f64::max) } else { 0.0 }
    }

    fn moved(&self, logits: impl Iterator<Item = f64>) -> Vec<f64> {
        let scales = self.slopes.iter().zip(&self.offsets);
        logits.zip(scales).map(|(logit, (slope, offset))| slope * logit + offset).collect()
    }

    fn loss(&self, rows: &[(Vec<f64>, usize)]) -> f64 {
        let fit = rows.iter().map(|(row, label)| {
            let probability = softmax(&self.moved(row.iter().copied()), 1.0)[*label];
            -probability.max(f64::MIN_POSITIVE).ln()
        });
        let pull = self
            .slopes
            .iter()
            .zip(&self.offsets)
            .map(|(slope, offset)| (slope - 1.0).powi(2) + offset.powi(2));
        fit.sum::<f64>() + 0.5 * PRIOR_ROWS * pull.sum::<f64>()
    }

    /// One step of gradient descent, each coordinate divided by an upper bound on its own curvature.
    fn after_step(&self, rows: &[(Vec<f64>, usize)], rate: f64) -> Self {
        let mut slope_pull: Vec<f64> = self.slopes.iter().map(|slope| PRIOR_ROWS * (slope - 1.0)).collect();
        let mut offset_pull: Vec<f64> = self.offsets.iter().map(|offset| PRIOR_ROWS * offset).collect();
        let mut slope_bend = vec![PRIOR_ROWS; self.slopes.len()];
        let mut offset_bend = vec![PRIOR_ROWS; self.slopes.len()];
        for (row, label) in rows {
            let probabilities = softmax(&self.moved(row.iter().copied()), 1.0);
            for (class, (probability, logit)) in probabilities.into_iter().zip(row).enumerate() {
                let excess = probability - f64::from(u8::from(class == *label));
                let bend = probability * (1.0 - probability);
                slope_pull[class] += excess * logit;
                offset_pull[class] += excess;
                slope_bend[class] += bend * logit * logit;
                offset_bend[class] += bend;
            }
        }
        let step = |values: &[f64], pull: &[f64], bend: &[f64]| -> Vec<f64> {
            let moves = pull.iter().zip(bend).map(|(pull, bend)| rate * pull / bend);
            values.iter().zip(moves).map(|(value, step)| value - step).collect()
        };
        ClassAffine {
            slopes: step(&self.slopes, &slope_pull, &slope_bend),
            offsets: step(&self.offsets, &offset_pull, &offset_bend),
        }
    }
}

/// Less their mean: adding the same to every logit of a row must change nothing.
fn centred(logits: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let mean = logits.iter().sum::<f64>() / logits.len() as f64;
    logits.iter().map(move |logit| logit - mean)
}
