//! A model behind a provider's address: one call an input, each failing alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Kind, Label, Model, ModelError, ModelId, Money, Prediction,
    Price, Problem, Provenance, Score, Sha256Hex, Task, Tokens, Upstream, Usage,
};
use tokio::time::Instant;

use super::config::RemoteConfig;
use super::dialect::{Dialect, Speech, is_reasoning_model};
use super::examples::Examples;
use super::http::{Failure, Post, json_headers};
use super::line::{Got, Line, NoCall};
use super::meter::Meter;
use super::parse::parse_answer;
use super::prices::PriceTable;
use super::prompt::{Form, Prompt, prompt_hash};
use super::protocol::{self, Said};
use super::quote::{Estimator, Quote};
use super::refusal::is_html;
use super::upstream;
use crate::fields;

/// A model of OpenAI, of Anthropic, or of a server that speaks OpenAI's protocol.
pub struct ApiModel {
    id: ModelId,
    config: RemoteConfig,
    line: Arc<Line>,
    dialect: Dialect,
    examples: Arc<dyn Examples>,
    price: Option<Price>,
    meter: Option<Meter>,
    estimator: Estimator,
}

/// What one call gave, before it is anybody's answer.
struct Heard {
    said: Result<Said, ModelError>,
    started: Option<Instant>,
    /// Whether something may have been spent that nobody reported.
    unknown_cost: bool,
}

/// Tokens that a protocol puts around a prompt: roles, the form of the schema, a tool's preamble.
const ENVELOPE: u64 = 1024;

/// A provider that refuses this often in one call is not tried with less.
const CONCESSIONS: usize = 4;

impl ApiModel {
    /// Makes the client. Nothing is sent.
    ///
    /// # Errors
    /// A configuration that makes no sense, or a machine without CA certificates.
    pub fn new(
        id: ModelId,
        config: RemoteConfig,
        prices: &PriceTable,
        examples: Arc<dyn Examples>,
    ) -> Result<Self, Problem> {
        config.validate()?;
        let line = Arc::new(Line::new(&config)?);
        let price = prices.price_of(&config);
        let meter = config.hardware_cost_per_hour.map(Meter::new);
        let dialect = Dialect::new(&config);
        Ok(Self { id, line, dialect, examples, price, meter, config, estimator: Estimator::default() })
    }

    /// What its tokens cost; `None` where nobody knows, or where hardware is paid by the hour.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// Where its answers come from.
    pub fn provenance(&self) -> Provenance {
        self.config.provenance
    }

    /// Identifies everything about it that its answers to a task depend on.
    pub fn prompt_hash(&self, task: &Task) -> Sha256Hex {
        prompt_hash(&self.config, self.examples.as_ref(), task)
    }

    /// What answering these inputs will cost, one try each.
    pub fn quote(&self, task: &Task, inputs: &[Input]) -> Quote {
        let form = form_of(self.dialect.speech());
        let prompts = inputs.iter().map(|input| self.prompt(task, input, form));
        let reasoning = if is_reasoning_model(&self.config.model) { 300 } else { 0 };
        self.estimator.quote(prompts, answer_tokens(task) + reasoning, self.price.as_ref())
    }

    fn prompt(&self, task: &Task, input: &Input, form: Form) -> Prompt {
        let examples = match self.config.examples {
            0 => Vec::new(),
            most => self.examples.choose(task, input, most),
        };
        Prompt::of(task, input, &examples, form)
    }

    async fn answer(&self, cx: &Context, task: &Task, input: &Input) -> Attempt {
        if task.kind == Kind::Answer {
            let why = format!(
                "a remote model answers classify, moderate, extract and generate tasks; `{}` is another kind",
                task.name
            );
            return Attempt::failed(ModelError::Failed(why));
        }
        let running = self.meter.as_ref().map(|meter| meter.begin(Instant::now()));
        let heard = self.ask(cx, task, input).await;
        let now = Instant::now();
        let hardware = running.map(|running| running.end(now));
        let usage = self.usage(&heard, hardware);
        let latency = heard.started.map_or(Duration::ZERO, |started| now - started);
        let result = heard.said.and_then(|said| {
            // A model may say anything, even what it should not know.
            prediction(task, input, said).map_err(|why| ModelError::BadAnswer(self.line.http.redact(&why)))
        });
        Attempt { usage, latency, result: result.map(Some) }
    }

    /// What was spent. Hardware by the hour is known whatever came of the call; tokens only when nothing is hidden.
    fn usage(&self, heard: &Heard, hardware: Option<sprat_task::Money>) -> Usage {
        let tokens = match &heard.said {
            Ok(said) if !heard.unknown_cost => said.tokens,
            _ => None,
        };
        if let Some(cost) = hardware {
            return Usage { tokens, cost: Some(cost) };
        }
        match (&heard.said, heard.unknown_cost) {
            (Err(_), false) => Usage::FREE,
            _ => Usage { tokens, cost: tokens.zip(self.price).map(|(tokens, price)| price.cost(tokens)) },
        }
    }

    /// Asks, and asks again with less where the provider refuses something optional.
    async fn ask(&self, cx: &Context, task: &Task, input: &Input) -> Heard {
        let known = self.dialect.speech();
        let (mut speech, mut started, mut unknown_cost) = (known, None, false);
        let mut first_refusal = None;
        for concessions in 0..=CONCESSIONS {
            let prompt = self.prompt(task, input, form_of(speech));
            let call = self.line.call(cx, &self.post(task, &prompt, speech)).await;
            let call = match call {
                Ok(call) => call,
                Err(NoCall { error, started: begun, unknown_cost: unknown }) => {
                    return Heard {
                        said: Err(error),
                        started: started.or(begun),
                        unknown_cost: unknown_cost | unknown,
                    };
                }
            };
            started = started.or(Some(call.started));
            unknown_cost |= call.unknown_cost;
            let refusal = match call.got {
                Got::Answer(response) => {
                    let said = self.hear(cx, response, &prompt).await;
                    if said.is_ok() && speech != known {
                        self.dialect.remember(speech);
                    }
                    // A success that could not be read was paid for nonetheless.
                    unknown_cost |= said.is_err();
                    return Heard { said, started, unknown_cost };
                }
                Got::Refusal(refusal) => refusal,
            };
            let error = refusal.explain(&input.text, |text| self.line.http.redact(text));
            let less = match refusal.status {
                400 | 422 if concessions < CONCESSIONS => {
                    self.dialect.concede(speech, refusal.said().as_ref())
                }
                _ => None,
            };
            match less {
                Some(less) => {
                    speech = less;
                    first_refusal.get_or_insert(error);
                }
                // Where asking for less didn't help, the first refusal is the one that says what is wrong.
                None => {
                    let error = if error.is_transient() { error } else { first_refusal.unwrap_or(error) };
                    return Heard { said: Err(error), started, unknown_cost };
                }
            }
        }
        let error = ModelError::Refused("the provider accepts no form of this request".to_owned());
        Heard { said: Err(first_refusal.unwrap_or(error)), started, unknown_cost }
    }

    /// The most tokens that an answer may have.
    fn max_tokens(&self, task: &Task) -> u64 {
        self.config.max_tokens.unwrap_or_else(|| {
            // Room to reason is not charged unless it is used.
            match task.kind {
                _ if is_reasoning_model(&self.config.model) => 4096,
                Kind::Extract => fields::most_tokens(task),
                Kind::Generate => 8 * USUAL_TEXT,
                _ => 2 * answer_tokens(task) + 32,
            }
        })
    }

    /// No text has more tokens than bytes; what a protocol adds of its own is less than `ENVELOPE`.
    fn most(&self, task: &Task, input: &Input) -> Usage {
        let prompt = self.prompt(task, input, form_of(self.dialect.speech()));
        let bytes = prompt.system.len() + prompt.user.len() + prompt.schema.to_string().len();
        let tokens =
            Tokens { input: bytes as u64 + ENVELOPE, output: self.max_tokens(task), ..Tokens::default() };
        let cost = match self.config.hardware_cost_per_hour {
            // Alone on the hardware for as long as it may take.
            Some(per_hour) => {
                let tries = f64::from(self.config.max_retries) + 1.0;
                let hours = self.config.timeout.as_secs_f64() * tries / 3600.0;
                Money::from_units(per_hour.units() * hours)
            }
            None => self.price.map(|price| price.at_most(tokens)),
        };
        Usage { tokens: Some(tokens), cost }
    }

    fn post(&self, task: &Task, prompt: &Prompt, speech: Speech) -> Post {
        let provider = &self.config.provider;
        let max_tokens = self.max_tokens(task);
        let body = Bytes::from(protocol::ask(&self.config, speech, prompt, max_tokens));
        Post { path: protocol::path(provider).to_owned(), headers: json_headers(provider), body }
    }

    async fn hear(
        &self,
        cx: &Context,
        response: reqwest::Response,
        prompt: &Prompt,
    ) -> Result<Said, ModelError> {
        let headers = response.headers().clone();
        let body = match self.line.http.whole_body(cx, response).await {
            Ok(body) => body,
            Err(Failure::NotSent(error) | Failure::Broken(error)) => return Err(error),
        };
        if is_html(&headers, &body) {
            let why = "the reply is an HTML page, not an answer: is the address right?";
            return Err(ModelError::Failed(why.to_owned()));
        }
        let said = protocol::hear(&self.config.provider, &body)?;
        if let Some(tokens) = said.tokens {
            self.estimator.learn(prompt, tokens);
        }
        Ok(said)
    }
}

impl Model for ApiModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempts = stream::iter(inputs).map(move |input| self.answer(cx, task, input));
        Box::pin(attempts.buffered(self.config.max_concurrency).collect())
    }

    fn at_most(&self, task: &Task, input: &Input) -> Usage {
        self.most(task, input)
    }
}

impl Upstream for ApiModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn send<'a>(
        &'a self,
        cx: &'a Context,
        request: WireRequest,
    ) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        Box::pin(upstream::send(self.line.clone(), &self.config.provider, cx, request))
    }
}

impl std::fmt::Debug for ApiModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiModel").field("id", &self.id).field("config", &self.config).finish_non_exhaustive()
    }
}

fn form_of(speech: Speech) -> Form {
    if speech.schema { Form::Schema } else { Form::Text }
}

/// The answer in the task's terms. Its score is the probability of its tokens; 0, no opinion, where none came.
fn prediction(task: &Task, input: &Input, said: Said) -> Result<Prediction, String> {
    let answer = parse_answer(task, &said.text?, &input.text)?;
    let score = Score(said.probability.unwrap_or(0.0) as f32);
    let alternatives = match &answer {
        Answer::Label(label) => vec![(label.clone(), score)],
        Answer::Labels(labels) => labels.iter().map(|label| (label.clone(), score)).collect(),
        Answer::Fields(_) | Answer::Text(_) => Vec::new(),
    };
    Ok(Prediction { answer, score, features: Features::default(), alternatives })
}

/// Tokens of a text that a task asks for, while nobody knows better.
const USUAL_TEXT: u64 = 256;

/// Tokens enough for the longest answer the task has: one for every two bytes of label, and what JSON adds.
fn answer_tokens(task: &Task) -> u64 {
    match task.kind {
        Kind::Extract => return fields::usual_tokens(task),
        Kind::Generate => return USUAL_TEXT,
        _ => {}
    }
    let lengths = task.labels.iter().map(Label::as_str).map(|label| label.len() as u64 / 2 + 4);
    8 + if task.multi { lengths.sum::<u64>() } else { lengths.max().unwrap_or(0) }
}
