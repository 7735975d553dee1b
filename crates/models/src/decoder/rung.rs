//! The decoder as a rung: how does it answer a task?

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered};
use sprat_engine::protocol::{Prompt, Scored};
use sprat_task::{
    Attempt, Context, Input, Kind, Label, Model, ModelError, ModelId, OwnProcess, Prediction, Sha256Hex, Task,
};
use tokio::sync::Semaphore;

use super::answer::answer;
use super::artifact::{Answers, Learned};
use super::engine::Engine;
use super::long::{Course, Next, Question, Whole};
use super::prompt::{one_line, read_by};
use super::settings::Settings;
use super::text::Texts;
use super::{answer as label, record, several, text};
use crate::retrieval::NeighbourIndex;

/// Texts, or pieces of them, of one caller that the engine has at a time: enough to fill its batches.
const AT_ONCE: usize = 32;

/// A decoder that answers under a declared name.
pub struct DecoderRung {
    id: ModelId,
    engine: Arc<Engine>,
    prompt: Prompt,
    answers: Answers,
    /// The rows that may be shown; none where it doesn't write texts.
    index: NeighbourIndex,
}

impl DecoderRung {
    /// Opens what was learned. The engine isn't started before it is asked.
    ///
    /// # Errors
    /// A sentence with the file: what is damaged, or not what it was.
    pub fn open(id: ModelId, engine: Arc<Engine>, settings: &Settings, file: &Path) -> Result<Self, String> {
        let learned = Learned::open(file)?;
        learned.model.check(&settings.file)?;
        match (&learned.adapter, settings.own_adapter()) {
            (None, None) => {}
            (Some(adapter), Some(path)) => adapter.check(path)?,
            (Some(_), None) => {
                return Err("the rung was made with an adapter, and none is declared; learn again".to_owned());
            }
            (None, Some(path)) => {
                return Err(format!("the rung was made without {}; learn again", path.display()));
            }
        }
        // Where the adapter stands among those of its base is the workspace's affair of today.
        let prompt = read_by(settings.adapter, learned.prompt);
        Ok(Self::told(id, engine, prompt, learned.answers))
    }

    /// One that answers as it is told, whatever that was learned from.
    pub(super) fn told(id: ModelId, engine: Arc<Engine>, prompt: Prompt, answers: Answers) -> Self {
        let index = match &answers {
            Answers::Text(texts) => text::index(&texts.pool),
            Answers::Label { .. } | Answers::Labels { .. } | Answers::Record { .. } => text::index(&[]),
        };
        Self { id, engine, prompt, answers, index }
    }

    /// Whether what was learned is what a task asks for now.
    ///
    /// # Errors
    /// In a sentence, what has changed.
    pub fn check(&self, task: &Task) -> Result<(), String> {
        let is_same = match &self.answers {
            Answers::Label { labels, .. } => *labels == task.labels && !task.multi,
            Answers::Labels { labels, .. } => *labels == task.labels && task.multi,
            Answers::Record { fields, .. } => *fields == fields_of(task),
            Answers::Text(texts) => task.kind == Kind::Generate && texts.are_of(task),
        };
        match is_same {
            true => Ok(()),
            false => Err(
                "it was told of other labels, fields, holes or long texts than the task has now; learn again"
                    .to_owned(),
            ),
        }
    }

    async fn attempt(&self, cx: &Context, task: &Task, text: &str, turns: Arc<Semaphore>) -> Attempt {
        let start = Instant::now();
        let said = match &self.answers {
            Answers::Label { labels, means } => self.choose(cx, labels, means, text).await,
            Answers::Labels { labels, calibration, at_least_one } => {
                let scored = self.engine.score(cx, &self.prompt, &one_line(text)).await;
                scored.and_then(|scored| {
                    let log_odds = several::log_odds(&scored, labels.len()).ok_or_else(other_labels)?;
                    Ok(several::prediction(labels, calibration, *at_least_one, &log_odds, scored.read))
                })
            }
            Answers::Record { schema, most_tokens, .. } => {
                let wanted = record::wanted(&self.prompt, schema, *most_tokens, text);
                let answered = self.engine.generate_all(cx, wanted).await;
                answered.and_then(|answered| record::prediction(task, text, &answered))
            }
            Answers::Text(texts) => {
                self.write(cx, texts, text, &turns).await.map(|whole| texts.prediction(&whole))
            }
        };
        match said {
            Ok(prediction) => Attempt::free(prediction, start.elapsed()),
            Err(error) => Attempt { latency: start.elapsed(), ..Attempt::failed(error) },
        }
    }

    /// All that is written about a text. Each question takes one of the `turns`.
    async fn write(
        &self,
        cx: &Context,
        texts: &Texts,
        text: &str,
        turns: &Semaphore,
    ) -> Result<Whole, ModelError> {
        let prompt = &self.prompt;
        let (mut course, mut next) =
            Course::begin(texts.way(prompt), text, |piece| texts.asked(prompt, piece, &self.index, |_| true));
        // Where one piece has no answer, the others are dropped with this, and no longer written.
        let mut under_way = FuturesUnordered::new();
        loop {
            match next {
                Next::Done(result) => return result,
                Next::Ask(questions) => {
                    under_way.extend(questions.into_iter().map(|Question { number, wanted }| async move {
                        let _turn = turns.acquire().await;
                        (number, self.engine.answer(cx, wanted).await)
                    }))
                }
            }
            let Some((number, answer)) = under_way.next().await else {
                return Err(ModelError::Failed("nothing is asked about a text without an answer".to_owned()));
            };
            next = course.hear(number, answer);
        }
    }

    async fn choose(
        &self,
        cx: &Context,
        labels: &[Label],
        means: &[f32],
        text: &str,
    ) -> Result<Prediction, ModelError> {
        let scored: Scored = self.engine.score(cx, &self.prompt, &one_line(text)).await?;
        match scored.tokens.len() == labels.len() {
            true => Ok(answer(labels, means, &scored)),
            false => Err(other_labels()),
        }
    }
}

/// What was asked and what was answered don't belong together.
pub fn other_labels() -> ModelError {
    ModelError::Failed("its engine scored other labels".to_owned())
}

/// Changes when a task's fields do.
pub fn fields_of(task: &Task) -> Sha256Hex {
    task.labels_hash()
}

impl Model for DecoderRung {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let attempt = move |input: &'a Input| self.attempt(cx, task, &input.text, turns.clone());
        Box::pin(stream::iter(inputs).map(attempt).buffered(AT_ONCE).collect())
    }

    fn feature_names(&self) -> &'static [&'static str] {
        match &self.answers {
            Answers::Label { .. } => &label::FEATURES,
            Answers::Labels { .. } => &several::FEATURES,
            Answers::Record { .. } => &record::FEATURES,
            Answers::Text(texts) => texts.feature_names(),
        }
    }

    fn scorer_version(&self) -> u32 {
        match &self.answers {
            Answers::Label { .. } => label::SCORER_VERSION,
            Answers::Labels { .. } => several::SCORER_VERSION,
            Answers::Record { .. } => record::SCORER_VERSION,
            Answers::Text(texts) => texts.scorer_version(),
        }
    }

    fn own_process(&self) -> Option<OwnProcess> {
        Some(self.engine.standing().into())
    }
}
