//! How many labels will it take, and how small a difference can so many show?

use crate::binomial;
use crate::distribution::normal_quantile;
use serde::{Deserialize, Serialize};

/// The chance of success that a number of labels is asked for.
pub const POWER: f64 = 0.8;

/// Sizes above this are answered with `None`: nobody labels a hundred million rows to certify one task.
const MOST_LABELS: f64 = 1e8;
/// Up to here sizes are exact; beyond, the normal approximation is right to about a percent.
const MOST_EXACT: f64 = 20_000.0;

/// Rows (of those the risk counts) with which the exact test of `max_error` at level `delta` passes with
/// probability [`POWER`], when the true risk is `true_risk`.
///
/// `None` where the true risk is not below `max_error`, or no practical number is enough. The power of an exact
/// test is a sawtooth in the number of rows; this is the first tooth that is high enough along its whole length.
pub fn labels_for_power(true_risk: f64, max_error: f64, delta: f64) -> Option<u64> {
    let roughly = labels_for_power_roughly(true_risk, max_error, delta)?;
    if roughly > MOST_EXACT {
        return Some(roughly.ceil() as u64);
    }
    // A tooth begins with the fewest rows that allow its number of bad ones, and ends just before the next.
    let mut start = binomial::least_n_with_zero_bad(max_error, delta)?;
    for bad in 0.. {
        let next = fewest_rows(bad + 1, max_error, delta, start);
        if binomial::cdf(bad, next - 1, true_risk) >= POWER {
            return Some(start);
        }
        if next as f64 > 2.0 * MOST_EXACT {
            break;
        }
        start = next;
    }
    Some(roughly.ceil() as u64)
}

/// What a sample has shown of one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Rows of the sample.
    pub rows: u64,
    /// Rows the risk counts: those answered small for selective risk, all of them for joint.
    pub exposed: u64,
    /// Bad ones among them.
    pub bad: u64,
}

impl Seen {
    /// The risk, as if ten rows more had been seen at half the risk promised: a handful of rows with no bad one
    /// among them is neither a risk of 0 nor hopeless.
    fn risk(&self, max_error: f64) -> f64 {
        (self.bad as f64 + 10.0 * 0.5 * max_error) / (self.exposed as f64 + 10.0)
    }

    /// [`rows_to_certify`], by the normal approximation.
    pub(crate) fn rows_roughly(&self, max_error: f64, delta: f64) -> Option<f64> {
        let exposed = labels_for_power_roughly(self.risk(max_error), max_error, delta)?;
        Some(exposed * self.rows as f64 / self.exposed as f64).filter(|rows| *rows <= MOST_LABELS)
    }
}

/// Rows in all with which what was `seen` is certified with probability [`POWER`], were it to go on like that.
///
/// Subtract those at hand for "so many more". `None` where the risk seen is not below `max_error`, or no
/// practical number is enough.
pub fn rows_to_certify(seen: Seen, max_error: f64, delta: f64) -> Option<u64> {
    let exposed = labels_for_power(seen.risk(max_error), max_error, delta)?;
    let rows = exposed as f64 * seen.rows as f64 / seen.exposed as f64;
    (rows <= MOST_LABELS).then(|| rows.ceil() as u64)
}

/// Smallest difference in accuracy that a paired comparison of `rows` rows shows with probability [`POWER`].
///
/// `discordant_share` is the share of rows that just one of the two gets right; `level` is one-sided. By the
/// normal approximation; infinite for no rows.
pub fn least_detectable_difference(rows: u64, discordant_share: f64, level: f64) -> f64 {
    let quantiles = normal_quantile(1.0 - level) + normal_quantile(POWER);
    quantiles * (discordant_share / rows as f64).sqrt()
}

/// Fewest rows, at least `at_least`, with which `bad` bad ones pass.
fn fewest_rows(bad: u64, max_error: f64, delta: f64, at_least: u64) -> u64 {
    let passes = |rows: u64| binomial::cdf(bad, rows, max_error) <= delta;
    let (mut low, mut high, mut step) = (at_least, at_least, 1);
    while !passes(high) {
        (low, high, step) = (high + 1, high + step, 2 * step);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if passes(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

/// [`labels_for_power`] by the normal approximation, never fewer than are needed with no bad row at all.
fn labels_for_power_roughly(true_risk: f64, max_error: f64, delta: f64) -> Option<f64> {
    if !(true_risk >= 0.0 && true_risk < max_error) {
        return None;
    }
    let deviation = |risk: f64| (risk * (1.0 - risk)).sqrt();
    let (level, power) = (normal_quantile(1.0 - delta), normal_quantile(POWER));
    let root = (level * deviation(max_error) + power * deviation(true_risk)) / (max_error - true_risk);
    let least = binomial::least_n_with_zero_bad(max_error, delta)?;
    Some((root * root).max(least as f64)).filter(|rows| *rows <= MOST_LABELS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The table of the guarantee, section 3: alpha 5%, delta .05, true risk f x alpha.
    #[test]
    fn labels_for_power_agree_with_the_guarantee() {
        for (fraction, expected) in [(0.25, 155.0), (0.5, 410.0), (0.7, 1240.0), (0.8, 2850.0)] {
            let found = labels_for_power(fraction * 0.05, 0.05, 0.05).expect("a number") as f64;
            assert!((found / expected - 1.0).abs() < 0.07, "f {fraction}: {found} is not about {expected}");
        }
    }

    #[test]
    fn so_many_labels_do_pass_four_times_in_five() {
        let mut random = Random::new(4);
        let rows = labels_for_power(0.02, 0.05, 0.05).expect("a number");
        let most_bad = binomial::kmax(rows, 0.05, 0.05).expect("enough rows");
        let passes = |_: &u32| (0..rows).filter(|_| random.chance(0.02)).count() as u64 <= most_bad;
        let passed = (0..4_000).filter(passes).count();
        assert!((3_100..3_600).contains(&passed), "passed {passed} of 4000, at least 3200 expected");
    }

    #[test]
    fn exact_and_approximate_sizes_meet() {
        let exact = labels_for_power(0.0464, 0.05, 0.05).expect("a number");
        let approximate = labels_for_power_roughly(0.0464, 0.05, 0.05).expect("a number");
        assert!((approximate / exact as f64 - 1.0).abs() < 0.02, "{approximate} and {exact}");
    }

    #[test]
    fn no_number_helps_where_the_risk_is_not_below_the_promise() {
        assert_eq!(labels_for_power(0.05, 0.05, 0.05), None);
        assert_eq!(labels_for_power(0.049_999, 0.05, 0.05), None);
        assert_eq!(labels_for_power(f64::NAN, 0.05, 0.05), None);
        assert_eq!(rows_to_certify(Seen { rows: 100, exposed: 0, bad: 0 }, 0.05, 0.05), None);
    }

    #[test]
    fn rows_to_certify_scale_with_coverage() {
        let all = rows_to_certify(Seen { rows: 200, exposed: 200, bad: 4 }, 0.05, 0.05).expect("a number");
        let half = rows_to_certify(Seen { rows: 400, exposed: 200, bad: 4 }, 0.05, 0.05).expect("a number");
        assert_eq!(half, 2 * all);
    }

    #[test]
    fn more_rows_show_less() {
        assert!((least_detectable_difference(1_000, 0.05, 0.05) - 0.0176).abs() < 1e-4);
        assert!(least_detectable_difference(4_000, 0.05, 0.05) < 0.009);
        assert_eq!(least_detectable_difference(0, 0.05, 0.05), f64::INFINITY);
    }
}
