//! Does what comes in now look like what came in before?
//!
//! All of these compare counts or values of two periods. A small p-value says that they differ, not by how much
//! nor whether it matters: drift of the input opens a notice, and only labels raise an alarm.

use crate::distribution::{chi_square_quantile, chi_square_tail, kolmogorov_tail};
use serde::{Deserialize, Serialize};

/// The result of a test of "both periods are alike".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftTest {
    /// The test's own measure of distance; 0 where the periods are alike.
    pub statistic: f64,
    /// Probability of a distance at least as large if nothing has changed.
    pub p_value: f64,
}

const NO_EVIDENCE: DriftTest = DriftTest { statistic: 0.0, p_value: 1.0 };

/// Population stability index, with the value that sampling alone would exceed with a declared probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// Sum over bins of (q - p) ln(q / p); 0 where the periods are alike.
    pub index: f64,
    /// Exceeded with probability `level` if nothing has changed.
    pub threshold: f64,
}

impl Stability {
    /// Whether the index exceeds what sampling explains.
    pub fn has_drifted(&self) -> bool {
        self.index > self.threshold
    }
}

/// Population stability index of counts per bin (or class), with its sampling threshold at `level` (0.01, say).
///
/// The usual "0.2" says nothing without the number of rows: the threshold is the chi-square quantile with
/// (bins - 1) degrees of freedom x (1/N + 1/M). Source: Yurdakul & Naranjo 2020. Bins empty in both periods are
/// left out; each bin counts half a row more than seen, so that an empty one is not infinitely far. An empty
/// period, or one bin, gives index 0. Bins beyond the shorter list count 0.
pub fn stability(before: &[u64], now: &[u64], level: f64) -> Stability {
    let bins = common_bins(before, now);
    let (n, m) = totals(&bins);
    if bins.len() < 2 || n == 0.0 || m == 0.0 {
        return Stability { index: 0.0, threshold: f64::MAX };
    }
    let smoothing = 0.5 * bins.len() as f64;
    let terms = bins.iter().map(|(before, now)| {
        let (p, q) = ((before + 0.5) / (n + smoothing), (now + 0.5) / (m + smoothing));
        (q - p) * (q / p).ln()
    });
    let degrees = bins.len() as f64 - 1.0;
    Stability {
        index: terms.sum(),
        threshold: chi_square_quantile(1.0 - level, degrees) * (1.0 / n + 1.0 / m),
    }
}

/// Pearson's chi-square test that two periods have the same shares per bin.
///
/// Bins empty in both periods are left out; those in which fewer than five rows are expected in either period
/// are taken together, as the approximation needs. No evidence (p-value 1) where fewer than two bins are left.
pub fn chi_square_test(before: &[u64], now: &[u64]) -> DriftTest {
    let bins = common_bins(before, now);
    let (n, m) = totals(&bins);
    let least_expected = |(before, now): &Bin| (before + now) * n.min(m) / (n + m);
    let (rare, mut kept): (Vec<Bin>, Vec<Bin>) = bins.into_iter().partition(|bin| least_expected(bin) < 5.0);
    let together = rare.iter().fold((0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
    if least_expected(&together) >= 1.0 {
        kept.push(together);
    }
    let (n, m) = totals(&kept);
    if kept.len() < 2 || n == 0.0 || m == 0.0 {
        return NO_EVIDENCE;
    }
    let terms = kept.iter().map(|(before, now)| {
        let (expected_before, expected_now) = ((before + now) * n / (n + m), (before + now) * m / (n + m));
        (before - expected_before).powi(2) / expected_before + (now - expected_now).powi(2) / expected_now
    });
    let statistic = terms.sum();
    DriftTest { statistic, p_value: chi_square_tail(statistic, kept.len() as f64 - 1.0) }
}

/// Kolmogorov-Smirnov test that two periods' values (confidences, lengths) are distributed alike.
///
/// The p-value is the limiting one with Stephens's correction for small samples; with ties it errs on the large
/// side. NaN is left out; no evidence where a period is empty.
pub fn kolmogorov_smirnov(before: &[f64], now: &[f64]) -> DriftTest {
    let (before, now) = (sorted(before), sorted(now));
    if before.is_empty() || now.is_empty() {
        return NO_EVIDENCE;
    }
    let (n, m) = (before.len() as f64, now.len() as f64);
    let up_to = |values: &[f64], x: f64| values.partition_point(|value| *value <= x) as f64;
    let distances = before.iter().chain(&now).map(|&x| (up_to(&before, x) / n - up_to(&now, x) / m).abs());
    let statistic = distances.fold(0.0, f64::max);
    let root = (n * m / (n + m)).sqrt();
    DriftTest { statistic, p_value: kolmogorov_tail((root + 0.12 + 0.11 / root) * statistic) }
}

/// Holm's adjusted p-values, in the order given: those at most `level` may be called out together, with a chance
/// of at most `level` that any of them is a false call. NaN is read as 1. Source: Holm 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let value = |index: usize| if p_values[index].is_nan() { 1.0 } else { p_values[index] };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * value(index)).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// One bin's rows before and now.
type Bin = (f64, f64);

/// Counts of both periods in every bin that either has seen.
fn common_bins(before: &[u64], now: &[u64]) -> Vec<Bin> {
    let count = |counts: &[u64], bin: usize| counts.get(bin).copied().unwrap_or(0) as f64;
    let bins = (0..before.len().max(now.len())).map(|bin| (count(before, bin), count(now, bin)));
    bins.filter(|(before, now)| before + now > 0.0).collect()
}

fn totals(bins: &[Bin]) -> Bin {
    bins.iter().fold((0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn counts(random: &mut Random, rows: usize, shares: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; shares.len()];
        for _ in 0..rows {
            let mut left = random.uniform();
            let bin = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            counts[bin.unwrap_or(0)] += 1;
        }
        counts
    }

    #[test]
    fn without_change_they_rarely_call() {
        let mut random = Random::new(9);
        let shares = [0.4, 0.3, 0.15, 0.1, 0.05];
        let (mut chi, mut psi, mut ks) = (0, 0, 0);
        for _ in 0..2_000 {
            let (before, now) = (counts(&mut random, 800, &shares), counts(&mut random, 400, &shares));
            chi += u32::from(chi_square_test(&before, &now).p_value < 0.05);
            psi += u32::from(stability(&before, &now, 0.05).has_drifted());
            let values: Vec<f64> = (0..300).map(|_| random.uniform()).collect();
            ks += u32::from(kolmogorov_smirnov(&values[..200], &values[200..]).p_value < 0.05);
        }
        for (name, calls) in [("chi-square", chi), ("stability", psi), ("Kolmogorov-Smirnov", ks)] {
            assert!((60..=140).contains(&calls), "{name} called {calls} of 2000, 100 expected");
        }
    }

    #[test]
    fn a_real_change_is_called() {
        let mut random = Random::new(10);
        let before = counts(&mut random, 2_000, &[0.5, 0.3, 0.2]);
        let now = counts(&mut random, 1_000, &[0.4, 0.3, 0.3]);
        assert!(chi_square_test(&before, &now).p_value < 1e-4);
        assert!(stability(&before, &now, 0.01).has_drifted());
        let (low, high): (Vec<f64>, Vec<f64>) =
            (0..500).map(|_| (random.uniform(), 0.1 + random.uniform())).unzip();
        assert!(kolmogorov_smirnov(&low, &high).p_value < 0.01);
    }

    #[test]
    fn permuting_the_classes_changes_nothing() {
        let (before, now) = ([50, 0, 30, 20, 3], [30, 0, 40, 25, 9]);
        let permuted = |counts: [u64; 5]| [counts[3], counts[4], counts[0], counts[2], counts[1]];
        let (plain, moved) =
            (chi_square_test(&before, &now), chi_square_test(&permuted(before), &permuted(now)));
        assert!((plain.statistic - moved.statistic).abs() < 1e-12);
        let (plain, moved) =
            (stability(&before, &now, 0.01), stability(&permuted(before), &permuted(now), 0.01));
        assert!((plain.index - moved.index).abs() < 1e-12 && plain.threshold == moved.threshold);
    }

    /// Pearson's statistic by hand: rows (10, 20), (30, 40); 100 x (10x40 - 20x30)^2 / (40 x 60 x 30 x 70).
    #[test]
    fn the_statistic_is_pearsons() {
        let found = chi_square_test(&[10, 30], &[20, 40]);
        assert!((found.statistic - 100.0 * 40_000.0 / (40.0 * 60.0 * 30.0 * 70.0)).abs() < 1e-12);
    }

    #[test]
    fn holm_steps_down() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), vec![0.03, 0.06, 0.06, 0.02]);
        assert_eq!(holm(&[f64::NAN, 0.2]), vec![1.0, 0.4]);
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }

    #[test]
    fn nothing_to_compare_is_no_evidence() {
        assert_eq!(chi_square_test(&[], &[3, 4]), NO_EVIDENCE);
        assert_eq!(chi_square_test(&[7], &[9]), NO_EVIDENCE);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.0]), NO_EVIDENCE);
        assert!(!stability(&[0, 0], &[1, 2], 0.01).has_drifted());
    }
}
