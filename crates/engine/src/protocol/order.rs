//! What can be asked of an engine?

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One message to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// The first one: which model, and how.
    Load(Load),
    /// What is the same for many texts, to be kept.
    Prompt(Prompt),
    /// How well does each label fit a text?
    Score(Score),
    /// What follows a text?
    Generate(Generate),
    /// An answer is no longer wanted.
    Cancel(u64),
}

/// Which model, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// [`HELLO`](super::HELLO) of who asks.
    pub hello: String,
    /// The GGUF file.
    pub file: PathBuf,
    /// Tokens that all requests together can look back on.
    pub context: u32,
    /// Threads to compute on; 0 means as many as the machine has.
    pub threads: u32,
    /// Requests that may wait; more are refused.
    pub waiting: u32,
    /// Adapters of the model: GGUF files, or folders as PEFT writes them. They are named by their places here.
    pub adapters: Vec<PathBuf>,
}

/// What is the same for many texts: it is computed once, and each text goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What [`Score::prompt`] and [`Generate::prompt`] name it by. One that is given again replaces the first.
    pub prompt: u64,
    /// What stands before the text.
    pub before: String,
    /// What stands after it.
    pub after: String,
    /// The answers that can follow; none where texts are only to be gone on from.
    pub labels: Vec<String>,
    /// The adapter that reads it, by its place in [`Load::adapters`]; what goes on from it is read by the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<u32>,
}

/// How well does each label of a prompt fit a text?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// What the answer names it by.
    pub id: u64,
    /// Which prompt.
    pub prompt: u64,
    /// The text.
    pub text: String,
    /// How long an answer is of use, in milliseconds.
    pub within_ms: u64,
}

/// What follows a text?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// What the answer names it by.
    pub id: u64,
    /// The kept prompt that it goes on from: the text stands between what is before and what is after. Without one, the
    /// text is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<u64>,
    /// The text. Words that the vocabulary keeps for itself, such as `<|im_end|>`, are read as such only where there is neither a
    /// prompt nor a hole: such a text is a stranger's.
    pub text: String,
    /// What stands behind a hole that the answer fills: the text is then what stands before it. Both are read as plain text,
    /// and where they are too long, what is farthest from the hole is left out. Nothing of it goes on from a prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Most tokens of the answer.
    pub most_tokens: u32,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// How each token is drawn.
    pub sampling: Sampling,
    /// What the answer has to be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
    /// How many of the likeliest tokens are told at each place: 0 to [`MOST_LIKELIEST`]. From 1 on, the bytes of the token
    /// that was taken are told too.
    #[serde(default)]
    pub likeliest: u8,
    /// The adapter, by its place in [`Load::adapters`]. Behind a prompt it is the prompt's, and need not be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<u32>,
    /// How long an answer is of use, in milliseconds.
    pub within_ms: u64,
}

/// The most that [`Generate::likeliest`] can be: as OpenAI's `top_logprobs`.
pub const MOST_LIKELIEST: u8 = 20;

/// What an answer has to be like, as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// It is JSON, and valid under this schema: the schema's own text.
    JsonSchema(String),
    /// It matches this regular expression from its beginning to its end.
    Regex(String),
}

/// How each token is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 takes the likeliest token; 1 draws as the model says.
    pub temperature: f32,
    /// Of the likeliest tokens that have this share of the probability together.
    pub top_p: f32,
    /// The same seed draws the same.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_p: 1.0, seed: 0 };
}
