//! The tagger as a rung: how does it answer a task, and how is it trained for one?

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sprat_task::model::{Progress, TrainError};
use sprat_task::{
    Answer, Attempt, Context, Features, Field, FieldType, Fitted, Input, Kind, Label, LabelledRow, Model,
    ModelId, Prediction, Record, Score, Task, Trainer, Training,
};

use super::config::Config;
use super::model::{Scratch, Seen, Tagged, TaggerModel};
use super::train::{Row, Watch, fit_with_folds};
use crate::platt::{self, log_odds};
use crate::threads::on_threads;

/// Raised whenever the features below, or the scores behind them, change.
const SCORER_VERSION: u32 = 1;

/// What the confidence head reads.
const FEATURES: [&str; 8] = [
    "log_odds",
    "least_log_odds",
    "sum_log_probability",
    "values",
    "spare_values",
    "corrected",
    "unknown_words",
    "log_words",
];

/// A tagger that answers under a declared name.
pub struct TaggerRung {
    id: ModelId,
    model: TaggerModel,
}

impl TaggerRung {
    /// Names a model.
    pub fn new(id: ModelId, model: TaggerModel) -> Self {
        Self { id, model }
    }

    /// The model itself.
    pub fn model(&self) -> &TaggerModel {
        &self.model
    }
}

/// What was found of one field.
struct Found<'a> {
    field: &'a Field,
    /// The probability that it is right, as the model has it: that its words are a value, or that there is none.
    probability: f64,
    /// Values beyond the one that a field has room for.
    spare: usize,
}

/// The record in what a model saw.
pub fn record(text: &str, fields: &[Field], tagged: &Tagged) -> Record {
    record_and_found(text, fields, tagged).0
}

/// The record in what a model saw: of several values of a field that isn't a list, the likeliest.
fn record_and_found<'a>(text: &str, fields: &'a [Field], tagged: &Tagged) -> (Record, Vec<Found<'a>>) {
    let mut record = Record::new();
    let mut found = Vec::with_capacity(fields.len());
    for (number, field) in fields.iter().enumerate() {
        let mut seen: Vec<&Seen> = tagged.spans.iter().filter(|seen| seen.span.field == number).collect();
        let values = seen.len();
        if field.kind != FieldType::List {
            seen.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            seen.truncate(1);
        }
        for seen in &seen {
            field.add_to(&mut record, &text[seen.bytes.clone()]);
        }
        let probability = match seen[..] {
            [] => tagged.nothing[number],
            ref seen => seen.iter().map(|seen| seen.probability).product(),
        };
        found.push(Found { field, probability, spare: values - seen.len() });
    }
    (record, found)
}

/// The answer in what a model saw; `None` where a required field isn't there.
fn prediction(task: &Task, text: &str, tagged: &Tagged, calibration: &[(f64, f64)]) -> Option<Prediction> {
    let (record, found) = record_and_found(text, &task.fields, tagged);
    if task.fields.iter().any(|field| field.required && !record.contains_key(&field.name)) {
        return None;
    }
    let least = found.iter().map(|found| found.probability).fold(1.0, f64::min);
    let spare: usize = found.iter().map(|found| found.spare).sum();
    let features = [
        log_odds(tagged.log_probability.exp()),
        log_odds(least),
        found.iter().map(|found| found.probability.max(platt::ENDS.0).ln()).sum(),
        record.len() as f64,
        spare as f64,
        f64::from(u8::from(tagged.was_corrected)),
        tagged.unknown_words,
        (tagged.words as f64).ln_1p(),
    ];
    let fields = found.iter().zip(calibration).map(|(found, calibration)| {
        let confidence = platt::apply(*calibration, found.probability);
        (Label::from(found.field.name.as_str()), Score(confidence as f32))
    });
    Some(Prediction {
        alternatives: fields.collect(),
        answer: Answer::Fields(record),
        score: Score(tagged.log_probability.exp() as f32),
        features: Features(features.map(|feature| feature as f32).to_vec()),
    })
}

impl Model for TaggerRung {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        // Tens of microseconds of pure computation: not worth another thread.
        let mut scratch = Scratch::default();
        let attempts = inputs.iter().map(|input| {
            let start = Instant::now();
            let tagged = self.model.tag(&input.text, &task.fields, &mut scratch);
            let answer = prediction(task, &input.text, &tagged, &self.model.header.calibration);
            Attempt::free(answer, start.elapsed())
        });
        Box::pin(std::future::ready(attempts.collect()))
    }

    fn feature_names(&self) -> &'static [&'static str] {
        &FEATURES
    }

    fn scorer_version(&self) -> u32 {
        SCORER_VERSION
    }
}

/// Trains taggers.
pub struct TaggerTrainer {
    id: ModelId,
    config: Config,
}

impl TaggerTrainer {
    /// A trainer for the model of this name; the seed comes with each training.
    pub fn new(id: ModelId, config: Config) -> Self {
        Self { id, config }
    }

    /// The artefact's file name in a release: two taggers of one ladder lie side by side.
    fn file(&self) -> String {
        format!("{}.sprat", self.id)
    }
}

impl Trainer for TaggerTrainer {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "tagger"
    }

    fn fit(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
        folder: &Path,
    ) -> Result<Fitted, TrainError> {
        if task.kind != Kind::Extract {
            return Err(TrainError::Rows(format!(
                "a tagger finds fields, and task `{}` is of kind `{}`",
                task.name, task.kind
            )));
        }
        let taught = rows.iter().map(|row| row_of(task, row)).collect::<Result<Vec<_>, _>>()?;
        if !taught.iter().any(|row| row.is_whole && !row.values.is_empty()) {
            return Err(TrainError::Rows(
                "no row has a value that stands in its text: there is nothing to learn".to_owned(),
            ));
        }
        let config = Config { seed: training.seed, ..self.config.clone() };
        let (mut model, tagged) = watched(training, &config, folds, |watch| {
            fit_with_folds(&taught, folds, &task.fields, &config, watch)
        })?;
        model.header.calibration = calibration(task, rows, &tagged);
        let file = folder.join(self.file());
        model
            .save(&file)
            .map_err(|error| TrainError::Artifact(format!("{} can't be written: {error}", file.display())))?;
        let answer = |(row, tagged): (&LabelledRow, &Tagged)| {
            Some(Attempt::free(
                prediction(task, &row.input.text, tagged, &model.header.calibration),
                Duration::ZERO,
            ))
        };
        let out_of_fold = rows.iter().zip(&tagged).map(answer).collect();
        Ok(Fitted { model: self.open(task, &file)?, file: self.file(), out_of_fold, told: None })
    }

    fn open(&self, task: &Task, file: &Path) -> Result<Arc<dyn Model>, TrainError> {
        let model = TaggerModel::open(file)
            .map_err(|error| TrainError::Artifact(format!("{}: {error}", file.display())))?;
        if !model.fields().eq(task.fields.iter().map(|field| field.name.as_str())) {
            return Err(TrainError::Artifact(format!(
                "{} was trained for other fields than the task has now",
                file.display()
            )));
        }
        Ok(Arc::new(TaggerRung::new(self.id.clone(), model)))
    }
}

fn row_of<'a>(task: &Task, row: &'a LabelledRow) -> Result<Row<'a>, TrainError> {
    Row::of(task, row)
        .ok_or_else(|| TrainError::Rows(format!("line {} has no record to learn from", row.line)))
}

/// For each field, what its probabilities stand for, by what models that never saw a row said of it.
fn calibration(task: &Task, rows: &[LabelledRow], tagged: &[Tagged]) -> Vec<(f64, f64)> {
    let mut said: Vec<Vec<(f64, bool)>> = vec![Vec::new(); task.fields.len()];
    for (row, tagged) in rows.iter().zip(tagged) {
        let Some(Answer::Fields(right)) = row.target() else { continue };
        let (record, found) = record_and_found(&row.input.text, &task.fields, tagged);
        for (said, found) in said.iter_mut().zip(found) {
            let is_right = right.get(&found.field.name) == record.get(&found.field.name);
            said.push((log_odds(found.probability), is_right));
        }
    }
    said.iter().map(|said| platt::fit(said)).collect()
}

/// Trains on as many threads as the caller allows; a caller who asks to stop is obeyed at the next row.
fn watched<T: Send>(
    training: &Training<'_>,
    config: &Config,
    folds: &[u32],
    train: impl FnOnce(Watch<'_>) -> Result<T, super::train::Cancelled> + Send,
) -> Result<T, TrainError> {
    let (cancelled, passes) = (AtomicBool::new(false), AtomicU32::new(0));
    let models = folds.iter().max().map_or(0, |fold| fold + 1) + 1;
    let most = (models * config.epochs).max(1) as f32;
    let pass = |loss: f32| {
        let done = (passes.fetch_add(1, Ordering::Relaxed) + 1) as f32 / most;
        let progress = Progress { done: done.min(1.0), loss: Some(loss), rows_per_second: None };
        if (training.progress)(progress) == ControlFlow::Break(()) {
            cancelled.store(true, Ordering::Relaxed);
        }
    };
    let watch = Watch { pass: &pass, cancelled: &cancelled };
    on_threads(training, || train(watch))?.map_err(|_| TrainError::Cancelled)
}
