//! The decoder as a rung: how does it answer a task?

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use sprat_task::{Attempt, Context, Input, Label, Model, ModelError, ModelId, OwnProcess, Task};

use super::answer::{FEATURES, SCORER_VERSION, answer};
use super::artifact::Learned;
use super::engine::{Engine, Standing};
use super::prompt::one_line;

/// Texts of one caller that the engine has at a time: enough to fill its batches.
const AT_ONCE: usize = 32;

/// A decoder that answers under a declared name.
pub struct DecoderRung {
    id: ModelId,
    engine: Arc<Engine>,
    learned: Learned,
}

impl DecoderRung {
    /// Opens what was learned. The engine isn't started before it is asked.
    ///
    /// # Errors
    /// A sentence with the file: what is damaged, or not what it was.
    pub fn open(id: ModelId, engine: Arc<Engine>, file: &Path) -> Result<Self, String> {
        let learned = Learned::open(file)?;
        learned.model.check(&engine.config().file)?;
        Ok(Self { id, engine, learned })
    }

    /// The labels it chooses among.
    pub fn labels(&self) -> &[Label] {
        &self.learned.labels
    }

    async fn attempt(&self, cx: &Context, text: &str) -> Attempt {
        let start = Instant::now();
        let scored = self.engine.score(cx, &self.learned.prompt, &one_line(text)).await;
        let attempt = |result| Attempt { latency: start.elapsed(), ..result };
        match scored {
            Ok(scored) if scored.tokens.len() == self.learned.labels.len() => attempt(Attempt::free(
                answer(&self.learned.labels, &self.learned.means, &scored),
                start.elapsed(),
            )),
            Ok(_) => {
                attempt(Attempt::failed(ModelError::Failed("its engine scored other labels".to_owned())))
            }
            Err(error) => attempt(Attempt::failed(error)),
        }
    }
}

impl Model for DecoderRung {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempts = stream::iter(inputs).map(|input| self.attempt(cx, &input.text)).buffered(AT_ONCE);
        Box::pin(attempts.collect())
    }

    fn feature_names(&self) -> &'static [&'static str] {
        &FEATURES
    }

    fn scorer_version(&self) -> u32 {
        SCORER_VERSION
    }

    fn own_process(&self) -> Option<OwnProcess> {
        let Standing { process, crashes, last, .. } = self.engine.standing();
        Some(OwnProcess { is_running: process.is_some(), crashes, last })
    }
}
