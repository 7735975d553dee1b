//! How does a model come from rows?

use super::artifact::{Header, Image, MOST_FEATURES, Sections, heads, stride};
use super::calibrate::Calibration;
use super::config::Config;
use super::corpus::Corpus;
use super::design::Design;
use super::predict::{LinearModel, Prediction, Reading, Scratch, hash_table};
use super::rows::{Rows, RowsError, same_length};
use super::solver::{LANES, Problem, Solution, shuffle, solve};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far training is; one report for each pass over the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The fold being fitted, from 0; `None` for the model itself.
    pub fold: Option<u32>,
    /// The pass just finished, from 1.
    pub epoch: u32,
    /// Most passes there can be; training stops earlier once nothing moves.
    pub epochs: u32,
    /// Mean squared hinge loss of a row and label, seen on the way.
    pub loss: f64,
    /// Rows a second in this pass.
    pub rows_per_second: f64,
}

/// Someone who looks on and may stop the training.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Called once a pass, from any thread.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Set to true, it ends the training soon with `TrainError::Cancelled`.
    pub cancelled: Option<&'a AtomicBool>,
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The rows can't be learned from.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A setting is out of range.
    #[error("`{setting}` is {value}; it should be {allowed}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Somebody asked to stop.
    #[error("training was cancelled")]
    Cancelled,
}

/// Folds of `fit`'s own, to set the temperature on rows a model has not seen.
const CALIBRATION_FOLDS: u32 = 3;

impl LinearModel {
    /// Trains a model on all rows. Its temperature comes from three folds of its own.
    pub fn fit(rows: &Rows, config: &Config, watch: Watch) -> Result<Self, TrainError> {
        let folds = random_folds(rows.len(), config.seed);
        Ok(Self::fit_with_folds(rows, &folds, config, watch)?.0)
    }

    /// Trains a model on all rows, and says of every row what a model says that was fitted on the other folds
    /// only. `folds` names each row's fold; near-duplicates belong into one fold.
    pub fn fit_with_folds(
        rows: &Rows,
        folds: &[u32],
        config: &Config,
        watch: Watch,
    ) -> Result<(Self, Vec<Prediction>), TrainError> {
        let training = Training::new(rows, folds, config, watch)?;
        let held_out = training.out_of_fold()?;
        let predictions = training.interpret(folds, &held_out);
        let everything: Vec<usize> = (0..rows.len()).collect();
        let mut sections = training.fit(&everything, None)?;
        sections.calibrate(training.calibration(&held_out, |_| true));
        let model = Self { image: Image::build(training.header(&sections), &sections) };
        Ok((model, predictions))
    }

    /// Only the predictions of `fit_with_folds`.
    pub fn out_of_fold(
        rows: &Rows,
        folds: &[u32],
        config: &Config,
        watch: Watch,
    ) -> Result<Vec<Prediction>, TrainError> {
        let training = Training::new(rows, folds, config, watch)?;
        let held_out = training.out_of_fold()?;
        Ok(training.interpret(folds, &held_out))
    }
}

struct Training<'a> {
    rows: &'a Rows<'a>,
    config: &'a Config,
    watch: Watch<'a>,
    corpus: Corpus,
    /// Each fold's rows.
    folds: Vec<(u32, Vec<usize>)>,
}

/// What one model makes of one text.
type Scored = (Vec<f32>, Reading);

/// What models that never saw a row make of it, for each row.
struct HeldOut {
    scores: Vec<Vec<f32>>,
    readings: Vec<Reading>,
}

impl<'a> Training<'a> {
    fn new(rows: &'a Rows, folds: &[u32], config: &'a Config, watch: Watch<'a>) -> Result<Self, TrainError> {
        config.check()?;
        same_length(rows.texts(), folds.len(), "folds")?;
        let mut members = std::collections::BTreeMap::<u32, Vec<usize>>::new();
        for (row, &fold) in folds.iter().enumerate() {
            members.entry(fold).or_default().push(row);
        }
        let corpus = Corpus::read(rows.texts());
        Ok(Self { rows, config, watch, corpus, folds: members.into_iter().collect() })
    }

    fn out_of_fold(&self) -> Result<HeldOut, TrainError> {
        let folds: Result<Vec<Vec<Scored>>, TrainError> =
            self.folds.par_iter().map(|(fold, held_out)| self.without(*fold, held_out)).collect();
        let mut all = HeldOut {
            scores: vec![Vec::new(); self.rows.len()],
            readings: vec![Reading::default(); self.rows.len()],
        };
        for ((_, held_out), of_fold) in self.folds.iter().zip(folds?) {
            for (&row, (scores, reading)) in held_out.iter().zip(of_fold) {
                all.scores[row] = scores;
                all.readings[row] = reading;
            }
        }
        Ok(all)
    }

    /// Scores of one fold's rows, from a model fitted on all the others.
    fn without(&self, fold: u32, held_out: &[usize]) -> Result<Vec<Scored>, TrainError> {
        let others = self.folds.iter().filter(|(other, _)| *other != fold);
        let others: Vec<usize> = others.flat_map(|(_, rows)| rows.iter().copied()).collect();
        let sections = self.fit(&others, Some(fold))?;
        let model = LinearModel { image: Image::build(self.header(&sections), &sections) };
        let read = |scratch: &mut Scratch, &row: &usize| {
            let reading = model.read(self.rows.texts()[row], scratch);
            (scratch.scores.clone(), reading)
        };
        Ok(held_out.par_iter().map_init(Scratch::default, read).collect())
    }

    /// Each fold's scores, calibrated on the other folds.
    fn interpret(&self, folds: &[u32], held_out: &HeldOut) -> Vec<Prediction> {
        let mut predictions = vec![Prediction::default(); self.rows.len()];
        for (fold, members) in &self.folds {
            let calibration = self.calibration(held_out, |row| folds[row] != *fold);
            for &row in members {
                let Prediction { log_probabilities, signals } = &mut predictions[row];
                let of_scores = calibration.meaning().interpret(&held_out.scores[row], log_probabilities);
                *signals = held_out.readings[row].complete(of_scores);
            }
        }
        predictions
    }

    fn calibration(&self, held_out: &HeldOut, of: impl Fn(usize) -> bool) -> Calibration {
        Calibration::fit(self.rows, &held_out.scores, self.config.in_scope_loss, of)
    }

    /// Weights learned from these rows alone, not yet calibrated.
    fn fit(&self, rows: &[usize], fold: Option<u32>) -> Result<Sections, TrainError> {
        let design = Design::new(&self.corpus, rows, self.config);
        let heads = self.heads();
        let problem = Problem {
            design: &design,
            positives: rows.iter().map(|&row| self.positives(row)).collect(),
            weights: rows.iter().map(|&row| self.rows.weight(row)).collect(),
            heads,
            config: self.config,
        };
        let solution = solve(&problem, &self.watch, fold)?;
        let (scale, weights) = quantise(&solution, design.vocabulary.hashes.len(), heads);
        let Calibration { slopes_and_offsets, thresholds, .. } = Calibration::none(self.rows);
        Ok(Sections {
            slots: hash_table(&design.vocabulary.hashes),
            rarity: design.vocabulary.rarity,
            word_features: design.vocabulary.words,
            scale,
            bias: (0..heads).map(|head| solution.blocks[head / LANES].bias[head % LANES]).collect(),
            calibration: slopes_and_offsets,
            thresholds,
            weights,
        })
    }

    fn heads(&self) -> usize {
        heads(self.rows.labels().len(), self.rows.may_have_several())
    }

    /// The heads a row is positive in. Two labels share one head, which asks for the second.
    fn positives(&self, row: usize) -> &[u32] {
        let targets = self.rows.targets(row);
        if self.heads() >= self.rows.labels().len() {
            return targets;
        }
        if targets == [1] { &[0] } else { &[] }
    }

    fn header(&self, sections: &Sections) -> Header {
        Header {
            labels: self.rows.labels().to_vec(),
            several: self.rows.may_have_several(),
            at_least_one: self.rows.always_labelled(),
            out_of_scope: self.rows.out_of_scope_label(),
            config: self.config.clone(),
            rows: self.rows.len() as u64,
            data_sha256: self.rows.digest(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            features: sections.rarity.len() as u32,
            word_features: sections.word_features,
            slots: sections.slots.len() as u32,
            heads: self.heads() as u32,
            stride: stride(self.heads()) as u32,
        }
    }
}

impl Sections {
    fn calibrate(&mut self, calibration: Calibration) {
        self.calibration = calibration.slopes_and_offsets;
        self.thresholds = calibration.thresholds;
    }
}

impl Config {
    fn check(&self) -> Result<(), TrainError> {
        let refuse = |setting, value: String, allowed| Err(TrainError::Setting { setting, value, allowed });
        if !(self.cost.is_finite() && self.cost > 0.0) {
            return refuse("cost", self.cost.to_string(), "a number above 0");
        }
        if self.epochs == 0 {
            return refuse("epochs", self.epochs.to_string(), "at least 1");
        }
        if self.tolerance.is_nan() || self.tolerance < 0.0 {
            return refuse("tolerance", self.tolerance.to_string(), "a number of at least 0");
        }
        if !(0.0..=1.0).contains(&self.balance) {
            return refuse("balance", self.balance.to_string(), "between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.in_scope_loss) {
            return refuse("in_scope_loss", self.in_scope_loss.to_string(), "between 0 and 1");
        }
        if !(1..=MOST_FEATURES).contains(&self.max_features) {
            return refuse("max_features", self.max_features.to_string(), "between 1 and 16777214");
        }
        Ok(())
    }
}

impl Watch<'_> {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        if self.cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err(TrainError::Cancelled);
        }
        Ok(())
    }

    pub(super) fn report(&self, progress: Progress) {
        if let Some(listener) = self.progress {
            listener(progress);
        }
    }
}

/// Each feature's weights as whole numbers of -127 to 127 and one scale: a quarter of the size. Held-out scores
/// come from quantised weights too, so what quantising costs is in every number measured.
fn quantise(solution: &Solution, features: usize, heads: usize) -> (Vec<f32>, Vec<i8>) {
    let stride = stride(heads);
    let mut scales = Vec::with_capacity(features);
    let mut weights = vec![0_i8; features * stride];
    for feature in 0..features {
        let weight = |head: usize| solution.blocks[head / LANES].weights[feature][head % LANES];
        let largest = (0..heads).fold(0.0_f32, |most, head| most.max(weight(head).abs()));
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
        for head in 0..heads {
            weights[feature * stride + head] = (weight(head) * inverse).round() as i8;
        }
        scales.push(scale);
    }
    (scales, weights)
}

fn random_folds(rows: usize, seed: u64) -> Vec<u32> {
    let mut folds: Vec<u32> = (0..rows).map(|row| row as u32 % CALIBRATION_FOLDS).collect();
    shuffle(&mut folds, &mut seed.wrapping_add(1));
    folds
}
