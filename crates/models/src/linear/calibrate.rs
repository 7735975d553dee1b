//! Which probability does a score stand for? Fitted on rows the scoring model has not seen.

use super::artifact::heads;
use super::meaning::{Meaning, likeliest};
use super::rows::Rows;
use rayon::prelude::*;

/// How scores become probabilities: see `Meaning`, which borrows this or a file.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    several: bool,
    at_least_one: bool,
    out_of_scope: Option<u32>,
    pub(super) slopes_and_offsets: Vec<f32>,
    pub(super) thresholds: Vec<f32>,
}

/// Bounds of a slope. Scores are margins near -1 and 1; where every row is right, the likeliest slope is infinite.
const SLOPES: (f64, f64) = (0.1, 20.0);
/// Newton's method on one convex function; it is done in four or five.
const STEPS: usize = 20;
/// Rows summed by one thread before the sums are added in order: the same result for any number of threads.
const CHUNK: usize = 512;
/// Thresholds that are tried where a text may carry several labels, in hundredths, those next to a half first.
const THRESHOLDS: [u8; 10] = [46, 54, 42, 58, 38, 62, 34, 66, 30, 70];

impl Calibration {
    /// Scores taken as they are.
    pub(super) fn none(rows: &Rows) -> Self {
        let (labels, several) = (rows.labels().len(), rows.may_have_several());
        let slopes_and_offsets = [1.0, 0.0].repeat(heads(labels, several));
        let out_of_scope = rows.out_of_scope_label();
        let at_least_one = rows.always_labelled();
        Self { several, at_least_one, out_of_scope, slopes_and_offsets, thresholds: vec![0.5; labels] }
    }

    /// Fitted on the scores of the rows named by `of`: one temperature for labels that exclude each other, and a
    /// handicap for them against "out of scope"; a slope and an offset for each label, and one threshold for all,
    /// where a text may carry several.
    pub(super) fn fit(
        rows: &Rows,
        scores: &[Vec<f32>],
        in_scope_loss: f32,
        of: impl Fn(usize) -> bool,
    ) -> Self {
        let mut calibration = Self::none(rows);
        let of: Vec<usize> = (0..rows.len()).filter(|&row| of(row) && rows.weight(row) > 0.0).collect();
        if of.is_empty() || calibration.slopes_and_offsets.is_empty() {
            return calibration;
        }
        if calibration.several {
            let each: Vec<[f32; 2]> = (0..rows.labels().len())
                .into_par_iter()
                .map(|label| one_label(rows, scores, &of, label))
                .collect();
            calibration.slopes_and_offsets = each.concat();
            let threshold = calibration.best_threshold(rows, scores, &of);
            calibration.thresholds.fill(threshold);
        } else {
            let slope = temperature(rows, scores, &of) as f32;
            calibration.slopes_and_offsets.chunks_exact_mut(2).for_each(|head| head[0] = slope);
            if let Some(label) = rows.out_of_scope_label() {
                let handicap = handicap(rows, scores, &of, calibration.meaning(), label, in_scope_loss);
                calibration.raise(label, handicap);
            }
        }
        calibration
    }

    pub(super) fn meaning(&self) -> Meaning<'_> {
        Meaning {
            several: self.several,
            at_least_one: self.at_least_one,
            out_of_scope: self.out_of_scope,
            calibration: &self.slopes_and_offsets,
            thresholds: &self.thresholds,
        }
    }

    /// The probability from which giving a label makes the most texts' sets of labels exactly right: that is what an
    /// answer is judged by. Half would be best if labels came independently of each other; they don't.
    fn best_threshold(&self, rows: &Rows, scores: &[Vec<f32>], of: &[usize]) -> f32 {
        let exactly_right = |threshold: f32| -> f64 {
            let thresholds = vec![threshold; self.thresholds.len()];
            let meaning = Meaning { thresholds: &thresholds, ..self.meaning() };
            let sums: Vec<f64> = of
                .par_chunks(CHUNK)
                .map(|chunk| {
                    let mut log_probabilities = Vec::new();
                    let mut right = 0.0;
                    for &row in chunk {
                        meaning.interpret(&scores[row], &mut log_probabilities);
                        if meaning.choose(&log_probabilities) == rows.targets(row) {
                            right += f64::from(rows.weight(row));
                        }
                    }
                    right
                })
                .collect();
            sums.iter().sum()
        };
        let (mut best, mut threshold) = (exactly_right(0.5), 0.5);
        for step in THRESHOLDS {
            let candidate = f32::from(step) / 100.0;
            let right = exactly_right(candidate);
            if right > best {
                (best, threshold) = (right, candidate);
            }
        }
        threshold
    }

    /// Adds to the log-odds of one label against all others.
    fn raise(&mut self, label: u32, by: f32) {
        match (&mut self.slopes_and_offsets[..], label) {
            // Two labels share one head, which asks for the second.
            ([_, offset], 0) => *offset -= by,
            ([_, offset], _) => *offset += by,
            (heads, label) => heads[2 * label as usize + 1] += by,
        }
    }
}

/// The slope under which the right labels are likeliest.
fn temperature(rows: &Rows, scores: &[Vec<f32>], of: &[usize]) -> f64 {
    let (least, most) = SLOPES;
    let mut slope = 3.0_f64;
    for _ in 0..STEPS {
        let sums: Vec<(f64, f64)> =
            of.par_chunks(CHUNK).map(|chunk| descent_of_slope(rows, scores, chunk, slope)).collect();
        let (gradient, curvature) =
            sums.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        // At most a factor of two a step: far from the least the curvature can vanish.
        let next =
            (slope - gradient / curvature.max(1e-12)).clamp(slope / 2.0, slope * 2.0).clamp(least, most);
        let moved = (next - slope).abs();
        slope = next;
        if moved < 1e-3 * slope {
            break;
        }
    }
    slope
}

/// How much the label "out of scope" must be raised to take this share of the right answers of other labels. Nobody
/// knows how many texts out of scope will come, so their share among the rows says nothing; what refusing costs the
/// others can be measured. Works as well where that label has no rows: then it claims what no other label claims.
fn handicap(
    rows: &Rows,
    scores: &[Vec<f32>],
    of: &[usize],
    meaning: Meaning,
    out_of_scope: u32,
    in_scope_loss: f32,
) -> f32 {
    let mut log_probabilities = Vec::new();
    let mut leads = Vec::new();
    for &row in of {
        let signals = meaning.interpret(&scores[row], &mut log_probabilities);
        log_probabilities[out_of_scope as usize] = f32::NEG_INFINITY;
        let right = rows.targets(row) == [likeliest(&log_probabilities) as u32];
        leads.extend(signals.in_scope.filter(|_| right));
    }
    leads.sort_by(f32::total_cmp);
    let given_up = (f64::from(in_scope_loss) * leads.len() as f64) as usize;
    leads.get(given_up).map_or(0.0, |lead| lead.max(0.0))
}

/// First and second derivative, by the slope, of the negative log-likelihood of some rows.
fn descent_of_slope(rows: &Rows, scores: &[Vec<f32>], of: &[usize], slope: f64) -> (f64, f64) {
    let (mut gradient, mut curvature) = (0.0, 0.0);
    for &row in of {
        let (mean, variance, right) = match (&scores[row][..], rows.targets(row)) {
            ([score], &[target]) => {
                let score = f64::from(*score);
                let second = 1.0 / (1.0 + (-slope * score).exp());
                (score * second, score * score * second * (1.0 - second), score * f64::from(target))
            }
            (many, &[target]) => {
                let most = many.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let (mut sum, mut first, mut second) = (0.0_f64, 0.0, 0.0);
                for &score in many {
                    let weight = (slope as f32 * (score - most)).exp();
                    sum += f64::from(weight);
                    first += f64::from(weight * score);
                    second += f64::from(weight * score * score);
                }
                let mean = first / sum;
                (mean, (second / sum - mean * mean).max(0.0), f64::from(many[target as usize]))
            }
            _ => continue,
        };
        let weight = f64::from(rows.weight(row));
        gradient += weight * (mean - right);
        curvature += weight * variance;
    }
    (gradient, curvature)
}

/// Slope and offset of one label (Platt 1999, with his softened targets).
fn one_label(rows: &Rows, scores: &[Vec<f32>], of: &[usize], label: usize) -> [f32; 2] {
    let carries = |row: usize| rows.targets(row).binary_search(&(label as u32)).is_ok();
    let weight = |row: usize| f64::from(rows.weight(row));
    let positives: f64 = of.iter().filter(|&&row| carries(row)).map(|&row| weight(row)).sum();
    let negatives: f64 = of.iter().map(|&row| weight(row)).sum::<f64>() - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let (mut slope, mut offset) = (3.0_f64, ((positives + 1.0) / (negatives + 1.0)).ln());
    for _ in 0..STEPS {
        // A weak pull towards slope 3 keeps the problem well-posed where a label has next to no rows.
        let (mut by_slope, mut by_offset) = (0.1 * (slope - 3.0), 0.0);
        let (mut slope_slope, mut slope_offset, mut offset_offset) = (0.1, 0.0, 1e-6);
        for &row in of {
            let score = f64::from(scores[row][label]);
            let probability = 1.0 / (1.0 + (-slope * score - offset).exp());
            let error = weight(row) * (probability - if carries(row) { high } else { low });
            let curvature = weight(row) * probability * (1.0 - probability);
            by_slope += error * score;
            by_offset += error;
            slope_slope += curvature * score * score;
            slope_offset += curvature * score;
            offset_offset += curvature;
        }
        let determinant = (slope_slope * offset_offset - slope_offset * slope_offset).max(1e-12);
        let step = (
            (offset_offset * by_slope - slope_offset * by_offset) / determinant,
            (slope_slope * by_offset - slope_offset * by_slope) / determinant,
        );
        slope = (slope - step.0.clamp(-2.0, 2.0)).clamp(SLOPES.0, SLOPES.1);
        offset -= step.1.clamp(-2.0, 2.0);
        if step.0.abs() + step.1.abs() < 1e-4 {
            break;
        }
    }
    [slope as f32, offset as f32]
}
