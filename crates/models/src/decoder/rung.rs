//! The decoder as a rung: how does it answer a task?

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use sprat_engine::protocol::Scored;
use sprat_task::{
    Attempt, Context, Input, Kind, Label, Model, ModelError, ModelId, OwnProcess, Prediction, Sha256Hex, Task,
};

use super::answer::answer;
use super::artifact::{Answers, Learned};
use super::engine::Engine;
use super::prompt::{one_line, read_by};
use super::settings::Settings;
use super::{answer as label, record, several, text};
use crate::retrieval::NeighbourIndex;

/// Texts of one caller that the engine has at a time: enough to fill its batches.
const AT_ONCE: usize = 32;

/// A decoder that answers under a declared name.
pub struct DecoderRung {
    id: ModelId,
    engine: Arc<Engine>,
    learned: Learned,
    /// The rows that may be shown, where it writes texts.
    index: Option<NeighbourIndex>,
}

impl DecoderRung {
    /// Opens what was learned. The engine isn't started before it is asked.
    ///
    /// # Errors
    /// A sentence with the file: what is damaged, or not what it was.
    pub fn open(id: ModelId, engine: Arc<Engine>, settings: &Settings, file: &Path) -> Result<Self, String> {
        let mut learned = Learned::open(file)?;
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
        learned.prompt = read_by(settings.adapter, learned.prompt);
        let index = match &learned.answers {
            Answers::Text { pool, .. } => Some(text::index(pool)),
            Answers::Label { .. } | Answers::Labels { .. } | Answers::Record { .. } => None,
        };
        Ok(Self { id, engine, learned, index })
    }

    /// Whether what was learned is what a task asks for now.
    ///
    /// # Errors
    /// In a sentence, what has changed.
    pub fn check(&self, task: &Task) -> Result<(), String> {
        let is_same = match &self.learned.answers {
            Answers::Label { labels, .. } => *labels == task.labels && !task.multi,
            Answers::Labels { labels, .. } => *labels == task.labels && task.multi,
            Answers::Record { fields, .. } => *fields == fields_of(task),
            Answers::Text { .. } => task.kind == Kind::Generate,
        };
        match is_same {
            true => Ok(()),
            false => {
                Err("it was told of other labels or fields than the task has now; learn again".to_owned())
            }
        }
    }

    async fn attempt(&self, cx: &Context, task: &Task, text: &str) -> Attempt {
        let start = Instant::now();
        let said = match &self.learned.answers {
            Answers::Label { labels, means } => self.choose(cx, labels, means, text).await,
            Answers::Labels { labels, calibration, at_least_one } => {
                let scored = self.engine.score(cx, &self.learned.prompt, &one_line(text)).await;
                scored.and_then(|scored| {
                    let log_odds = several::log_odds(&scored, labels.len()).ok_or_else(other_labels)?;
                    Ok(several::prediction(labels, calibration, *at_least_one, &log_odds, scored.read))
                })
            }
            Answers::Record { schema, most_tokens, .. } => {
                let wanted = record::wanted(&self.learned.prompt, schema, *most_tokens, text);
                let answered = self.engine.generate_all(cx, wanted).await;
                answered.and_then(|answered| record::prediction(task, text, &answered))
            }
            Answers::Text { stop, most_tokens, pool } => {
                let shown = match &self.index {
                    Some(index) => text::with_examples(text, pool, index, |_| true),
                    None => text.to_owned(),
                };
                let wanted = text::wanted(&self.learned.prompt, stop, *most_tokens, shown);
                let answered = self.engine.generate_all(cx, wanted).await;
                answered.and_then(|answered| text::prediction(&answered))
            }
        };
        match said {
            Ok(prediction) => Attempt::free(prediction, start.elapsed()),
            Err(error) => Attempt { latency: start.elapsed(), ..Attempt::failed(error) },
        }
    }

    async fn choose(
        &self,
        cx: &Context,
        labels: &[Label],
        means: &[f32],
        text: &str,
    ) -> Result<Prediction, ModelError> {
        let scored: Scored = self.engine.score(cx, &self.learned.prompt, &one_line(text)).await?;
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
        let attempts =
            stream::iter(inputs).map(|input| self.attempt(cx, task, &input.text)).buffered(AT_ONCE);
        Box::pin(attempts.collect())
    }

    fn feature_names(&self) -> &'static [&'static str] {
        match self.learned.answers {
            Answers::Label { .. } => &label::FEATURES,
            Answers::Labels { .. } => &several::FEATURES,
            Answers::Record { .. } => &record::FEATURES,
            Answers::Text { .. } => &text::FEATURES,
        }
    }

    fn scorer_version(&self) -> u32 {
        match self.learned.answers {
            Answers::Label { .. } => label::SCORER_VERSION,
            Answers::Labels { .. } => several::SCORER_VERSION,
            Answers::Record { .. } => record::SCORER_VERSION,
            Answers::Text { .. } => text::SCORER_VERSION,
        }
    }

    fn own_process(&self) -> Option<OwnProcess> {
        Some(self.engine.standing().into())
    }
}
