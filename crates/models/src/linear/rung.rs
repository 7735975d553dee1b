//! The linear model as a rung: how does it answer a task, and how is it trained for one?

use super::{
    Config, LinearModel, Prediction as Scores, Rows, Scratch, Signals, TrainError as LinearError, Watch,
};
use crate::threads::on_threads;
use futures::future::BoxFuture;
use sprat_task::model::{Progress, TrainError};
use sprat_task::{
    Answer, Attempt, Context, Features, Fitted, Input, Label, LabelledRow, Model, ModelId, Prediction, Score,
    Task, Trainer, Training,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Raised whenever the features below, or the scores behind them, change.
const SCORER_VERSION: u32 = 2;

/// What the confidence head reads.
const FEATURES: [&str; 6] = ["log_odds", "margin", "entropy", "best_score", "unknown_words", "log_words"];

/// How many alternatives a prediction lists where one label is chosen; where each stands for itself, all.
const ALTERNATIVES: usize = 5;

/// A linear model that answers under a declared name.
pub struct LinearRung {
    id: ModelId,
    model: LinearModel,
    labels: Vec<Label>,
}

impl LinearRung {
    /// Names a model.
    pub fn new(id: ModelId, model: LinearModel) -> Self {
        let labels = model.labels().iter().map(|label| Label::from(label.as_str())).collect();
        Self { id, model, labels }
    }

    /// The model itself: what an encoder's head reads, bound by [`LinearModel::fingerprint`].
    pub fn model(&self) -> &LinearModel {
        &self.model
    }

    fn answer(&self, text: &str, scratch: &mut Scratch) -> Prediction {
        let (log_probabilities, signals) = self.model.predict_into(text, scratch);
        prediction(&self.labels, &self.model, log_probabilities, signals)
    }
}

fn prediction(
    labels: &[Label],
    model: &LinearModel,
    log_probabilities: &[f32],
    signals: Signals,
) -> Prediction {
    let most = if model.header().several { labels.len() } else { ALTERNATIVES };
    let mut best: Vec<usize> = Vec::with_capacity(most + 1);
    for (index, score) in log_probabilities.iter().enumerate() {
        let at = best.partition_point(|&other| log_probabilities[other] >= *score);
        if at < most {
            best.insert(at, index);
            best.truncate(most);
        }
    }
    let chosen = model.choose(log_probabilities);
    let label = |index: u32| labels[index as usize].clone();
    let answer = if model.header().several {
        Answer::labels(chosen.into_iter().map(label))
    } else {
        Answer::Label(label(chosen.first().copied().unwrap_or(0)))
    };
    Prediction {
        answer,
        score: Score(signals.max_probability),
        features: Features(features(signals).to_vec()),
        alternatives: best
            .into_iter()
            .map(|index| (labels[index].clone(), Score(log_probabilities[index])))
            .collect(),
    }
}

fn features(signals: Signals) -> [f32; FEATURES.len()] {
    // Beyond these ends a float's logarithm says more about the float than about the text.
    let probability = signals.max_probability.clamp(1e-6, 1.0 - 1e-6);
    [
        (probability / (1.0 - probability)).ln(),
        signals.margin,
        signals.entropy,
        signals.best_score,
        signals.unknown_words,
        (signals.words as f32).ln_1p(),
    ]
}

impl Model for LinearRung {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        // Microseconds of pure computation: not worth another thread.
        let mut scratch = Scratch::default();
        let attempts = inputs.iter().map(|input| {
            let start = Instant::now();
            let prediction = self.answer(&input.text, &mut scratch);
            Attempt::free(prediction, start.elapsed())
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

/// Trains linear rungs.
pub struct LinearTrainer {
    id: ModelId,
    config: Config,
}

impl LinearTrainer {
    /// A trainer for the model of this name; the seed comes with each training.
    pub fn new(id: ModelId, config: Config) -> Self {
        Self { id, config }
    }

    /// The artefact's file name in a release: two linear rungs of one ladder lie side by side.
    fn file(&self) -> String {
        format!("{}.sprat", self.id)
    }
}

impl Trainer for LinearTrainer {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "linear"
    }

    fn fit(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
        folder: &Path,
    ) -> Result<Fitted, TrainError> {
        let labels: Vec<String> = task.labels.iter().map(Label::to_string).collect();
        let texts: Vec<&str> = rows.iter().map(|row| row.input.text.as_str()).collect();
        let weights: Vec<f32> = rows.iter().map(|row| row.weight).collect();
        let targets = rows.iter().map(|row| target_indices(task, row)).collect::<Result<Vec<_>, _>>()?;
        let rows = checked(task, &texts, &targets, &labels, &weights)?;
        let config = Config { seed: training.seed, ..self.config.clone() };
        let (model, held_out) = watched(training, &config, folds, |watch| {
            LinearModel::fit_with_folds(&rows, folds, &config, watch)
        })?;
        let file = folder.join(self.file());
        model
            .save(&file)
            .map_err(|error| TrainError::Artifact(format!("{} can't be written: {error}", file.display())))?;
        let names: Vec<Label> = task.labels.clone();
        let attempt = |scores: &Scores| {
            Attempt::free(
                prediction(&names, &model, &scores.log_probabilities, scores.signals),
                Duration::ZERO,
            )
        };
        let out_of_fold = held_out.iter().map(|scores| Some(attempt(scores))).collect();
        Ok(Fitted { model: self.open(task, &file)?, file: self.file(), out_of_fold, told: None })
    }

    fn open(&self, task: &Task, file: &Path) -> Result<Arc<dyn Model>, TrainError> {
        let model = LinearModel::open(file)
            .map_err(|error| TrainError::Artifact(format!("{}: {error}", file.display())))?;
        if !model.labels().iter().map(String::as_str).eq(task.labels.iter().map(Label::as_str)) {
            return Err(TrainError::Artifact(format!(
                "{} was trained for other labels than the task has now",
                file.display()
            )));
        }
        Ok(Arc::new(LinearRung::new(self.id.clone(), model)))
    }
}

/// Trains on as many threads as the caller allows; a caller who asks to stop is obeyed at the next report.
fn watched<T: Send>(
    training: &Training<'_>,
    config: &Config,
    folds: &[u32],
    train: impl FnOnce(Watch<'_>) -> Result<T, LinearError> + Send,
) -> Result<T, TrainError> {
    let cancelled = AtomicBool::new(false);
    let passes = std::sync::atomic::AtomicU32::new(0);
    let models = folds.iter().max().map_or(0, |fold| fold + 1) + 1;
    let most = (models * config.epochs).max(1) as f32;
    let report = |progress: super::Progress| {
        let done = passes.fetch_add(1, Ordering::Relaxed) as f32 / most;
        let progress = Progress {
            done: done.min(1.0),
            loss: Some(progress.loss as f32),
            rows_per_second: Some(progress.rows_per_second as f32),
        };
        if (training.progress)(progress) == ControlFlow::Break(()) {
            cancelled.store(true, Ordering::Relaxed);
        }
    };
    let watch = Watch { progress: Some(&report), cancelled: Some(&cancelled) };
    on_threads(training, || train(watch))?.map_err(|error| match error {
        LinearError::Cancelled => TrainError::Cancelled,
        other => TrainError::Rows(other.to_string()),
    })
}

/// A task's rows as this model learns them.
pub(crate) fn checked<'a>(
    task: &Task,
    texts: &'a [&'a str],
    targets: &[Vec<u32>],
    labels: &'a [String],
    weights: &[f32],
) -> Result<Rows<'a>, TrainError> {
    let rows = if task.multi {
        Rows::several_labels(texts, targets, labels)
    } else {
        let single: Vec<u32> = targets.iter().map(|row| row.first().copied().unwrap_or(u32::MAX)).collect();
        Rows::one_label(texts, &single, labels)
    };
    let rows = rows.and_then(|rows| rows.weighted(weights));
    let rows = match task.out_of_scope.as_ref().and_then(|label| task.label_index(label.as_str())) {
        Some(index) => rows.and_then(|rows| rows.out_of_scope(index as u32)),
        None => rows,
    };
    rows.map_err(|error| TrainError::Rows(error.to_string()))
}

/// The numbers of a row's labels among the task's.
pub(crate) fn target_indices(task: &Task, row: &LabelledRow) -> Result<Vec<u32>, TrainError> {
    let labels = match row.target() {
        Some(Answer::Label(label)) => std::slice::from_ref(label),
        Some(Answer::Labels(labels)) => labels,
        _ => return Err(TrainError::Rows(format!("line {} has no label to learn from", row.line))),
    };
    let index = |label: &Label| {
        task.label_index(label.as_str())
            .map(|index| index as u32)
            .ok_or_else(|| TrainError::Rows(format!("label `{label}` is not one of this task's labels")))
    };
    labels.iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Source, read_task};

    fn task(extra: &str) -> Task {
        let text = format!("kind = \"classify\"\nlabels = [\"refund\", \"delivery\", \"other\"]\n{extra}");
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
    }

    fn rows(several: bool) -> Vec<LabelledRow> {
        let texts = [
            ("money back please", "refund"),
            ("where is my parcel", "delivery"),
            ("nice weather today", "other"),
        ];
        (0..90)
            .map(|number| {
                let (text, label) = texts[number % 3];
                let answer =
                    if several { Answer::labels([Label::from(label)]) } else { Answer::label(label) };
                LabelledRow::gold(format!("{text} {}", number * 7919), answer)
            })
            .collect()
    }

    fn fit(task: &Task, several: bool) -> (Fitted, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = rows(several);
        let folds: Vec<u32> = (0..rows.len() as u32).map(|row| (row / 3) % 5).collect();
        let training = Training { seed: 7, threads: 1, kept: None, progress: &|_| ControlFlow::Continue(()) };
        let fitted = LinearTrainer::new("linear".into(), Config::default()).fit(
            &training,
            task,
            &rows,
            &folds,
            folder.path(),
        );
        (fitted.expect("it trains"), folder)
    }

    fn ask(fitted: &Fitted, task: &Task, text: &str) -> Prediction {
        let cx = Context::until(Instant::now() + Duration::from_secs(9), "r");
        let attempts = futures::executor::block_on(fitted.model.predict(&cx, task, &[Input::new(text)]));
        attempts[0].prediction().cloned().expect("an answer")
    }

    #[test]
    fn a_trained_rung_answers_with_the_tasks_labels_and_finite_features() {
        let task = task("");
        let (fitted, _folder) = fit(&task, false);
        let prediction = ask(&fitted, &task, "i want my money back");
        assert_eq!(prediction.answer, Answer::label("refund"));
        assert_eq!(prediction.alternatives.first().map(|(label, _)| label.as_str()), Some("refund"));
        assert_eq!(prediction.features.0.len(), fitted.model.feature_names().len());
        assert!(prediction.features.0.iter().all(|feature| feature.is_finite()));
        assert_eq!(fitted.out_of_fold.len(), 90);
    }

    #[test]
    fn an_empty_text_gets_an_answer_with_finite_features() {
        let task = task("out_of_scope = \"other\"");
        let (fitted, _folder) = fit(&task, false);
        assert!(ask(&fitted, &task, "").features.0.iter().all(|feature| feature.is_finite()));
    }

    #[test]
    fn a_task_with_several_labels_gets_a_sorted_set() {
        let task = task("multi = true");
        let (fitted, _folder) = fit(&task, true);
        assert_eq!(ask(&fitted, &task, "money back please 5").answer, Answer::labels(["refund".into()]));
    }

    #[test]
    fn a_model_trained_for_other_labels_is_refused_by_name() {
        let (_, folder) = fit(&task(""), false);
        let other =
            read_task("t", &Source::new("t.toml", "kind = \"classify\"\nlabels = [\"a\", \"b\"]"), |_| {
                Err(String::new())
            });
        let opened = LinearTrainer::new("linear".into(), Config::default())
            .open(&other.expect("valid"), &folder.path().join("linear.sprat"));
        let Err(TrainError::Artifact(why)) = opened else { panic!("it must be refused") };
        assert!(why.contains("other labels"), "{why}");
    }

    #[test]
    fn somebody_who_asks_to_stop_is_obeyed() {
        let (task, folder) = (task(""), tempfile::tempdir().expect("a folder"));
        let training = Training { seed: 7, threads: 1, kept: None, progress: &|_| ControlFlow::Break(()) };
        let folds: Vec<u32> = (0..90).map(|row| row % 5).collect();
        let fitted = LinearTrainer::new("linear".into(), Config::default()).fit(
            &training,
            &task,
            &rows(false),
            &folds,
            folder.path(),
        );
        assert!(matches!(fitted, Err(TrainError::Cancelled)));
    }
}
