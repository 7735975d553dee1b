//! How is an encoder taught a task? A head over the encoder as it came; then, where there are rows enough, all of it; and
//! what is better on rows that it has not seen is kept. Both are blended with a linear model that reads the same rows.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sprat_task::model::{Pass, Progress, Told, Tried};
use sprat_task::{
    Attempt, Fitted, Label, LabelledRow, Model, ModelId, Sha256Hex, Task, TrainError, Trainer, Training,
};

use super::super::finetune::{
    CurvePoint, Example, Finetuning, Layout, Network, Resume, Settings, Stopped, Tuned, Walked,
};
use super::super::{Checkpoint, Weights};
use super::artifact::{Header, Learned, VERSION};
use super::base::Place;
use super::config::{Config, FineTune};
use super::frozen::{self, Frozen, others};
use super::held_out::{HeldOut, Judged};
use super::lessons::Lessons;
use super::neighbours::{Near, Neighbours};
use super::rung::EncoderRung;
use crate::linear::{self, LinearModel, Watch};

/// From so many rows on, fine-tuning is tried and compared with the frozen encoder: with fewer it has nothing to go by.
const ENOUGH_TO_TUNE: usize = 200;
/// Rows visited by fine-tuning, all passes together, unless the number of passes is set. A bound on time, not yet tuned on
/// real rows.
const VISITS: usize = 25_000;
/// Fewest and most passes that come of it.
const PASSES: (usize, usize) = (2, 10);
/// Groups of rows held out from fine-tuning, for the blend.
const GROUPS: u32 = 5;

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
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(training.threads)
            .build()
            .map_err(|error| TrainError::Artifact(format!("no threads to train on: {error}")))?;
        let (learned, out_of_fold, told) = pool.install(|| self.teach(training, task, rows, folds))?;
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
        let run = Run { trainer: self, training, lessons, examples, rows, folds, checkpoint };
        let (first, second) = if run.is_tuned() { (0.03, 0.12) } else { (0.2, 1.0) };
        let (linear, linear_held_out) = run.linear(task, &run.stage(0.0, first))?;
        let (frozen, frozen_held_out, embeddings) = run.frozen(&run.stage(first, second))?;
        let tuned = match run.is_tuned() {
            true => Some(run.tuned(&frozen, &run.stage(second, second + 0.4))?),
            false => None,
        };
        let chosen = run.choose(&linear_held_out, &frozen_held_out, tuned.as_ref());
        let header = |fine_tuned| Header {
            version: VERSION,
            labels: run.lessons.labels.clone(),
            several: task.multi,
            at_least_one: run.lessons.at_least_one,
            out_of_scope: run.lessons.out_of_scope,
            width: run.checkpoint.config.hidden,
            blend: chosen.judged.blend,
            base: base.clone(),
            linear: linear.fingerprint(),
            fine_tuned,
            config: self.config.clone(),
            seed: training.seed,
            rows: rows.len() as u64,
            data_sha256: linear.header().data_sha256.clone(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let told = chosen.told;
        let Some(tuned) = tuned.filter(|_| chosen.fine_tuned) else {
            let neighbours = run.neighbours(&embeddings, &Neighbours::kept(rows.len()));
            let learned =
                Learned { header: header(false), head: frozen.head, neighbours, linear, weights: None };
            return Ok((learned, chosen.judged.attempts(&frozen_held_out.rows, rows.len()), told));
        };
        let (head, weights, embeddings) =
            run.tuned_on_all(&frozen, tuned.passes, &run.stage(second + 0.4, 1.0))?;
        let neighbours = run.neighbours(&embeddings, &Neighbours::kept(rows.len()));
        let learned = Learned { header: header(true), head, neighbours, linear, weights: Some(weights) };
        Ok((learned, chosen.judged.attempts(&tuned.held_out.rows, rows.len()), told))
    }
}

/// One training, and all that its stages share.
struct Run<'a> {
    trainer: &'a EncoderTrainer,
    training: &'a Training<'a>,
    lessons: Lessons,
    examples: Vec<Example>,
    rows: &'a [LabelledRow],
    folds: &'a [u32],
    checkpoint: Checkpoint,
}

/// What fine-tuning without one fold came to.
struct WithoutFold {
    held_out: HeldOut,
    /// Passes until it was best.
    passes: u32,
    curve: Vec<CurvePoint>,
}

/// What the rung becomes.
struct Chosen {
    fine_tuned: bool,
    judged: Judged,
    told: Told,
}

impl Run<'_> {
    /// Whether fine-tuning is tried.
    fn is_tuned(&self) -> bool {
        match self.trainer.config.fine_tune {
            FineTune::Always => true,
            FineTune::Never => false,
            FineTune::Auto => self.rows.len() >= ENOUGH_TO_TUNE,
        }
    }

    fn stage(&self, from: f32, to: f32) -> Stage<'_> {
        Stage { training: self.training, from, to, stopped: AtomicBool::new(false) }
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
            stage.at(0.5, None, None);
        };
        let watch = Watch { progress: Some(&report), cancelled: Some(&stage.stopped) };
        LinearModel::fit_with_folds(&rows, self.folds, &config, watch).map_err(|error| match error {
            linear::TrainError::Cancelled => TrainError::Cancelled,
            other => TrainError::Rows(other.to_string()),
        })
    }

    /// Heads over the encoder as it came, and the rows' embeddings.
    fn frozen(&self, stage: &Stage<'_>) -> Result<(Frozen, HeldOut, Vec<f32>), TrainError> {
        let network = self.network();
        let parameters = network.layout.start(&self.checkpoint.weights, &[]);
        let settings = self.settings(None);
        let embeddings = self.finetuning(&network, &settings, None, &|_| ControlFlow::Continue(()));
        let embeddings = embeddings.embeddings(&parameters, &self.examples);
        stage.at(0.5, None, None);
        let keep_on = || !stage.stopped.load(Ordering::Relaxed) && stage.at(0.7, None, None);
        let width = self.checkpoint.config.hidden;
        let fitted = frozen::fit(&self.lessons, &embeddings, width, self.folds, &keep_on);
        let mut frozen = fitted.ok_or(TrainError::Cancelled)?;
        let kept = Neighbours::kept(self.rows.len());
        let neighbours = self.neighbours(&embeddings, &kept);
        let near = |(row, vector): (usize, &[f32])| {
            let of_others = |place: usize| self.folds[kept[place]] != self.folds[row];
            neighbours.near(vector, self.lessons.out_of_scope, of_others)
        };
        let near: Vec<Near> = embeddings.par_chunks_exact(width).enumerate().map(near).collect();
        let held_out = HeldOut {
            rows: (0..self.rows.len()).collect(),
            groups: self.folds.to_vec(),
            outputs: std::mem::take(&mut frozen.held_out),
            near,
        };
        Ok((frozen, held_out, embeddings))
    }

    /// All of the encoder, without the rows of one fold; what it says of them.
    fn tuned(&self, frozen: &Frozen, stage: &Stage<'_>) -> Result<WithoutFold, TrainError> {
        let (fold, head) = &frozen.without[0];
        let taught = others(self.folds, *fold);
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| self.folds[*row] == *fold).collect();
        let of =
            |rows: &[usize]| -> Vec<Example> { rows.iter().map(|row| self.examples[*row].clone()).collect() };
        let (taught_examples, held_out) = (of(&taught), of(&rows));
        let network = self.network();
        let settings = self.settings(None);
        let resume = self.resume("held-out", &settings);
        let progress = |walked| stage.walked(walked);
        let training = self.finetuning(&network, &settings, resume.as_ref(), &progress);
        let start = network.layout.start(&self.checkpoint.weights, head);
        let tuned =
            training.run(start, &taught_examples, &held_out).map_err(|Stopped| TrainError::Cancelled)?;
        let Tuned { parameters, epoch, curve } = tuned;
        let embeddings = training.embeddings(&parameters, &held_out);
        let kept: Vec<usize> = Neighbours::kept(taught.len()).into_iter().map(|at| taught[at]).collect();
        let width = self.checkpoint.config.hidden;
        let familiar = Neighbours {
            width,
            vectors: training.embeddings(&parameters, &of(&kept)),
            labels: kept.iter().map(|row| self.first_label(*row)).collect(),
        };
        let near = |vector: &[f32]| familiar.near(vector, self.lessons.out_of_scope, |_| true);
        let held_out = HeldOut {
            groups: (0..rows.len() as u32).map(|place| place % GROUPS).collect(),
            outputs: training.outputs(&parameters, &embeddings),
            near: embeddings.par_chunks_exact(width).map(near).collect(),
            rows,
        };
        Ok(WithoutFold { held_out, passes: epoch, curve })
    }

    /// The same on all rows, for as many passes as were best: head, encoder, and the rows' embeddings.
    fn tuned_on_all(
        &self,
        frozen: &Frozen,
        passes: u32,
        stage: &Stage<'_>,
    ) -> Result<(Vec<f32>, Weights, Vec<f32>), TrainError> {
        let network = self.network();
        let settings = self.settings(Some(passes));
        let resume = self.resume("all", &settings);
        let progress = |walked| stage.walked(walked);
        let training = self.finetuning(&network, &settings, resume.as_ref(), &progress);
        let start = network.layout.start(&self.checkpoint.weights, &frozen.head);
        let tuned = training.run(start, &self.examples, &[]).map_err(|Stopped| TrainError::Cancelled)?;
        let weights = network.layout.weights(&self.checkpoint.weights, &tuned.parameters);
        let weights = weights.map_err(|problem| TrainError::Artifact(problem.to_string()))?;
        let embeddings = training.embeddings(&tuned.parameters, &self.examples);
        Ok((tuned.parameters[network.layout.head_weight.start..].to_vec(), weights, embeddings))
    }

    /// Frozen or fine-tuned: what is right more often on the same rows, which neither had seen.
    fn choose(&self, linear: &[linear::Prediction], frozen: &HeldOut, tuned: Option<&WithoutFold>) -> Chosen {
        let in_scope_loss = self.trainer.config.in_scope_loss;
        let among = tuned.map_or(&frozen.rows, |tuned| &tuned.held_out.rows);
        let judged = frozen.judge(&self.lessons, linear, in_scope_loss);
        let accuracy = judged.accuracy(&frozen.rows, self.rows, among);
        let mut tried = vec![
            ("the linear model alone", self.linear_alone(linear, among)),
            ("the head over the encoder as it came", frozen.accuracy_alone(&self.lessons, among)),
            ("the same, with the linear model", accuracy),
        ];
        let mut chosen = (judged, 2);
        if let Some(tuned) = tuned {
            let judged = tuned.held_out.judge(&self.lessons, linear, in_scope_loss);
            let found = judged.accuracy(among, self.rows, among);
            tried.push(("the fine-tuned encoder", tuned.held_out.accuracy_alone(&self.lessons, among)));
            tried.push(("the same, with the linear model", found));
            if found > accuracy || self.trainer.config.fine_tune == FineTune::Always {
                chosen = (judged, 4);
            }
        }
        let tried = tried.into_iter().enumerate().map(|(at, (name, accuracy))| Tried {
            name: name.to_owned(),
            rows: among.len() as u64,
            accuracy,
            chosen: at == chosen.1,
        });
        let pass = |point: &CurvePoint| Pass {
            pass: point.epoch,
            loss: point.loss,
            held_out_loss: point.held_out_loss,
            held_out_accuracy: point.held_out_accuracy,
        };
        let passes = tuned.map(|tuned| tuned.curve.iter().map(pass).collect()).unwrap_or_default();
        Chosen { fine_tuned: chosen.1 == 4, judged: chosen.0, told: Told { tried: tried.collect(), passes } }
    }

    fn linear_alone(&self, linear: &[linear::Prediction], among: &[usize]) -> f64 {
        let right = among.iter().filter(|row| {
            let logs = &linear[**row].log_probabilities;
            // Above zero is above one half.
            let odds: Vec<f32> = logs.iter().map(|log| log - (-log.exp()).ln_1p().max(-30.0)).collect();
            self.lessons.objective.is_right(&odds, &self.lessons.targets[**row])
        });
        right.count() as f64 / among.len().max(1) as f64
    }

    fn network(&self) -> Network {
        Network {
            layout: Layout::new(&self.checkpoint.config, self.lessons.outputs()),
            pooling: self.checkpoint.sentence.pooling,
            // What is served is of unit length, whatever the base model asks for.
            normalise: true,
        }
    }

    fn finetuning<'b>(
        &'b self,
        network: &'b Network,
        settings: &'b Settings,
        resume: Option<&'b Resume>,
        progress: &'b (dyn Fn(Walked) -> ControlFlow<()> + Sync),
    ) -> Finetuning<'b> {
        let base = &self.checkpoint.weights;
        Finetuning { network, base, objective: self.lessons.objective, settings, progress, resume }
    }

    fn settings(&self, stop_after: Option<u32>) -> Settings {
        let config = &self.trainer.config;
        let of_visits = (VISITS / self.rows.len().max(1)).clamp(PASSES.0, PASSES.1) as u32;
        Settings {
            epochs: config.epochs.unwrap_or(of_visits),
            stop_after,
            rate: config.learning_rate,
            seed: self.training.seed,
            ..Settings::default()
        }
    }

    /// Where an interrupted run is kept, named by everything it depends on.
    fn resume(&self, which: &str, settings: &Settings) -> Option<Resume> {
        let examples = self.examples.iter().map(|example| format!("{example:?}"));
        let start = self.checkpoint.weights.parameters().iter();
        let start = start.map(|parameter| Sha256Hex::of(bytemuck::cast_slice(&parameter.data)).to_string());
        let fixed = [
            which.to_owned(),
            format!("{settings:?} {:?} {:?}", self.trainer.config, self.checkpoint.config),
            format!("{:?}", self.folds),
            env!("CARGO_PKG_VERSION").to_owned(),
        ];
        let parts: Vec<String> = fixed.into_iter().chain(start).chain(examples).collect();
        let key = Sha256Hex::of_parts(parts.iter().map(String::as_bytes)).to_string();
        let file = self.training.kept?.join(format!("{}.{which}.safetensors", self.trainer.id));
        Some(Resume { file, key })
    }

    /// Rows as vectors of unit length, with their labels.
    fn neighbours(&self, embeddings: &[f32], kept: &[usize]) -> Neighbours {
        let width = self.checkpoint.config.hidden;
        Neighbours {
            width,
            vectors: kept
                .iter()
                .flat_map(|row| &embeddings[row * width..(row + 1) * width])
                .copied()
                .collect(),
            labels: kept.iter().map(|row| self.first_label(*row)).collect(),
        }
    }

    fn first_label(&self, row: usize) -> u32 {
        self.lessons.targets[row].first().copied().unwrap_or(u32::MAX)
    }
}

/// The rows as fine-tuning sees them.
fn examples(
    checkpoint: &Checkpoint,
    lessons: &Lessons,
    rows: &[LabelledRow],
) -> Result<Vec<Example>, TrainError> {
    let example = |place: usize| {
        let row = &rows[place];
        let tokens = checkpoint.tokenizer.ids(&row.input.text);
        let tokens = tokens.map_err(|error| TrainError::Rows(format!("line {}: {error}", row.line)))?;
        Ok(Example { tokens, targets: lessons.targets[place].clone(), weight: lessons.weights[place] })
    };
    (0..rows.len()).into_par_iter().map(example).collect()
}

/// A part of the whole, for whoever looks on.
struct Stage<'a> {
    training: &'a Training<'a>,
    from: f32,
    to: f32,
    stopped: AtomicBool,
}

impl Stage<'_> {
    /// Tells how far this part is; false once somebody has asked to stop.
    fn at(&self, share: f32, loss: Option<f32>, rows_per_second: Option<f32>) -> bool {
        let done = self.from + share * (self.to - self.from);
        let go_on = (self.training.progress)(Progress { done, loss, rows_per_second }).is_continue();
        if !go_on {
            self.stopped.store(true, Ordering::Relaxed);
        }
        go_on
    }

    fn walked(&self, walked: Walked) -> ControlFlow<()> {
        match self.at(walked.done, Some(walked.loss), Some(walked.rows_per_second)) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}
