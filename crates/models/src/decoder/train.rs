//! How does a decoder become a rung? It isn't taught: it is told the task and shown a few rows, and asked about all others
//! once. What its labels score on the average is taken away from then on; that average knows no row's label.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat_engine::gguf::{Gguf, HoleTokens};
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
use super::generate::{Answered, Unanswered};
use super::long::{Course, Next, Question, Whole};
use super::prompt::{examples, one_line, prompt, read_by};
use super::rung::{DecoderRung, fields_of, other_labels};
use super::settings::Settings;
use super::survey::{After, Asking, Hear, PATIENCE, survey};
use super::{record, several, text};

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
        self.settings.open(&self.engines).map(|_| ())
    }

    /// Whether the model can do what a task asks for.
    ///
    /// # Errors
    /// A sentence with the file.
    pub fn check_for(&self, task: &Task) -> Result<(), String> {
        match task.hole {
            // Nothing is asked for that not every model can.
            None => Ok(()),
            Some(_) => self.open_for(task).map(|_| ()),
        }
    }

    /// Its engine, and what its file says of itself.
    fn open_for(&self, task: &Task) -> Result<(Arc<Engine>, Gguf), String> {
        let (engine, file) = self.settings.open(&self.engines)?;
        match &task.hole {
            Some(_) if HoleTokens::of(&file).is_none() => Err(format!(
                "{} was not taught to fill holes: its vocabulary has no tokens for what stands before and behind one",
                self.settings.file.display()
            )),
            _ => Ok((engine, file)),
        }
    }

    /// What the engine says of every row but those that it is shown.
    fn ask<T: Send + 'static>(
        &self,
        engine: &Engine,
        rows: &[LabelledRow],
        shown: &[usize],
        training: &Training<'_>,
        order: impl Fn(usize, Hear<Result<T, ModelError>>) -> Result<Asked, ModelError>,
    ) -> Result<Vec<Option<Said<T>>>, TrainError> {
        let mut said = Vec::new();
        said.resize_with(rows.len(), || None);
        let mut asking = Once { order, said };
        let others = (0..rows.len()).filter(|row| !shown.contains(row)).collect();
        survey(engine, self.id.as_str(), others, &mut asking, |done, all| {
            self.progress(training, done, all)
        })?;
        Ok(asking.said)
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
            let wanted = record::wanted(&prompt, &schema, most_tokens, text);
            let hear = |answer: Result<Answered, Unanswered>| hear(answer.map_err(ModelError::from));
            engine.ask_all(wanted, PATIENCE, Box::new(hear))
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
        let text::Told { prompt, texts, places } =
            text::Told::of(task, rows, template, self.settings.context);
        let prompt = read_by(self.settings.adapter, prompt);
        let index = text::index(&texts.pool);
        let begin = |row: usize| {
            let (prompt, texts, index, places) = (&prompt, &texts, &index, &places);
            Course::begin(texts.way(prompt), &rows[row].input.text, move |piece| {
                texts.asked(prompt, piece, index, |place| folds.get(places[place]) != folds.get(row))
            })
        };
        let said = rows.iter().map(|_| None).collect();
        let mut asking = InCourses { engine, begin, courses: HashMap::new(), said };
        let all = (0..rows.len()).collect();
        survey(engine, self.id.as_str(), all, &mut asking, |done, all| self.progress(training, done, all))?;
        let read = |whole: &Whole| Ok(texts.prediction(whole));
        let attempts: Vec<Option<Attempt>> =
            asking.said.iter().map(|said: &Option<Said<Whole>>| Some(said.as_ref()?.attempt(read))).collect();
        if !attempts.iter().flatten().any(|attempt| attempt.prediction().is_some()) {
            return Err(self.is_mute());
        }
        drop(asking);
        Ok(Told { prompt, answers: Answers::Text(texts), attempts })
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

/// Rows of which each is asked about once.
struct Once<T, F> {
    order: F,
    said: Vec<Option<Said<T>>>,
}

impl<T, F> Asking for Once<T, F>
where
    T: Send + 'static,
    F: Fn(usize, Hear<Result<T, ModelError>>) -> Result<Asked, ModelError>,
{
    type Question = usize;
    type Answer = Result<T, ModelError>;

    fn begin(&mut self, row: usize) -> After<usize> {
        After::Ask(vec![row])
    }

    fn ask(&self, row: &usize, hear: Hear<Self::Answer>) -> Result<Asked, ModelError> {
        (self.order)(*row, hear)
    }

    fn hear(&mut self, row: usize, _: usize, result: Self::Answer, since: Instant) -> After<usize> {
        let ended = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.said[row] = Some(Said { result, latency: since.elapsed() });
        After::Ended(ended)
    }
}

/// Rows of which each is asked about as often as its text needs.
struct InCourses<'a, F> {
    engine: &'a Engine,
    begin: F,
    courses: HashMap<usize, Course<'a>>,
    said: Vec<Option<Said<Whole>>>,
}

impl<F> InCourses<'_, F> {
    fn after(&mut self, row: usize, next: Next, since: Instant) -> After<Question> {
        let result = match next {
            Next::Ask(questions) => return After::Ask(questions),
            Next::Done(result) => result,
        };
        let ended = match &result {
            // It answered, or the row is at fault.
            Ok(_) | Err(ModelError::BadAnswer(_) | ModelError::BadInput(_)) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        self.courses.remove(&row);
        self.said[row] = Some(Said { result, latency: since.elapsed() });
        After::Ended(ended)
    }
}

impl<'a, F: Fn(usize) -> (Course<'a>, Next)> Asking for InCourses<'a, F> {
    type Question = Question;
    type Answer = Result<Answered, Unanswered>;

    fn begin(&mut self, row: usize) -> After<Question> {
        let (course, first) = (self.begin)(row);
        self.courses.insert(row, course);
        self.after(row, first, Instant::now())
    }

    fn ask(&self, question: &Question, hear: Hear<Self::Answer>) -> Result<Asked, ModelError> {
        self.engine.ask_all(question.wanted.clone(), PATIENCE, hear)
    }

    fn hear(
        &mut self,
        row: usize,
        question: Question,
        answer: Self::Answer,
        since: Instant,
    ) -> After<Question> {
        match self.courses.get_mut(&row).map(|course| course.hear(question.number, answer)) {
            Some(next) => self.after(row, next, since),
            None => After::Ask(Vec::new()),
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
        let (engine, file) = self.open_for(task).map_err(TrainError::Artifact)?;
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
        let (engine, _) = self.open_for(task).map_err(TrainError::Artifact)?;
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
