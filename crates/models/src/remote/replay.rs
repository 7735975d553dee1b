//! A remote model played back from a file of answers, with their price and latency: for demonstrations and tests
//! without a network.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;
use sha2::Digest;
use sprat_task::model::{WireReply, WireRequest};
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Model, ModelError, ModelId, Money, Prediction, Price, Problem,
    Provenance, Score, Sha256Hex, Task, Tokens, Upstream, Usage,
};
use tokio::time::{Instant, sleep_until};

use super::parse::parse_answer;
use super::quote::{Basis, Quote};
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
    answers: HashMap<Key, Line>,
    provenance: Provenance,
    hash: Sha256Hex,
    price: Option<Price>,
    waits: bool,
}

/// SHA-256 of an input, as bytes: half the size of its digits.
type Key = [u8; 32];

#[derive(Debug)]
struct Line {
    number: u32,
    answer: Box<str>,
    usage: Usage,
    latency: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    text: Option<String>,
    input_sha256: Option<String>,
    answer: Option<serde_json::Value>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cost_micro_usd: Option<i64>,
    latency_ms: Option<f64>,
    provenance: Option<Provenance>,
}

/// Longest line that is read into memory, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

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
        Self::read(id, BufReader::new(file), &name, model.into(), price, waits)
    }

    fn read(
        id: ModelId,
        mut file: impl BufRead,
        name: &str,
        model: String,
        price: Option<Price>,
        waits: bool,
    ) -> Result<Self, Problem> {
        let mut answers = HashMap::new();
        let (mut default, mut weakest) = (None, None::<Provenance>);
        let mut whole = sha2::Sha256::new();
        let mut bytes = Vec::new();
        for number in 1u32.. {
            bytes.clear();
            let got = std::io::Read::take(&mut file, LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(
                |error| Problem::new(format!("the line can't be read: {error}")).at(name, number.into()),
            )?;
            if got == 0 {
                break;
            }
            let fault = |message: String| Problem::new(message).at(name, number.into());
            if got as u64 == LONGEST_LINE {
                return Err(fault(format!("the line is longer than {} MB", LONGEST_LINE >> 20)));
            }
            whole.update(&bytes);
            let line =
                bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&bytes).trim_ascii();
            if line.is_empty() {
                continue;
            }
            let written: Written = serde_json::from_slice(line).map_err(|error| {
                let full = error.to_string();
                let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason);
                fault(format!("not a line of answers: {reason}")).column(error.column().max(1) as u64)
            })?;
            if written.answer.is_none() && written.text.is_none() && written.input_sha256.is_none() {
                default = written.provenance.or(default);
                continue;
            }
            let provenance = written.provenance.or(default).ok_or_else(|| {
                fault("the line doesn't say where its answer comes from".to_owned())
                    .allowed("\"provenance\": \"recorded\" | \"authored\" | \"simulated\"")
                    .hint("a first line {\"provenance\": \"recorded\"} speaks for the whole file")
            })?;
            if provenance == Provenance::Measured {
                return Err(fault("an answer from a file was not measured here".to_owned())
                    .allowed("recorded, authored, simulated"));
            }
            weakest = Some(weakest.map_or(provenance, |weakest| weakest.weaker(provenance)));
            let (key, line) = written.index(number, price.as_ref()).map_err(fault)?;
            match answers.entry(key) {
                Entry::Vacant(place) => drop(place.insert(line)),
                Entry::Occupied(first) if first.get().answer == line.answer => {}
                Entry::Occupied(first) => {
                    let message = format!("line {} answers the same input otherwise", first.get().number);
                    return Err(fault(message).hint("keep one of the two"));
                }
            }
        }
        let provenance = weakest.ok_or_else(|| {
            Problem::in_file(name, "the file holds no answers").hint("one JSON object a line")
        })?;
        Ok(Self { id, model, answers, provenance, hash: Sha256Hex::of(&whole.finalize()), price, waits })
    }

    /// Where the answers come from: the weakest of what the lines say. To be shown with everything computed from them.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// How many inputs have an answer.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Never: a file without answers is refused.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The hash of the file, in place of a prompt's: other answers, other model.
    pub fn hash(&self) -> &Sha256Hex {
        &self.hash
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
        let found: Vec<&Line> =
            inputs.iter().filter_map(|input| self.answers.get(&key_of(&input.text))).collect();
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
        let line = self.answers.get(&key_of(text)).ok_or_else(|| {
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

impl Written {
    fn index(self, number: u32, price: Option<&Price>) -> Result<(Key, Line), String> {
        let key = match (self.text, self.input_sha256) {
            (Some(_), Some(_)) => return Err("`text` and `input_sha256` can't both be given".to_owned()),
            (Some(text), None) => key_of(&text),
            (None, Some(digits)) => {
                parse_key(&digits).ok_or("`input_sha256` must be 64 hexadecimal digits".to_owned())?
            }
            (None, None) => return Err("`text` is missing".to_owned()),
        };
        let answer = match self.answer {
            Some(serde_json::Value::String(label)) => label,
            Some(list @ serde_json::Value::Array(_)) => list.to_string(),
            Some(object @ serde_json::Value::Object(_)) => object.to_string(),
            Some(_) => return Err("`answer` must be a label, a list of labels or an object".to_owned()),
            None => return Err("`answer` is missing".to_owned()),
        };
        let tokens = self.input_tokens.zip(self.output_tokens).map(|(input, output)| Tokens {
            input,
            output,
            ..Tokens::default()
        });
        if self.cost_micro_usd.is_some_and(|cost| cost < 0) {
            return Err("`cost_micro_usd` must not be negative".to_owned());
        }
        let cost = self.cost_micro_usd.map(Money::from_micro);
        let cost = cost.or_else(|| Some(price?.cost(tokens?)));
        let latency = Duration::try_from_secs_f64(self.latency_ms.unwrap_or(0.0) / 1e3)
            .map_err(|_| "`latency_ms` must be a number not below 0".to_owned())?;
        Ok((key, Line { number, answer: answer.into(), usage: Usage { tokens, cost }, latency }))
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
}

impl Upstream for ReplayModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, ModelError>> {
        Box::pin(replay_wire::send(self, cx, request))
    }
}

fn key_of(text: &str) -> Key {
    sha2::Sha256::digest(text.as_bytes()).into()
}

fn parse_key(digits: &str) -> Option<Key> {
    let mut key = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}
