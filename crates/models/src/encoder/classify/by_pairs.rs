//! An encoder that was fine-tuned by pairs, and a head over it: for few rows, or few of each label.

use sprat_task::TrainError;

use super::super::Weights;
use super::super::finetune::{Contrast, Settings, Stopped, Tuned, Walk};
use super::config::FineTune;
use super::heads::{Heads, Unseen, others};
use super::run::{Run, Trial};
use super::stage::Stage;

/// Rows from which on it is tried: fewer can't say what is better.
const LEAST_ROWS: usize = 50;
/// Up to so many rows it is tried whatever their labels, and judged on all of them: one encoder is fine-tuned without each fold.
const FEW_ROWS: usize = 200;
/// Rows of a label, on average, that are few: then it is tried up to [`MOST_ROWS`].
const FEW_OF_A_LABEL: usize = 20;
/// Rows up to which it is tried.
const MOST_ROWS: usize = 2_000;

/// Rows visited, all passes together: a bound on time, a minute or two with a small encoder on two cores, not tuned.
const VISITS: usize = 1_280;
/// Fewest and most passes that come of it.
const PASSES: (usize, usize) = (2, 40);
/// The largest learning rate.
const RATE: f32 = 1e-4;
/// Share of all steps in which the learning rate climbs.
const WARM_UP: f32 = 0.1;

/// What came of it.
pub struct ByPairs {
    pub trial: Trial,
    /// How strongly the head is held back.
    pub cost: f32,
}

impl Run<'_> {
    /// Whether it is tried.
    pub fn is_tried_by_pairs(&self) -> bool {
        let rows = self.rows.len();
        match self.config.fine_tune {
            FineTune::Contrastive => true,
            FineTune::Never | FineTune::Always => false,
            FineTune::Auto if rows <= FEW_ROWS => rows >= LEAST_ROWS,
            FineTune::Auto => rows <= MOST_ROWS && rows <= FEW_OF_A_LABEL * self.lessons.carried(),
        }
    }

    /// The folds that are left out one by one: all where rows are few, else the first.
    pub fn folds_by_pairs(&self) -> Vec<u32> {
        let mut folds = self.fold_numbers();
        if self.rows.len() > FEW_ROWS {
            folds.truncate(1);
        }
        folds
    }

    /// Rows that pass through in one such training.
    pub fn visits_by_pairs(&self) -> f32 {
        (self.pair_settings().epochs as usize * self.rows.len()) as f32
    }

    /// Fine-tunes without some folds, one after the other.
    pub fn by_pairs(&self, stage: &Stage<'_>) -> Result<ByPairs, TrainError> {
        let folds = self.folds_by_pairs();
        let network = self.network(0);
        let mut curve = Vec::new();
        let mut embeddings = Vec::new();
        for (number, fold) in folds.iter().enumerate() {
            let part = stage.part(number, folds.len());
            let taught = others(self.folds, *fold);
            let tuned = self.walk_by_pairs(&format!("pairs-{fold}"), &taught, &part)?;
            embeddings.push(network.embeddings(&tuned.parameters, &self.examples));
            if number == 0 {
                curve = tuned.curve;
            }
        }
        let unseen: Vec<Unseen<'_>> = folds
            .iter()
            .zip(&embeddings)
            .map(|(fold, embeddings)| Unseen { fold: *fold, embeddings })
            .collect();
        let keep_on = || stage.at(1.0);
        let fitting =
            Heads { lessons: &self.lessons, width: self.width(), folds: self.folds, keep_on: &keep_on };
        let mut heads = fitting.without(&unseen).ok_or(TrainError::Cancelled)?;
        let held_out = self.held_out(&mut heads, &unseen);
        Ok(ByPairs { trial: Trial { held_out, curve }, cost: heads.cost })
    }

    /// The same on all rows: head, encoder, and the rows' embeddings.
    pub fn by_pairs_on_all(
        &self,
        cost: f32,
        stage: &Stage<'_>,
    ) -> Result<(Vec<f32>, Weights, Vec<f32>), TrainError> {
        let everything: Vec<usize> = (0..self.rows.len()).collect();
        let tuned = self.walk_by_pairs("pairs-all", &everything, stage)?;
        let network = self.network(0);
        let weights = network.layout.weights(&self.checkpoint.weights, &tuned.parameters);
        let weights = weights.map_err(|problem| TrainError::Artifact(problem.to_string()))?;
        let embeddings = network.embeddings(&tuned.parameters, &self.examples);
        let keep_on = || stage.at(1.0);
        let fitting =
            Heads { lessons: &self.lessons, width: self.width(), folds: self.folds, keep_on: &keep_on };
        let head = fitting.on_all(&embeddings, cost, None).ok_or(TrainError::Cancelled)?;
        Ok((head, weights, embeddings))
    }

    fn walk_by_pairs(&self, which: &str, taught: &[usize], stage: &Stage<'_>) -> Result<Tuned, TrainError> {
        let network = self.network(0);
        let settings = self.pair_settings();
        let rows = self.examples(taught);
        let resume = self.resume(which, &settings);
        let progress = |walked| stage.walked(walked);
        let lesson = Contrast {
            network: &network,
            settings: &settings,
            rows: &rows,
            out_of_scope: self.lessons.out_of_scope,
        };
        let walk = Walk {
            layout: &network.layout,
            settings: &settings,
            progress: &progress,
            resume: resume.as_ref(),
        };
        let start = network.layout.start(&self.checkpoint.weights, &[]);
        walk.run(&lesson, start).map_err(|Stopped| TrainError::Cancelled)
    }

    fn pair_settings(&self) -> Settings {
        let passes = (VISITS / self.rows.len().max(1)).clamp(PASSES.0, PASSES.1) as u32;
        Settings {
            epochs: self.config.epochs.unwrap_or(passes),
            rate: RATE,
            warm_up: WARM_UP,
            seed: self.training.seed,
            ..Settings::default()
        }
    }
}
