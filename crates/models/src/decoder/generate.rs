//! What follows a text, piece by piece?

use std::time::{Duration, Instant};

use futures::channel::{mpsc, oneshot};
use futures::stream::{BoxStream, StreamExt};
use sprat_engine::protocol::{Constraint, End, Generate, Order, Prompt, Refusal, Report, Sampling, Written};
use sprat_task::{Context, ModelError};

use super::engine::{Asked, Engine, refused};
use super::process::Heard;

/// What is wanted of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What stands before and after the text, where that is the same for many: it is read once.
    pub prompt: Option<Prompt>,
    /// The text that the answer follows.
    pub text: String,
    /// What stands behind the answer, where that fills a hole: without a prompt.
    pub behind: Option<String>,
    /// Most tokens of the answer.
    pub most_tokens: u32,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// How each token is drawn.
    pub sampling: Sampling,
    /// The form that the answer must have.
    pub constraint: Option<Constraint>,
    /// The adapter that reads and writes, by its place among the engine's; behind a prompt it is the prompt's.
    pub adapter: Option<u32>,
    /// How many of the likeliest tokens of each place are told, 0 to 20. From 1 on, the token's own text is told too.
    pub likeliest: u8,
}

impl Default for Wanted {
    /// The likeliest answer, of 256 tokens at most.
    fn default() -> Self {
        Self {
            prompt: None,
            text: String::new(),
            behind: None,
            most_tokens: 256,
            stop: Vec::new(),
            sampling: Sampling::GREEDY,
            constraint: None,
            adapter: None,
            likeliest: 0,
        }
    }
}

/// What is heard of an answer, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The next piece.
    Text(String),
    /// It has ended.
    Ended {
        /// Why.
        end: End,
        /// Tokens read.
        read: u32,
        /// The tokens written.
        written: Vec<Written>,
    },
}

/// All of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What was said.
    pub text: String,
    /// Why it ended.
    pub end: End,
    /// Tokens read.
    pub read: u32,
    /// The tokens written.
    pub written: Vec<Written>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswered {
    /// The text is longer than the model can look back on; a part of it may not be.
    TooLong {
        /// Tokens it has, with what stands around it.
        tokens: u64,
        /// Tokens there is room for.
        room: u64,
    },
    /// Something else.
    Failed(ModelError),
}

impl From<Unanswered> for ModelError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::TooLong { tokens, room } => {
                Self::Refused(Refusal::TooLong { tokens, room }.to_string())
            }
            Unanswered::Failed(error) => error,
        }
    }
}

impl Engine {
    /// Asks what follows a text. Pieces come as they are written; dropping the stream ends the work.
    ///
    /// # Errors
    /// There is no engine to ask; in the stream, why the answer breaks off. [`ModelError::Refused`] is an input that is longer
    /// than the model can look back on.
    pub fn generate(
        &self,
        cx: &Context,
        wanted: Wanted,
    ) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError> {
        let left = cx.left(Instant::now()).ok_or(ModelError::Timeout)?;
        let (send, said) = mpsc::unbounded();
        // Nobody listens any more where the stream was dropped a moment ago.
        let asked = self.say(wanted, left, move |said| {
            drop(send.unbounded_send(said.map_err(ModelError::from)));
        })?;
        // The order is withdrawn when the stream is dropped.
        Ok(said.map(move |said| (&asked, said).1).boxed())
    }

    /// All of what follows a text.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub async fn generate_all(&self, cx: &Context, wanted: Wanted) -> Result<Answered, ModelError> {
        Ok(self.answer(cx, wanted).await?)
    }

    /// The same, and where the text is too long, by how much.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub async fn answer(&self, cx: &Context, wanted: Wanted) -> Result<Answered, Unanswered> {
        let left = cx.left(Instant::now()).ok_or(Unanswered::Failed(ModelError::Timeout))?;
        let (send, answer) = oneshot::channel();
        // Nobody listens any more where it was cancelled a moment ago.
        let asked = self.ask_all(wanted, left, Box::new(move |answer| drop(send.send(answer))));
        let asked = asked.map_err(Unanswered::Failed)?;
        let failed = |error| Err(Unanswered::Failed(error));
        let heard = tokio::select! {
            heard = answer => {
                heard.unwrap_or_else(|_| failed(ModelError::Unavailable("its engine is gone".to_owned())))
            }
            () = tokio::time::sleep(left) => failed(ModelError::Timeout),
            () = cx.cancel.cancelled() => failed(ModelError::Cancelled),
        };
        drop(asked);
        heard
    }

    /// Asks for all of what follows a text. `hear` hears the answer, on another thread, unless what comes back was dropped
    /// before.
    ///
    /// # Errors
    /// There is no engine to ask.
    pub(super) fn ask_all(
        &self,
        wanted: Wanted,
        within: Duration,
        hear: Box<dyn FnOnce(Result<Answered, Unanswered>) + Send>,
    ) -> Result<Asked, ModelError> {
        let (mut hear, mut all) = (Some(hear), String::new());
        self.say(wanted, within, move |said| {
            let answer = match said {
                Ok(Said::Text(piece)) => return all.push_str(&piece),
                Ok(Said::Ended { end, read, written }) => {
                    Ok(Answered { text: std::mem::take(&mut all), end, read, written })
                }
                Err(error) => Err(error),
            };
            if let Some(hear) = hear.take() {
                hear(answer);
            }
        })
    }

    fn say(
        &self,
        wanted: Wanted,
        within: Duration,
        mut say: impl FnMut(Result<Said, Unanswered>) + Send + 'static,
    ) -> Result<Asked, ModelError> {
        let number = wanted.prompt.as_ref().map(|prompt| prompt.prompt);
        self.order(
            wanted.prompt.as_ref(),
            |id| Order::Generate(order(id, &wanted, within)),
            Box::new(move |heard, prompt_refused| {
                say(match heard {
                    Heard::Report(Report::Text { text, .. }) => Ok(Said::Text(text)),
                    Heard::Report(Report::Ended { end, read, written, .. }) => {
                        Ok(Said::Ended { end, read, written })
                    }
                    Heard::Report(Report::Refused { why, .. }) => {
                        Err(match (number.and_then(prompt_refused), why) {
                            // Where the prompt itself is too long, no text is short enough.
                            (Some(why @ Refusal::TooLong { .. }), _) => {
                                Unanswered::Failed(ModelError::Refused(why.to_string()))
                            }
                            (None, Refusal::TooLong { tokens, room }) => Unanswered::TooLong { tokens, room },
                            (prompts, own) => Unanswered::Failed(refused(prompts.unwrap_or(own))),
                        })
                    }
                    Heard::Report(other) => Err(Unanswered::Failed(ModelError::Failed(format!(
                        "its engine answered something else: {other:?}"
                    )))),
                    Heard::Gone(error) => Err(Unanswered::Failed(error)),
                });
            }),
        )
    }
}

fn order(id: u64, wanted: &Wanted, left: Duration) -> Generate {
    Generate {
        id,
        prompt: wanted.prompt.as_ref().map(|prompt| prompt.prompt),
        text: wanted.text.clone(),
        behind: wanted.behind.clone(),
        most_tokens: wanted.most_tokens,
        stop: wanted.stop.clone(),
        sampling: wanted.sampling,
        constraint: wanted.constraint.clone(),
        adapter: wanted.adapter,
        likeliest: wanted.likeliest,
        within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
    }
}
