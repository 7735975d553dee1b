//! How does a decoder become a rung? It isn't taught: it is told the task and shown a few rows, and asked about all others
//! once. What its labels score on the average is taken away from then on; that average knows no row's label.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sprat_engine::protocol::{Prompt, Scored};
use sprat_task::model::Progress;
use sprat_task::{
    Answer, Attempt, Fitted, Kind, LabelledRow, Model, ModelError, ModelId, Prediction, Sha256Hex, Task,
    TrainError, Trainer, Training,
};

use super::answer::{answer, per_token};
use super::artifact::{Answers, Learned, VERSION, Weights};
use super::chat::ChatTemplate;
use super::engine::{Asked, Engine};
use super::engines::Engines;
use super::generate::Answered;
use super::prompt::{examples, one_line, prompt, read_by};
use super::rung::{DecoderRung, fields_of, other_labels};
use super::settings::Settings;
use super::{record, several, text};

/// How long an answer may take: the model is loaded before the first, and a large one is slow.
const PATIENCE: Duration = Duration::from_secs(600);
/// Rows that the engine has at a time.
const AT_ONCE: usize = 32;
/// Crashes that a training lives through.
const MOST_CRASHES: u64 = 3;
/// How often it is asked whether to go on, while no answer comes.
const STEP: Duration = Duration::from_millis(200);
/// Makes rungs of a decoder.
pub struct DecoderTrainer {
    id: ModelId,
    settings: Settings,
    engines: Arc<Engines>,
}

impl DecoderTrainer {
    /// For the model that `settings` tell of.
    pub fn new(id: ModelId, settings: Settings, engines: Arc<Engines>) -> Self {
        Self { id, settings, engines }
    }

    /// Reads what the model's file says of itself: is it a whole model, and does it fit?
    ///
    /// # Errors
    /// A sentence with the file.
    pub fn check(&self) -> Result<(), String> {
        self.open_engine().map(|_| ())
    }

    fn open_engine(&self) -> Result<Arc<Engine>, String> {
        self.settings.open(&self.engines).map(|(engine, _)| engine)
    }

    /// What the engine says of every row but those that it is shown.
    fn ask<T: Send + 'static>(
        &self,
        engine: &Engine,
        rows: &[LabelledRow],
        shown: &[usize],
        training: &Training<'_>,
        order: impl Fn(usize, Hear<T>) -> Result<Asked, ModelError>,
    ) -> Result<Vec<Option<Said<T>>>, TrainError> {
        let mut left: VecDeque<usize> = (0..rows.len()).filter(|row| !shown.contains(row)).collect();
        let (all, mut said) = (left.len(), Vec::new());
        said.resize_with(rows.len(), || None);
        let crashes_before = engine.standing().crashes;
        let (send, answers) = channel();
        let mut under_way = HashMap::new();
        let (mut answered, mut failed) = (0, 0);
        while answered + failed < all {
            while under_way.len() < AT_ONCE {
                let Some(row) = left.pop_front() else { break };
                let (send, start) = (send.clone(), Instant::now());
                let hear = move |result| {
                    // Nobody listens any more where the training was given up.
                    let _ = send.send((row, Said { result, latency: start.elapsed() }));
                };
                match order(row, Box::new(hear)) {
                    Ok(asked) => drop(under_way.insert(row, asked)),
                    // It crashed: the rows that it had are lost, and the others wait until it is back.
                    Err(ModelError::Resting { why, .. }) => {
                        let crashes = engine.standing().crashes - crashes_before;
                        if crashes > MOST_CRASHES {
                            let id = &self.id;
                            return Err(TrainError::Rows(format!(
                                "decoder `{id}` crashed {crashes} times: {why}"
                            )));
                        }
                        left.push_front(row);
                        break;
                    }
                    Err(error) => return Err(TrainError::Rows(format!("decoder `{}`: {error}", self.id))),
                }
            }
            let Ok((row, answer)) = answers.recv_timeout(STEP) else {
                self.progress(training, answered + failed, all)?;
                continue;
            };
            under_way.remove(&row);
            match &answer.result {
                Ok(_) => answered += 1,
                Err(error) => {
                    failed += 1;
                    if answered == 0 && failed >= AT_ONCE.min(all) {
                        // Nothing came of any: the rows are not at fault.
                        return Err(TrainError::Rows(format!(
                            "decoder `{}` answers nothing: {error}",
                            self.id
                        )));
                    }
                }
            }
            said[row] = Some(answer);
            self.progress(training, answered + failed, all)?;
        }
        Ok(said)
    }

    /// How well each label of a prompt fits every row but those that the prompt shows.
    fn score(
        &self,
        engine: &Engine,
        training: &Training<'_>,
        rows: &[LabelledRow],
        shown: &[usize],
        prompt: &Prompt,
    ) -> Result<Vec<Option<Said<Scored>>>, TrainError> {
        self.ask(engine, rows, shown, training, |row, hear| {
            engine.ask(prompt, &one_line(&rows[row].input.text), PATIENCE, hear)
        })
    }

    /// Tells it the task's labels, and hears how well each fits each row.
    fn labels(
        &self,
        engine: &Engine,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
    ) -> Result<Told, TrainError> {
        let shown = examples(rows, &task.labels);
        let prompt = read_by(self.settings.adapter, prompt(task, &of(rows, &shown)));
        let said = self.score(engine, training, rows, &shown, &prompt)?;
        let scored = said.iter().flatten().filter_map(|said| said.result.as_ref().ok());
        let means = means(scored.map(per_token), task.labels.len()).ok_or_else(|| self.is_mute())?;
        let read = |scored: &Scored| Ok(answer(&task.labels, &means, scored));
        let attempts = said.iter().map(|said| Some(said.as_ref()?.attempt(read))).collect();
        let answers = Answers::Label { labels: task.labels.clone(), means: means.clone() };
        Ok(Told { prompt, answers, attempts })
    }

    /// Tells it the task's labels, any of which a text may have, and hears a yes and a no for each of each row. What they
    /// stand for is learned from rows of other folds.
    fn several(
        &self,
        engine: &Engine,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
    ) -> Result<Told, TrainError> {
        let shown = several::examples(rows);
        let prompt = read_by(self.settings.adapter, several::prompt(task, &of(rows, &shown)));
        let said = self.score(engine, training, rows, &shown, &prompt)?;
        let labels = &task.labels;
        let log_odds: Vec<Option<Vec<f64>>> = said
            .iter()
            .map(|said| several::log_odds(said.as_ref()?.result.as_ref().ok()?, labels.len()))
            .collect();
        let heard = |may_teach: &dyn Fn(usize) -> bool| -> Vec<(&LabelledRow, &Vec<f64>)> {
            let all = rows.iter().zip(&log_odds).enumerate().filter(|(row, _)| may_teach(*row));
            all.filter_map(|(_, (row, log_odds))| Some((row, log_odds.as_ref()?))).collect()
        };
        let all = heard(&|_| true);
        if all.is_empty() {
            return Err(self.is_mute());
        }
        let at_least_one =
            rows.iter().all(|row| !matches!(row.target(), Some(Answer::Labels(given)) if given.is_empty()));
        let calibration = several::calibrated(task, all.into_iter());
        let mut without: HashMap<u32, several::Calibration> = HashMap::new();
        for fold in folds {
            without.entry(*fold).or_insert_with(|| {
                let others = heard(&|row| folds.get(row) != Some(fold));
                if others.is_empty() {
                    calibration.clone()
                } else {
                    several::calibrated(task, others.into_iter())
                }
            });
        }
        let attempt = |(row, said): (usize, &Option<Said<Scored>>)| {
            let own = folds.get(row).and_then(|fold| without.get(fold)).unwrap_or(&calibration);
            Some(said.as_ref()?.attempt(|scored| {
                let log_odds = several::log_odds(scored, labels.len()).ok_or_else(other_labels)?;
                Ok(several::prediction(labels, own, at_least_one, &log_odds, scored.read))
            }))
        };
        let attempts = said.iter().enumerate().map(attempt).collect();
        let answers = Answers::Labels { labels: labels.clone(), calibration, at_least_one };
        Ok(Told { prompt, answers, attempts })
    }

    /// Tells it the task's fields, and hears each row's record.
    fn records(
        &self,
        engine: &Engine,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
    ) -> Result<Told, TrainError> {
        let shown = record::examples(rows);
        let prompt = read_by(self.settings.adapter, record::prompt(task, &of(rows, &shown)));
        let (schema, most_tokens) = record::form(task);
        let said = self.ask(engine, rows, &shown, training, |row, hear| {
            let text = &rows[row].input.text;
            engine.ask_all(record::wanted(&prompt, &schema, most_tokens, text), PATIENCE, hear)
        })?;
        let read = |(row, said): (&LabelledRow, &Option<Said<Answered>>)| {
            let text = &row.input.text;
            Some(said.as_ref()?.attempt(|answered| record::prediction(task, text, answered)))
        };
        let attempts: Vec<Option<Attempt>> = rows.iter().zip(&said).map(read).collect();
        if !attempts.iter().flatten().any(|attempt| attempt.prediction().is_some()) {
            return Err(self.is_mute());
        }
        let answers = Answers::Record { fields: fields_of(task), schema, most_tokens };
        Ok(Told { prompt, answers, attempts })
    }

    /// Shows it rows like each row, none of its own fold, and hears what it writes.
    fn texts(
        &self,
        engine: &Engine,
        template: Option<&ChatTemplate>,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
    ) -> Result<Told, TrainError> {
        let told = text::Told::of(task, rows, template, self.settings.context);
        let prompt = read_by(self.settings.adapter, told.prompt);
        let (places, pool): (Vec<usize>, Vec<text::Example>) = told.pool.into_iter().unzip();
        let index = text::index(&pool);
        let said = self.ask(engine, rows, &[], training, |row, hear| {
            let may_show = |place: usize| folds.get(places[place]) != folds.get(row);
            let shown = text::with_examples(&rows[row].input.text, &pool, &index, may_show);
            let wanted = text::wanted(&prompt, &told.stop, told.most_tokens, shown);
            engine.ask_all(wanted, PATIENCE, hear)
        })?;
        let attempts: Vec<Option<Attempt>> =
            said.iter().map(|said| Some(said.as_ref()?.attempt(text::prediction))).collect();
        if !attempts.iter().flatten().any(|attempt| attempt.prediction().is_some()) {
            return Err(self.is_mute());
        }
        let answers = Answers::Text { stop: told.stop, most_tokens: told.most_tokens, pool };
        Ok(Told { prompt, answers, attempts })
    }

    fn is_mute(&self) -> TrainError {
        TrainError::Rows(format!("decoder `{}` could answer no row", self.id))
    }

    fn progress(&self, training: &Training<'_>, done: usize, all: usize) -> Result<(), TrainError> {
        let progress = Progress { done: done as f32 / all as f32, loss: None, rows_per_second: None };
        match (training.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TrainError::Cancelled),
        }
    }
}

/// What came of one row.
struct Said<T> {
    result: Result<T, ModelError>,
    latency: Duration,
}

impl<T> Said<T> {
    /// As an attempt, where the answer reads as this.
    fn attempt(&self, read: impl FnOnce(&T) -> Result<Prediction, ModelError>) -> Attempt {
        match self.result.as_ref().map_err(Clone::clone).and_then(read) {
            Ok(prediction) => Attempt::free(prediction, self.latency),
            Err(error) => Attempt { latency: self.latency, ..Attempt::failed(error) },
        }
    }
}

/// The rows at these places.
fn of<'a>(rows: &'a [LabelledRow], places: &[usize]) -> Vec<&'a LabelledRow> {
    places.iter().map(|place| &rows[*place]).collect()
}

/// Hears the answer about one row.
type Hear<T> = Box<dyn FnOnce(Result<T, ModelError>) + Send>;

/// A decoder that was told a task.
struct Told {
    prompt: Prompt,
    answers: Answers,
    /// What it said of each row; `None` of those that it was shown.
    attempts: Vec<Option<Attempt>>,
}

impl Trainer for DecoderTrainer {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "decoder"
    }

    fn fit(
        &self,
        training: &Training<'_>,
        task: &Task,
        rows: &[LabelledRow],
        folds: &[u32],
        folder: &Path,
    ) -> Result<Fitted, TrainError> {
        let (engine, file) = self.settings.open(&self.engines).map_err(TrainError::Artifact)?;
        let model = Weights::of(&self.settings.file).map_err(TrainError::Artifact)?;
        let adapter = self.settings.own_adapter().map(|adapter| Weights::of(adapter)).transpose();
        let adapter = adapter.map_err(TrainError::Artifact)?;
        let told = match task.kind {
            Kind::Extract => self.records(&engine, training, task, rows)?,
            Kind::Generate => {
                let template = ChatTemplate::of(&file).ok();
                self.texts(&engine, template.as_ref(), training, task, rows, folds)?
            }
            _ if task.multi => self.several(&engine, training, task, rows, folds)?,
            _ => self.labels(&engine, training, task, rows)?,
        };
        let learned = Learned {
            version: VERSION,
            model,
            adapter,
            prompt: told.prompt,
            answers: told.answers,
            context: self.settings.context,
            rows: rows.len() as u64,
            data_sha256: digest(rows),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let file = format!("{}.decoder.json", self.id);
        learned.save(&folder.join(&file)).map_err(TrainError::Artifact)?;
        let model = DecoderRung::open(self.id.clone(), engine, &self.settings, &folder.join(&file))
            .map_err(TrainError::Artifact)?;
        Ok(Fitted { model: Arc::new(model), file, out_of_fold: told.attempts, told: None })
    }

    fn open(&self, task: &Task, file: &Path) -> Result<Arc<dyn Model>, TrainError> {
        let engine = self.open_engine().map_err(TrainError::Artifact)?;
        let rung =
            DecoderRung::open(self.id.clone(), engine, &self.settings, file).map_err(TrainError::Artifact)?;
        rung.check(task).map_err(|why| TrainError::Artifact(format!("{}: {why}", file.display())))?;
        Ok(Arc::new(rung))
    }
}

/// The mean of each label's scores; `None` without any.
pub(super) fn means(scores: impl Iterator<Item = Vec<f32>>, labels: usize) -> Option<Vec<f32>> {
    let (mut sums, mut count) = (vec![0.0_f64; labels], 0_u64);
    for scores in scores.filter(|scores| scores.len() == labels) {
        sums.iter_mut().zip(&scores).for_each(|(sum, score)| *sum += f64::from(*score));
        count += 1;
    }
    (count > 0).then(|| sums.iter().map(|sum| (sum / count as f64) as f32).collect())
}

/// Identifies the rows.
fn digest(rows: &[LabelledRow]) -> Sha256Hex {
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let label = row.target().map(|answer| answer.to_line()).unwrap_or_default();
            format!("{label}\t{}", row.input.text)
        })
        .collect();
    Sha256Hex::of_parts(lines.iter().map(|line| line.as_bytes()))
}
