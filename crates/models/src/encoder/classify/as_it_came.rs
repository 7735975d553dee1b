//! A head over the encoder as it came: each row is read once.

use rayon::prelude::*;
use sprat_task::TrainError;

use super::super::Checkpoint;
use super::super::encoder::{pooled, to_unit_length};
use super::super::network::Network;
use super::heads::{Fitted, Heads, Unseen};
use super::held_out::HeldOut;
use super::neighbours::{Near, Neighbours};
use super::run::Run;
use super::stage::Stage;

/// Rows that are read between two looks whether it is to stop.
const AT_ONCE: usize = 512;

/// Heads over the encoder as it came.
pub struct AsItCame {
    /// What each head says of the rows it had not seen, all rows together.
    pub held_out: HeldOut,
    /// Heads without each fold, in ascending order of the folds.
    pub heads: Fitted,
    /// The head on all rows.
    pub head: Vec<f32>,
    /// What the encoder makes of all rows.
    pub embeddings: Vec<f32>,
}

impl Run<'_> {
    /// Reads all rows and fits heads.
    pub fn as_it_came(&self, stage: &Stage<'_>) -> Result<AsItCame, TrainError> {
        let embeddings = self.as_served(stage).ok_or(TrainError::Cancelled)?;
        let keep_on = || !stage.is_stopped() && stage.at(0.7);
        let fitting =
            Heads { lessons: &self.lessons, width: self.width(), folds: self.folds, keep_on: &keep_on };
        let folds = self.fold_numbers();
        let unseen: Vec<Unseen<'_>> =
            folds.iter().map(|fold| Unseen { fold: *fold, embeddings: &embeddings }).collect();
        let mut heads = fitting.without(&unseen).ok_or(TrainError::Cancelled)?;
        let head = fitting.on_all(&embeddings, heads.cost, heads.mean()).ok_or(TrainError::Cancelled)?;
        let held_out = self.held_out(&mut heads, &unseen);
        stage.at(1.0);
        Ok(AsItCame { held_out, heads, head, embeddings })
    }

    /// What the encoder makes of all rows, computed as where it answers: in the same precision, by the same kernels. `None`
    /// where it was stopped.
    fn as_served(&self, stage: &Stage<'_>) -> Option<Vec<f32>> {
        let Checkpoint { config, weights, sentence, .. } = &self.checkpoint;
        let network = Network::new(config, weights, self.config.precision);
        let rows: Vec<&[u32]> = self.examples.iter().map(|example| example.tokens.as_slice()).collect();
        let mut embeddings = Vec::with_capacity(rows.len() * self.width());
        for some in rows.chunks(AT_ONCE) {
            if stage.is_stopped() {
                return None;
            }
            let mut vectors = pooled(&network, sentence, some);
            vectors.iter_mut().for_each(|vector| to_unit_length(vector));
            embeddings.extend(vectors.into_iter().flatten());
            stage.at(0.5 * (embeddings.len() / self.width()) as f32 / rows.len() as f32);
        }
        Some(embeddings)
    }

    /// What heads say of rows that neither they nor their encoders had seen, and what is near to these rows.
    pub fn held_out(&self, heads: &mut Fitted, unseen: &[Unseen<'_>]) -> HeldOut {
        let width = self.width();
        let kept = Neighbours::kept(self.rows.len());
        let of_fold: Vec<Neighbours> =
            unseen.iter().map(|unseen| self.neighbours(unseen.embeddings, &kept)).collect();
        let near = |row: &usize| -> Near {
            let Some(at) = unseen.iter().position(|unseen| unseen.fold == self.folds[*row]) else {
                return Near::default();
            };
            let vector = &unseen[at].embeddings[row * width..(row + 1) * width];
            let of_others = |place: usize| self.folds[kept[place]] != self.folds[*row];
            of_fold[at].near(vector, self.lessons.out_of_scope, of_others)
        };
        let rows = heads.rows.clone();
        HeldOut {
            near: rows.par_iter().map(near).collect(),
            groups: self.groups(&rows),
            outputs: std::mem::take(&mut heads.outputs),
            rows,
        }
    }
}
