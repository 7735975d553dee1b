//! One rung's rows by confidence: any threshold is counted without going through them again.

use super::Sample;
use super::cost::{Costs, Tally};

/// The rows of a sample of one rung, most confident first.
pub(super) struct Ranked<'a> {
    costs: &'a Costs,
    rows: u64,
    /// Descending; rows without a confidence above 0 are never accepted and not among them.
    confidences: Vec<f64>,
    /// How many of the first so many are bad: one longer than `confidences`.
    bad_before: Vec<u64>,
}

impl<'a> Ranked<'a> {
    pub fn new(sample: &Sample, costs: &'a Costs) -> Self {
        let confident =
            sample.rows().filter_map(|row| Some((row.answers[0].confidence?, row.answers[0].bad)));
        let mut ranked: Vec<(f64, bool)> = confident.filter(|(confidence, _)| *confidence > 0.0).collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut bad_before = vec![0];
        bad_before.extend(ranked.iter().scan(0, |bad, row| {
            *bad += u64::from(row.1);
            Some(*bad)
        }));
        let confidences = ranked.into_iter().map(|row| row.0).collect();
        Ranked { costs, rows: sample.len() as u64, confidences, bad_before }
    }

    /// Descending.
    pub fn confidences(&self) -> &[f64] {
        &self.confidences
    }

    /// The same as [`super::tally`] of a configuration with this threshold, without constraints.
    pub fn tally(&self, threshold: f64) -> Tally {
        let accepted = self.confidences.partition_point(|confidence| *confidence > threshold);
        let bad = self.bad_before[accepted];
        let (rows, accepted, costs) = (self.rows, accepted as u64, self.costs);
        let small =
            (accepted - bad) as f64 * costs.of_small_answer(false) + bad as f64 * costs.of_small_answer(true);
        let large = (rows - accepted) as f64 * costs.large;
        let cost = if rows == 0 { 0.0 } else { costs.rungs[0] + (small + large) / rows as f64 };
        Tally { rows, accepted, bad, accepted_by_rung: vec![accepted], cost, constraints: Vec::new() }
    }

    /// The lowest threshold above which at most `most_bad` rows are bad: the confidence of the bad row that
    /// would be one too many, or 0, which accepts every confidence above it.
    pub fn lowest_threshold(&self, most_bad: u64) -> f64 {
        let fitting = self.bad_before.partition_point(|bad| *bad <= most_bad);
        self.confidences.get(fitting - 1).copied().unwrap_or(0.0)
    }
}
