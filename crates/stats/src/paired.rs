//! Two systems answered the same rows: which is better, and may one stand in for the other?

use crate::binomial;
use crate::distribution::{bisect, normal_quantile};
use crate::interval::{Estimate, Interval};
use serde::{Deserialize, Serialize};

/// Rows by who was right. Rows that both got right, or both wrong, count only in `rows`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// All rows compared.
    pub rows: u64,
    /// Only the candidate was right.
    pub only_candidate: u64,
    /// Only the comparator was right.
    pub only_comparator: u64,
}

impl Pairs {
    /// Counts pairs of (candidate was right, comparator was right).
    pub fn count(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counted = Pairs::default();
        for (candidate, comparator) in pairs {
            counted.rows += 1;
            counted.only_candidate += u64::from(candidate && !comparator);
            counted.only_comparator += u64::from(comparator && !candidate);
        }
        counted
    }

    /// Accuracy of the candidate less that of the comparator; 0 where there are no rows.
    pub fn difference(&self) -> f64 {
        if self.rows == 0 {
            return 0.0;
        }
        (self.only_candidate as f64 - self.only_comparator as f64) / self.rows as f64
    }
}

/// Two-sided p-value of "both are equally often right", exact with mid-p; 1 where they never disagree.
///
/// Source: McNemar 1947; Fagerland, Lydersen & Laake 2013 for mid-p.
pub fn mcnemar_mid_p(pairs: Pairs) -> f64 {
    let discordant = pairs.only_candidate + pairs.only_comparator;
    let fewer = pairs.only_candidate.min(pairs.only_comparator);
    let tail = binomial::cdf(fewer, discordant, 0.5) - 0.5 * binomial::probability(fewer, discordant, 0.5);
    if discordant == 0 { 1.0 } else { (2.0 * tail).min(1.0) }
}

/// Difference in accuracy with Tango's two-sided score interval; [-1, 1] where there are no rows.
///
/// Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
/// paired-sample design". It keeps its coverage where few rows are discordant, which is when it matters here.
pub fn paired_difference(pairs: Pairs, confidence: f64) -> Estimate {
    let value = pairs.difference();
    if pairs.rows == 0 {
        return Estimate { value, interval: Interval { lower: -1.0, upper: 1.0 } };
    }
    let z = normal_quantile(0.5 + 0.5 * confidence);
    // The score falls as the supposed difference rises.
    let lower = bisect(-1.0, value, |supposed| tango_score(pairs, supposed) > z);
    let upper = bisect(value, 1.0, |supposed| tango_score(pairs, supposed) > -z);
    Estimate { value, interval: Interval { lower, upper } }
}

/// Standardised distance of what was seen from a supposed difference, the nuisance share at its likeliest.
fn tango_score(pairs: Pairs, supposed: f64) -> f64 {
    let (n, plus, minus) = (pairs.rows as f64, pairs.only_candidate as f64, pairs.only_comparator as f64);
    let distance = plus - minus - n * supposed;
    let a = 2.0 * n;
    let b = -plus - minus + (2.0 * n - plus + minus) * supposed;
    let c = -minus * supposed * (1.0 - supposed);
    let minus_share = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
    let variance = n * (2.0 * minus_share + supposed * (1.0 - supposed));
    if variance > 0.0 { distance / variance.sqrt() } else { distance.signum() * f64::INFINITY }
}

/// What a gate with a declared margin says. A gate that cannot tell is not a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The lower end of the interval is above minus the margin.
    Pass,
    /// The upper end is below minus the margin.
    Fail,
    /// Neither: too few rows to tell.
    Inconclusive,
}

/// Whether a difference (candidate less comparator; higher is better) shows the candidate to be worse by less
/// than `margin` (0 or more, in the unit of the difference).
pub fn non_inferiority(difference: Interval, margin: f64) -> Gate {
    if difference.lower > -margin {
        Gate::Pass
    } else if difference.upper < -margin {
        Gate::Fail
    } else {
        Gate::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() < tolerance, "{found} is not {expected}");
    }

    /// Tango 1998 (two examples); Fagerland, Lydersen & Laake 2014.
    #[test]
    fn tangos_interval_agrees_with_the_papers() {
        let printed = [
            ((0, 1, 44), 0.90, (-0.096, 0.037)),
            ((9, 3, 32), 0.95, (-0.027, 0.390)),
            ((1, 7, 21), 0.95, (-0.517, -0.026)),
        ];
        for ((only_candidate, only_comparator, rows), confidence, (lower, upper)) in printed {
            let found =
                paired_difference(Pairs { rows, only_candidate, only_comparator }, confidence).interval;
            close(found.lower, lower, 6e-4);
            close(found.upper, upper, 6e-4);
        }
    }

    /// Fagerland, Lydersen & Laake 2013, airway hyper-responsiveness: exact 0.070, mid-p 0.039.
    #[test]
    fn mid_p_agrees_with_its_paper() {
        close(mcnemar_mid_p(Pairs { rows: 21, only_candidate: 1, only_comparator: 7 }), 0.0391, 5e-5);
        close(mcnemar_mid_p(Pairs { rows: 21, only_candidate: 4, only_comparator: 4 }), 1.0, 1e-12);
        assert_eq!(mcnemar_mid_p(Pairs { rows: 21, only_candidate: 0, only_comparator: 0 }), 1.0);
    }

    #[test]
    fn tangos_interval_covers_at_its_rate() {
        let mut random = Random::new(11);
        let mut covered = 0;
        for _ in 0..4_000 {
            let pairs = Pairs::count((0..300).map(|_| match random.uniform() {
                u if u < 0.03 => (true, false),
                u if u < 0.05 => (false, true),
                _ => (true, true),
            }));
            covered += u32::from(paired_difference(pairs, 0.95).interval.contains(0.01));
        }
        assert!((3_740..=3_870).contains(&covered), "covered {covered} of 4000");
    }

    #[test]
    fn a_gate_that_cannot_tell_does_not_pass() {
        let interval = |lower, upper| Interval { lower, upper };
        assert_eq!(non_inferiority(interval(-0.009, 0.02), 0.01), Gate::Pass);
        assert_eq!(non_inferiority(interval(-0.02, 0.02), 0.01), Gate::Inconclusive);
        assert_eq!(non_inferiority(interval(-0.03, -0.011), 0.01), Gate::Fail);
        assert_eq!(
            non_inferiority(paired_difference(Pairs::default(), 0.95).interval, 0.01),
            Gate::Inconclusive
        );
    }
}
