//! How many labels will it take, and how small a difference can so many show?

use crate::binomial;
use crate::distribution::normal_quantile;

/// The chance of success that a number of labels is asked for.
pub const POWER: f64 = 0.8;

/// Sizes above this are answered with `None`: nobody labels a hundred million rows to certify one task.
const MOST_LABELS: f64 = 1e8;

/// Rows (among those the risk counts) with which the exact test of `max_error` at level `delta` passes with
/// probability [`POWER`], when the true risk is `true_risk`.
///
/// `None` where the true risk is not below `max_error`, or no practical number is enough. The power of an exact
/// test is a sawtooth in the number of rows; this is the first tooth that reaches it.
pub fn labels_for_power(true_risk: f64, max_error: f64, delta: f64) -> Option<u64> {
    let roughly = labels_for_power_roughly(true_risk, max_error, delta)?;
    let least = binomial::least_n_with_zero_bad(max_error, delta)?;
    // Between teeth: for each number of bad rows, the fewest rows with which it still passes.
    let mut rows = least;
    let mut most_bad = 0;
    while (rows as f64) < 4.0 * roughly + 1_000.0 {
        if binomial::cdf(most_bad, rows, true_risk) >= POWER {
            return Some(rows);
        }
        most_bad += 1;
        rows = fewest_rows(most_bad, max_error, delta, rows);
    }
    None
}

/// Fewest rows, above `more_than`, with which `bad` bad ones pass.
fn fewest_rows(bad: u64, max_error: f64, delta: f64, more_than: u64) -> u64 {
    let passes = |rows: u64| binomial::cdf(bad, rows, max_error) <= delta;
    let mut step = (1.0 / max_error).ceil() as u64;
    let mut high = more_than + step;
    while !passes(high) {
        step *= 2;
        high += step;
    }
    let mut low = more_than;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if passes(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// [`labels_for_power`] by the normal approximation, never fewer than are needed with no bad row at all.
pub(crate) fn labels_for_power_roughly(true_risk: f64, max_error: f64, delta: f64) -> Option<f64> {
    if !(true_risk >= 0.0 && true_risk < max_error) {
        return None;
    }
    let deviation = |risk: f64| (risk * (1.0 - risk)).sqrt();
    let (level, power) = (normal_quantile(1.0 - delta), normal_quantile(POWER));
    let root = (level * deviation(max_error) + power * deviation(true_risk)) / (max_error - true_risk);
    let least = binomial::least_n_with_zero_bad(max_error, delta)?;
    Some((root * root).max(least as f64)).filter(|rows| *rows <= MOST_LABELS)
}
