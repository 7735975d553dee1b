//! Do rows with confidence 0.8 come out right eight times in ten, and does more confidence mean fewer errors?

use serde::{Deserialize, Serialize};

/// A confidence in [0, 1] and whether the answer was right. NaN is read as 0: it is never accepted.
pub type Judged = (f64, bool);

/// One bar of a reliability plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Least confidence in the bin.
    pub from: f64,
    /// Greatest confidence in the bin.
    pub to: f64,
    /// Rows in it, at least 1.
    pub rows: u64,
    /// Mean confidence of its rows.
    pub confidence: f64,
    /// Share of its rows that are right.
    pub accuracy: f64,
}

/// At most `bins` bins with about equally many rows each, by confidence ascending; ties stay together.
///
/// Bins of equal mass, because confidences crowd near 1, where bins of equal width would hold everything.
pub fn reliability_bins(rows: &[Judged], bins: usize) -> Vec<ReliabilityBin> {
    let mut sorted = defined(rows);
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = Vec::new();
    let mut rest = sorted.as_slice();
    while !rest.is_empty() {
        let wanted = rest.len().div_ceil(bins.saturating_sub(found.len()).max(1));
        let last = rest[wanted - 1].0;
        let (bin, after) = rest.split_at(rest.partition_point(|row| row.0 <= last));
        rest = after;
        let count = bin.len() as f64;
        found.push(ReliabilityBin {
            from: bin[0].0,
            to: last,
            rows: bin.len() as u64,
            confidence: bin.iter().map(|row| row.0).sum::<f64>() / count,
            accuracy: bin.iter().filter(|row| row.1).count() as f64 / count,
        });
    }
    found
}

/// Mean distance between confidence and accuracy over [`reliability_bins`], weighted by rows; 0 for no rows.
pub fn expected_calibration_error(rows: &[Judged], bins: usize) -> f64 {
    let gaps = reliability_bins(rows, bins)
        .into_iter()
        .map(|bin| bin.rows as f64 * (bin.confidence - bin.accuracy).abs());
    gaps.sum::<f64>() / rows.len().max(1) as f64
}

/// Mean squared distance between confidence and outcome: 0 best, 0.25 for always saying one half; 0 for no rows.
pub fn brier_score(rows: &[Judged]) -> f64 {
    let squares = defined(rows)
        .into_iter()
        .map(|(confidence, right)| (confidence - f64::from(u8::from(right))).powi(2));
    squares.sum::<f64>() / rows.len().max(1) as f64
}

/// What a threshold would accept, and how often that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskCoveragePoint {
    /// Accept iff confidence > threshold.
    pub threshold: f64,
    /// Share accepted.
    pub coverage: f64,
    /// Share of the accepted that is wrong.
    pub selective_error: f64,
    /// Share of all that is accepted and wrong.
    pub joint_error: f64,
}

/// One point per distinct confidence, by coverage ascending, the last accepting every confidence above 0.
pub fn risk_coverage(rows: &[Judged]) -> Vec<RiskCoveragePoint> {
    let mut sorted = defined(rows);
    sorted.retain(|row| row.0 > 0.0);
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut accepted, mut wrong) = (0_usize, 0_usize);
    let mut points = Vec::new();
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        accepted += tied.len();
        wrong += tied.iter().filter(|row| !row.1).count();
        points.push(RiskCoveragePoint {
            threshold: sorted.get(accepted).map_or(0.0, |next| next.0),
            coverage: accepted as f64 / rows.len() as f64,
            selective_error: wrong as f64 / accepted as f64,
            joint_error: wrong as f64 / rows.len() as f64,
        });
    }
    points
}

/// Area under the risk-coverage curve: the selective error averaged over every coverage; 0 best, 0 for no rows.
///
/// Ties are taken in random order, that is, the error rises evenly through them.
pub fn area_under_risk_coverage(rows: &[Judged]) -> f64 {
    let mut sorted = defined(rows);
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut accepted, mut wrong, mut area) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let share = tied.iter().filter(|row| !row.1).count() as f64 / tied.len() as f64;
        for _ in tied {
            accepted += 1.0;
            wrong += share;
            area += wrong / accepted;
        }
    }
    area / rows.len().max(1) as f64
}

fn defined(rows: &[Judged]) -> Vec<Judged> {
    rows.iter()
        .map(|(confidence, right)| (if confidence.is_nan() { 0.0 } else { *confidence }, *right))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const FOUR: [Judged; 4] = [(0.9, true), (0.8, true), (0.7, false), (0.6, true)];

    #[test]
    fn the_curve_is_counted_out() {
        let points = risk_coverage(&FOUR);
        let errors: Vec<f64> = points.iter().map(|point| point.selective_error).collect();
        assert_eq!(errors, [0.0, 0.0, 1.0 / 3.0, 0.25]);
        assert_eq!(points.iter().map(|point| point.threshold).collect::<Vec<_>>(), [0.8, 0.7, 0.6, 0.0]);
        assert!((area_under_risk_coverage(&FOUR) - (1.0 / 3.0 + 0.25) / 4.0).abs() < 1e-12);
        assert!((brier_score(&FOUR) - (0.01 + 0.04 + 0.49 + 0.16) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn calibrated_confidences_have_a_small_error_and_boastful_ones_a_large() {
        let mut random = Random::new(2);
        let mut row = || {
            let confidence = random.uniform();
            (confidence, random.chance(confidence))
        };
        let calibrated: Vec<Judged> = (0..20_000).map(|_| row()).collect();
        assert!(expected_calibration_error(&calibrated, 15) < 0.02);
        let boastful: Vec<Judged> = calibrated.iter().map(|(p, right)| (p.sqrt(), *right)).collect();
        assert!(expected_calibration_error(&boastful, 15) > 0.12);
    }

    #[test]
    fn ties_share_a_bin_and_nothing_is_lost() {
        let rows: Vec<Judged> = (0..100).map(|row| (f64::from(row / 30), row % 2 == 0)).collect();
        let bins = reliability_bins(&rows, 10);
        assert_eq!(bins.len(), 4);
        assert_eq!(bins.iter().map(|bin| bin.rows).sum::<u64>(), 100);
        assert!(reliability_bins(&[], 10).is_empty());
        assert!(risk_coverage(&[(f64::NAN, true)]).is_empty());
        assert_eq!(expected_calibration_error(&[], 10), 0.0);
    }
}
