//! How is an encoder taught a task? A head over the encoder as it came; then all of it, by pairs where labels are few, by
//! labels where there are rows enough; and what is best on rows that it has not seen is kept. Each is blended with a linear
//! model that reads the same rows.

use std::path::Path;
use std::sync::Arc;

use sprat_task::{
    Attempt, Fitted, Label, LabelledRow, Model, ModelId, Task, Told, TrainError, Trainer, Training,
};

use super::artifact::{Header, Learned, VERSION};
use super::base::Place;
use super::choose::{Trials, Way};
use super::config::Config;
use super::lessons::Lessons;
use super::neighbours::Neighbours;
use super::run::{Run, examples};
use super::rung::EncoderRung;
use super::stage::{Stage, Stages};
use crate::linear::{self, LinearModel, Watch};
use crate::threads::on_threads;

/// Teaches encoders.
pub struct EncoderTrainer {
    id: ModelId,
    place: Place,
    config: Config,
}

impl EncoderTrainer {
    /// A trainer for the model of this name, from the base model at this place.
    pub fn new(id: ModelId, place: Place, config: Config) -> Self {
        Self { id, place, config }
    }

    /// Whether the base model can be read; otherwise a sentence that says why not.
    ///
    /// # Errors
    /// That sentence.
    pub fn check_base(&self) -> Result<(), String> {
        self.place.open().map(drop)
    }

    fn file(&self) -> String {
        format!("{}.encoder.safetensors", self.id)
    }
}

impl Trainer for EncoderTrainer {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "encoder"
    }

    fn fit(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
        folder: &Path,
    ) -> Result<Fitted, TrainError> {
        let (learned, out_of_fold, told) = on_threads(training, || self.teach(training, task, rows, folds))??;
        let file = folder.join(self.file());
        learned.save(&file).map_err(TrainError::Artifact)?;
        Ok(Fitted { model: self.open(task, &file)?, file: self.file(), out_of_fold, told: Some(told) })
    }

    fn open(&self, task: &Task, file: &Path) -> Result<Arc<dyn Model>, TrainError> {
        let rung = EncoderRung::open(self.id.clone(), &self.place, file).map_err(TrainError::Artifact)?;
        if rung.labels() != task.labels {
            return Err(TrainError::Artifact(format!(
                "{} was trained for other labels than the task has now",
                file.display()
            )));
        }
        Ok(Arc::new(rung))
    }
}

type Taught = (Learned, Vec<Option<Attempt>>, Told);

impl EncoderTrainer {
    fn teach(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
    ) -> Result<Taught, TrainError> {
        let (checkpoint, base) = self.place.open().map_err(TrainError::Artifact)?;
        let lessons = Lessons::read(task, rows, self.config.balance)?;
        if folds.iter().all(|fold| *fold == folds[0]) {
            return Err(TrainError::Rows("the rows are all of one fold; at least two are needed".to_owned()));
        }
        let examples = examples(&checkpoint, &lessons, rows)?;
        let run = Run {
            id: &self.id,
            config: &self.config,
            training,
            lessons,
            examples,
            rows,
            folds,
            checkpoint,
            base: &base,
        };
        let (pairs, labels) = (run.is_tried_by_pairs(), run.is_tried_by_labels());
        let mut stages = Stages::new(training, run.lengths());
        let (linear, linear_held_out) = run.linear(task, &stages.next())?;
        let as_it_came = run.as_it_came(&stages.next())?;
        let (stage, next) = (stages.next(), stages.next());
        let by_pairs = pairs.then(|| run.by_pairs(&stage)).transpose()?;
        let by_labels = labels.then(|| run.by_labels(&as_it_came, &next)).transpose()?;
        let chosen = run.choose(
            &linear_held_out,
            &Trials {
                as_it_came: &as_it_came.held_out,
                by_pairs: by_pairs.as_ref().map(|tried| &tried.trial),
                by_labels: by_labels.as_ref().map(|tried| &tried.trial),
            },
        );
        let last = stages.next();
        let made = match (chosen.way, by_pairs, by_labels) {
            (Way::ByPairs, Some(tried), _) => Some(run.by_pairs_on_all(tried.cost, &last)?),
            (Way::ByLabels, _, Some(tried)) => {
                Some(run.by_labels_on_all(&as_it_came.head, tried.passes, &last)?)
            }
            _ => None,
        };
        let (head, weights, embeddings) = match made {
            Some((head, weights, embeddings)) => (head, Some(weights), embeddings),
            None => (as_it_came.head, None, as_it_came.embeddings),
        };
        let header = Header {
            version: VERSION,
            labels: run.lessons.labels.clone(),
            several: task.multi,
            at_least_one: run.lessons.at_least_one,
            out_of_scope: run.lessons.out_of_scope,
            width: run.width(),
            blend: chosen.judged.blend,
            base: base.clone(),
            linear: linear.fingerprint(),
            fine_tuned: weights.is_some(),
            config: self.config.clone(),
            seed: training.seed,
            rows: rows.len() as u64,
            data_sha256: linear.header().data_sha256.clone(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let neighbours = run.neighbours(&embeddings, &Neighbours::kept(rows.len()));
        let attempts = chosen.judged.attempts(&chosen.rows, rows.len());
        Ok((Learned { header, head, neighbours, linear, weights }, attempts, chosen.told))
    }
}

impl Run<'_> {
    /// How long each stage is expected to take, in rows that pass there and back.
    fn lengths(&self) -> Vec<f32> {
        let rows = self.rows.len() as f32;
        let folds = self.fold_numbers().len() as f32;
        let (mut by_pairs, mut by_labels, mut last) = (0.0, 0.0, 0.0_f32);
        if self.is_tried_by_pairs() {
            let once = self.visits_by_pairs();
            by_pairs = once * (1.0 - 1.0 / folds) * self.folds_by_pairs().len() as f32;
            last = last.max(once);
        }
        if self.is_tried_by_labels() {
            let once = self.visits_by_labels();
            by_labels = once * (1.0 - 1.0 / folds);
            last = last.max(once);
        }
        // Reading a row once is a third of the way there and back; the heads are fitted in about as much.
        vec![0.1 * rows, 0.7 * rows, by_pairs, by_labels, last]
    }

    /// The linear model that the head is blended with, and what it says of each row out of fold.
    fn linear(
        &self,
        task: &Task,
        stage: &Stage<'_>,
    ) -> Result<(LinearModel, Vec<linear::Prediction>), TrainError> {
        let labels: Vec<String> = task.labels.iter().map(Label::to_string).collect();
        let texts: Vec<&str> = self.rows.iter().map(|row| row.input.text.as_str()).collect();
        let weights: Vec<f32> = self.rows.iter().map(|row| row.weight).collect();
        let rows = linear::checked(task, &texts, &self.lessons.targets, &labels, &weights)?;
        let config = linear::Config { seed: self.training.seed, ..linear::Config::default() };
        let report = |_: linear::Progress| {
            stage.at(0.5);
        };
        let watch = Watch { progress: Some(&report), cancelled: Some(stage.stopped()) };
        LinearModel::fit_with_folds(&rows, self.folds, &config, watch).map_err(|error| match error {
            linear::TrainError::Cancelled => TrainError::Cancelled,
            other => TrainError::Rows(other.to_string()),
        })
    }
}
