//! An encoder that was fine-tuned with its head on it, by each row's labels: for rows enough.

use rayon::prelude::*;
use sprat_task::TrainError;

use super::super::Weights;
use super::super::finetune::{Example, Labelled, Network, Settings, Stopped, Tuned, Walk};
use super::as_it_came::AsItCame;
use super::config::FineTune;
use super::heads::others;
use super::held_out::HeldOut;
use super::neighbours::Neighbours;
use super::run::{Run, Trial};
use super::stage::Stage;

/// From so many rows on it is tried: with fewer it has nothing to go by.
const ENOUGH_ROWS: usize = 200;
/// Rows visited, all passes together, unless the number of passes is set. A bound on time, not yet tuned on real rows.
const VISITS: usize = 25_000;
/// Fewest and most passes that come of it.
const PASSES: (usize, usize) = (2, 10);

/// What came of it.
pub struct ByLabels {
    pub trial: Trial,
    /// Passes until it was best.
    pub passes: u32,
}

impl Run<'_> {
    /// Whether it is tried.
    pub fn is_tried_by_labels(&self) -> bool {
        match self.config.fine_tune {
            FineTune::Always => true,
            FineTune::Never | FineTune::Contrastive => false,
            FineTune::Auto => self.rows.len() >= ENOUGH_ROWS,
        }
    }

    /// Rows that pass through in one such training, at most.
    pub fn visits_by_labels(&self) -> f32 {
        (self.label_settings(None).epochs as usize * self.rows.len()) as f32
    }

    /// All of the encoder, without the rows of one fold; what it says of them.
    pub fn by_labels(&self, as_it_came: &AsItCame, stage: &Stage<'_>) -> Result<ByLabels, TrainError> {
        let fold = self.fold_numbers().first().copied().unwrap_or(0);
        let head = as_it_came.heads.without.first().map_or(&[][..], Vec::as_slice);
        let taught = others(self.folds, fold);
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| self.folds[*row] == fold).collect();
        let held_out = self.examples(&rows);
        let network = self.network(self.lessons.outputs());
        let settings = self.label_settings(None);
        let taught_examples = self.examples(&taught);
        let tuned =
            self.walk_by_labels("held-out", &network, &settings, (&taught_examples, &held_out), head, stage)?;
        let Tuned { parameters, epoch, curve } = tuned;
        let embeddings = network.embeddings(&parameters, &held_out);
        let kept: Vec<usize> = Neighbours::kept(taught.len()).into_iter().map(|at| taught[at]).collect();
        let familiar = Neighbours {
            width: self.width(),
            vectors: network.embeddings(&parameters, &self.examples(&kept)),
            labels: kept.iter().map(|row| self.first_label(*row)).collect(),
        };
        let near = |vector: &[f32]| familiar.near(vector, self.lessons.out_of_scope, |_| true);
        let held_out = HeldOut {
            groups: self.groups(&rows),
            outputs: network.outputs(&parameters, &embeddings),
            near: embeddings.par_chunks_exact(self.width()).map(near).collect(),
            rows,
        };
        Ok(ByLabels { trial: Trial { held_out, curve }, passes: epoch })
    }

    /// The same on all rows, for as many passes as were best: head, encoder, and the rows' embeddings.
    pub fn by_labels_on_all(
        &self,
        head: &[f32],
        passes: u32,
        stage: &Stage<'_>,
    ) -> Result<(Vec<f32>, Weights, Vec<f32>), TrainError> {
        let network = self.network(self.lessons.outputs());
        let settings = self.label_settings(Some(passes));
        let tuned = self.walk_by_labels("all", &network, &settings, (&self.examples, &[]), head, stage)?;
        let weights = network.layout.weights(&self.checkpoint.weights, &tuned.parameters);
        let weights = weights.map_err(|problem| TrainError::Artifact(problem.to_string()))?;
        let embeddings = network.embeddings(&tuned.parameters, &self.examples);
        Ok((tuned.parameters[network.layout.head_weight.start..].to_vec(), weights, embeddings))
    }

    fn walk_by_labels(
        &self,
        which: &str,
        network: &Network<'_>,
        settings: &Settings,
        (rows, held_out): (&[Example], &[Example]),
        head: &[f32],
        stage: &Stage<'_>,
    ) -> Result<Tuned, TrainError> {
        let resume = self.resume(which, settings);
        let progress = |walked| stage.walked(walked);
        let lesson = Labelled { network, objective: self.lessons.objective, settings, rows, held_out };
        let walk = Walk { layout: &network.layout, settings, progress: &progress, resume: resume.as_ref() };
        let start = network.layout.start(&self.checkpoint.weights, head);
        walk.run(&lesson, start).map_err(|Stopped| TrainError::Cancelled)
    }

    fn label_settings(&self, stop_after: Option<u32>) -> Settings {
        let of_visits = (VISITS / self.rows.len().max(1)).clamp(PASSES.0, PASSES.1) as u32;
        Settings {
            epochs: self.config.epochs.unwrap_or(of_visits),
            stop_after,
            rate: self.config.learning_rate,
            seed: self.training.seed,
            ..Settings::default()
        }
    }
}
