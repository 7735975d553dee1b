//! A remote model played back from a file of answers, with their price and latency: for demonstrations and tests
//! without a network.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Model, ModelError, ModelId, Money, Prediction, Price, Problem,
    Provenance, Score, Sha256Hex, Task, Upstream, Usage,
};
use tokio::time::{Instant, sleep_until};

use super::parse::parse_answer;
use super::quote::{Basis, Quote};
use super::replay_file::{Answers, Recorded};
use super::replay_wire;

/// Answers by input.
///
/// Each line of the file is a JSON object: `text` or `input_sha256` (of the text's UTF-8 bytes), `answer` (a label, a
/// list of labels, or an object of fields), and where known `input_tokens`, `output_tokens`, `cost_micro_usd`,
/// `latency_ms`. `provenance` is `recorded`, `authored` or `simulated`: on each line, or on a first line that holds
/// nothing else and speaks for all that don't say.
#[derive(Debug)]
pub struct ReplayModel {
    id: ModelId,
    model: String,
    answers: Answers,
    price: Option<Price>,
    waits: bool,
}

impl ReplayModel {
    /// Reads a file of answers. `model` is the name shown as theirs; `price` is used for lines with tokens and without
    /// a cost; `waits` makes each answer take as long as it took then.
    ///
    /// # Errors
    /// With the file and line of what is wrong: a file that can't be read or is empty, a line that isn't such an
    /// object, no provenance, two different answers to one input.
    pub fn open(
        id: ModelId,
        path: &Path,
        model: impl Into<String>,
        price: Option<Price>,
        waits: bool,
    ) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            Problem::in_file(&name, format!("the file of answers can't be read: {error}"))
        })?;
        let answers = Answers::read(BufReader::new(file), &name, price.as_ref())?;
        Ok(Self { id, model: model.into(), answers, price, waits })
    }

    /// Where the answers come from: the weakest of what the lines say. To be shown with everything computed from them.
    pub fn provenance(&self) -> Provenance {
        self.answers.provenance
    }

    /// How many inputs have an answer.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Never: a file without answers is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash of the file, in place of a prompt's: other answers, other model.
    pub fn hash(&self) -> &Sha256Hex {
        &self.answers.hash
    }

    /// The price of its tokens, where known.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// The name of the model whose answers these are.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// What answering these inputs costs by the file. Unknown where a line that is needed has no cost.
    pub fn quote(&self, inputs: &[Input]) -> Quote {
        let found: Vec<&Recorded> = inputs.iter().filter_map(|input| self.answers.get(&input.text)).collect();
        let tokens = || found.iter().filter_map(|line| line.usage.tokens);
        Quote {
            calls: found.len() as u64,
            input_tokens_estimate: tokens().map(|tokens| tokens.input).sum(),
            output_tokens_estimate: tokens().map(|tokens| tokens.output).sum(),
            cost_estimate: found.iter().map(|line| line.usage.cost).sum::<Option<Money>>(),
            basis: Basis::File { missing: (inputs.len() - found.len()) as u64 },
        }
    }

    /// The recorded words for an input, with what they cost and how long they took then.
    pub(super) fn recorded(&self, text: &str) -> Result<(&str, Usage, Duration), ModelError> {
        let line = self.answers.get(text).ok_or_else(|| {
            ModelError::Unavailable(format!(
                "the file of answers has none for this input ({} in all)",
                self.len()
            ))
        })?;
        Ok((&line.answer, line.usage, line.latency))
    }

    /// Takes as long as the recorded call took, if it is to.
    pub(super) async fn wait(&self, cx: &Context, latency: Duration) -> Result<(), ModelError> {
        if cx.cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        if !self.waits || latency.is_zero() {
            return Ok(());
        }
        let (done, deadline) = (Instant::now() + latency, Instant::from_std(cx.deadline));
        tokio::select! {
            biased;
            () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
            () = sleep_until(done.min(deadline)) => if done <= deadline { Ok(()) } else { Err(ModelError::Timeout) },
        }
    }

    async fn answer(&self, cx: &Context, task: &Task, input: &Input) -> Attempt {
        let (words, usage, latency) = match self.recorded(&input.text) {
            Ok(recorded) => recorded,
            Err(error) => return Attempt::failed(error),
        };
        if let Err(error) = self.wait(cx, latency).await {
            return Attempt { usage: Usage::UNKNOWN, latency, result: Err(error) };
        }
        let result = parse_answer(task, words, &input.text).map_err(ModelError::BadAnswer).map(|answer| {
            let labels = match &answer {
                Answer::Label(label) => vec![label.clone()],
                Answer::Labels(labels) => labels.clone(),
                Answer::Fields(_) | Answer::Text(_) => Vec::new(),
            };
            let alternatives = labels.into_iter().map(|label| (label, Score(0.0))).collect();
            Some(Prediction { answer, score: Score(0.0), features: Features::default(), alternatives })
        });
        Attempt { usage, latency, result }
    }
}

impl Model for ReplayModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(futures::future::join_all(inputs.iter().map(move |input| self.answer(cx, task, input))))
    }

    fn at_most(&self, _: &Task, input: &Input) -> Usage {
        // What the file has no answer for fails, and costs nothing.
        self.answers.get(&input.text).map_or(Usage::FREE, |line| line.usage)
    }
}

impl Upstream for ReplayModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        Box::pin(replay_wire::send(self, cx, request))
    }
}
