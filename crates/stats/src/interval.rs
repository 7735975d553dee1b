//! How far off may a share counted on a sample be?

use crate::binomial;
use crate::distribution::{bisect, normal_quantile};
use serde::{Deserialize, Serialize};

/// A range that holds the true value with a stated probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end, never below `lower`.
    pub upper: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    /// Upper end minus lower end.
    pub fn width(&self) -> f64 {
        self.upper - self.lower
    }
}

/// A number measured on a sample, and the interval around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The measured value.
    pub value: f64,
    /// Where the true value lies.
    pub interval: Interval,
}

/// Clopper-Pearson two-sided interval of a share: covers at least `confidence`, for safety.
///
/// [0, 1] where there are no trials. Source: Clopper & Pearson 1934.
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Interval {
    let level = 0.5 * (1.0 - confidence);
    Interval {
        lower: clopper_pearson_lower(successes, trials, level),
        upper: clopper_pearson_upper(successes, trials, level),
    }
}

/// The share that is exceeded with probability at most `level`: the largest p with
/// P(X <= `successes`; `trials`, p) >= `level`. 1 where there are no trials.
pub fn clopper_pearson_upper(successes: u64, trials: u64, level: f64) -> f64 {
    if successes >= trials {
        return 1.0;
    }
    let ln_level = level.ln();
    bisect(successes as f64 / trials as f64, 1.0, |p| binomial::ln_cdf(successes, trials, p) > ln_level)
}

/// The share that is undercut with probability at most `level`. 0 where there are no successes.
pub fn clopper_pearson_lower(successes: u64, trials: u64, level: f64) -> f64 {
    let successes = successes.min(trials);
    1.0 - clopper_pearson_upper(trials - successes, trials, level)
}

/// Wilson's two-sided score interval of a share: near `confidence` on average, for display.
///
/// [0, 1] where there are no trials. Source: Wilson 1927.
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Interval {
    if trials == 0 {
        return Interval { lower: 0.0, upper: 1.0 };
    }
    let z = normal_quantile(0.5 + 0.5 * confidence);
    let (n, share) = (trials as f64, successes.min(trials) as f64 / trials as f64);
    let square = z * z / n;
    let centre = (share + 0.5 * square) / (1.0 + square);
    let half = z / (1.0 + square) * (share * (1.0 - share) / n + square / (4.0 * n)).sqrt();
    Interval { lower: (centre - half).max(0.0), upper: (centre + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
    }

    /// Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
    #[test]
    fn they_agree_with_newcombes_table() {
        let exact = clopper_pearson(15, 148, 0.95);
        close(exact.lower, 0.0578);
        close(exact.upper, 0.1617);
        let score = wilson(15, 148, 0.95);
        close(score.lower, 0.0624);
        close(score.upper, 0.1605);
        let none = wilson(0, 20, 0.95);
        close(none.lower, 0.0);
        close(none.upper, 0.1611);
        close(clopper_pearson(0, 20, 0.95).upper, 0.1684);
        close(clopper_pearson(29, 29, 0.95).lower, 0.8806);
    }

    #[test]
    fn no_trials_say_nothing() {
        let everything = Interval { lower: 0.0, upper: 1.0 };
        assert_eq!(clopper_pearson(0, 0, 0.95), everything);
        assert_eq!(wilson(0, 0, 0.95), everything);
    }

    #[test]
    fn clopper_pearson_covers_at_least_its_rate_and_wilson_nearly() {
        let mut random = Random::new(7);
        for (n, p) in [(40_u64, 0.05), (200, 0.02), (200, 0.5), (1_000, 0.003)] {
            let (mut exact, mut score) = (0, 0);
            for _ in 0..4_000 {
                let bad = (0..n).filter(|_| random.chance(p)).count() as u64;
                exact += u32::from(clopper_pearson(bad, n, 0.95).contains(p));
                score += u32::from(wilson(bad, n, 0.95).contains(p));
            }
            assert!(exact >= 3_760, "Clopper-Pearson covered {exact} of 4000 at n {n}, p {p}");
            assert!(score >= 3_600, "Wilson covered {score} of 4000 at n {n}, p {p}");
        }
    }

    proptest! {
        /// Summed over every outcome, so that no luck is involved.
        #[test]
        fn clopper_pearson_covers_exactly_as_stated(n in 1_u64..60, p in 0.0..1.0_f64, confidence in 0.5..0.999_f64) {
            let covering = (0..=n).filter(|bad| clopper_pearson(*bad, n, confidence).contains(p));
            let covered: f64 = covering.map(|bad| binomial::probability(bad, n, p)).sum();
            prop_assert!(covered >= confidence - 1e-9, "{covered}");
        }

        #[test]
        fn the_bound_agrees_with_the_test(n in 1_u64..3_000, share in 0.0..0.2_f64, alpha in 0.005..0.3_f64) {
            let bad = (share * n as f64) as u64;
            let bound = clopper_pearson_upper(bad, n, 0.05);
            let proven = binomial::p_value(bad, n, alpha) <= 0.05;
            prop_assert!((bound - alpha).abs() < 1e-9 || proven == (bound < alpha));
        }
    }
}
