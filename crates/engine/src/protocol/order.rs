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
}

/// What is the same for many texts: it is computed once, and each text goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What [`Score::prompt`] names it by. One that is given again replaces the first.
    pub prompt: u64,
    /// What stands before the text.
    pub before: String,
    /// What stands after it.
    pub after: String,
    /// The answers that can follow.
    pub labels: Vec<String>,
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
    /// The text. Words that the vocabulary keeps for itself, such as `<|im_end|>`, are read as such.
    pub text: String,
    /// Most tokens of the answer.
    pub most_tokens: u32,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// How each token is drawn.
    pub sampling: Sampling,
    /// How long an answer is of use, in milliseconds.
    pub within_ms: u64,
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
