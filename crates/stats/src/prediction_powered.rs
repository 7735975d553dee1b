//! How right are we between audits, from a few labels and a confidence for every row?
//!
//! Source: Angelopoulos, Duchi & Zrnic 2023, "PPI++: Efficient prediction-powered inference".

use crate::distribution::normal_quantile;
use crate::interval::{Estimate, Interval};

/// Mean outcome with its two-sided interval, the predictions lending as much power as they prove to have.
///
/// `labelled` pairs an outcome with its prediction on a uniform sample; `unlabelled` are predictions on other
/// rows of the same traffic. Valid however wrong the predictions are; with useless ones it is the plain mean. The
/// interval is normal: trust it from about 50 labels with both outcomes among them. `None` with fewer than two
/// labels, or where a number is not finite.
pub fn prediction_powered_mean(
    labelled: &[(f64, f64)],
    unlabelled: &[f64],
    confidence: f64,
) -> Option<Estimate> {
    let finite = labelled.iter().flat_map(|(outcome, prediction)| [outcome, prediction]).chain(unlabelled);
    if labelled.len() < 2 || !finite.into_iter().all(|x| x.is_finite()) {
        return None;
    }
    let outcomes: Vec<f64> = labelled.iter().map(|(outcome, _)| *outcome).collect();
    let predictions: Vec<f64> = labelled.iter().map(|(_, prediction)| *prediction).collect();
    let (n, more) = (labelled.len() as f64, unlabelled.len() as f64);
    let weight = if unlabelled.len() < 2 { 0.0 } else { best_weight(&outcomes, &predictions, unlabelled) };
    let rectified: Vec<f64> =
        labelled.iter().map(|(outcome, prediction)| outcome - weight * prediction).collect();
    let unlabelled_part = if weight == 0.0 { 0.0 } else { weight * mean(unlabelled) };
    let unlabelled_variance = if weight == 0.0 { 0.0 } else { weight * weight * variance(unlabelled) / more };
    let value = mean(&rectified) + unlabelled_part;
    let half =
        normal_quantile(0.5 + 0.5 * confidence) * (variance(&rectified) / n + unlabelled_variance).sqrt();
    Some(Estimate { value, interval: Interval { lower: value - half, upper: value + half } })
}

/// The weight on the predictions with the least variance, within [0, 1].
fn best_weight(outcomes: &[f64], predictions: &[f64], unlabelled: &[f64]) -> f64 {
    let (n, more) = (outcomes.len() as f64, unlabelled.len() as f64);
    let (mean_outcome, mean_prediction) = (mean(outcomes), mean(predictions));
    let products = outcomes.iter().zip(predictions).map(|(y, f)| (y - mean_outcome) * (f - mean_prediction));
    let covariance = products.sum::<f64>() / (n - 1.0);
    // All predictions, labelled or not, tell how much they vary.
    let everywhere: Vec<f64> = predictions.iter().chain(unlabelled).copied().collect();
    let spread = (1.0 + n / more) * variance(&everywhere);
    if spread > 0.0 { (covariance / spread).clamp(0.0, 1.0) } else { 0.0 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unbiased; `values` has at least two.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Rows right with the probability that is also their prediction, or with another.
    fn traffic(random: &mut Random, rows: usize, calibrated: bool) -> Vec<(f64, f64)> {
        (0..rows)
            .map(|_| {
                let p = random.uniform();
                let right = random.chance(p);
                (f64::from(u8::from(right)), if calibrated { p } else { random.uniform() })
            })
            .collect()
    }

    #[test]
    fn it_covers_whether_predictions_help_or_not() {
        let mut random = Random::new(5);
        for calibrated in [true, false] {
            let (mut covered, mut width) = (0, 0.0);
            for _ in 0..1_000 {
                let labelled = traffic(&mut random, 200, calibrated);
                let unlabelled: Vec<f64> =
                    traffic(&mut random, 2_000, calibrated).iter().map(|row| row.1).collect();
                let estimate = prediction_powered_mean(&labelled, &unlabelled, 0.95).expect("labels");
                covered += u32::from(estimate.interval.contains(0.5));
                width += estimate.interval.width() / 1_000.0;
            }
            assert!((925..=975).contains(&covered), "covered {covered} of 1000");
            // The plain interval is 2 x 1.96 x 0.5 / sqrt(200) = 0.1386 wide.
            let expected = if calibrated { 0.117 } else { 0.1386 };
            assert!((width - expected).abs() < 0.004, "width {width}, calibrated {calibrated}");
        }
    }

    #[test]
    fn without_unlabelled_rows_it_is_the_plain_mean() {
        let estimate = prediction_powered_mean(&[(1.0, 0.2), (0.0, 0.9), (1.0, 0.4), (1.0, 0.4)], &[], 0.95);
        assert_eq!(estimate.expect("labels").value, 0.75);
        assert_eq!(prediction_powered_mean(&[(1.0, 0.5)], &[0.5, 0.5], 0.95), None);
        assert_eq!(prediction_powered_mean(&[(1.0, 0.5), (f64::NAN, 0.5)], &[], 0.95), None);
    }
}
