//! A head over the encoder as it came: each row is read once.

use rayon::prelude::*;
use sprat_task::TrainError;

use super::heads::{Fitted, Heads, Unseen};
use super::held_out::HeldOut;
use super::neighbours::{Near, Neighbours};
use super::run::Run;
use super::stage::Stage;

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
        let network = self.network(0);
        let parameters = network.layout.start(&self.checkpoint.weights, &[]);
        let embeddings = network.embeddings(&parameters, &self.examples);
        stage.at(0.5);
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
