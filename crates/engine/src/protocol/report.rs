//! What can an engine answer?

use serde::{Deserialize, Serialize};

/// One message of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// The model is there.
    Loaded(Loaded),
    /// The model can't be loaded, in a sentence; the engine leaves.
    NotLoaded(String),
    /// The labels' scores.
    Scored(Scored),
    /// The next piece of an answer.
    Text {
        /// Whose.
        id: u64,
        /// The piece: whole characters.
        text: String,
    },
    /// The end of an answer.
    Ended {
        /// Whose.
        id: u64,
        /// Why it ended.
        end: End,
        /// Tokens of what was asked, without the prompt that was kept; with those that an earlier text began with too, and
        /// that were not computed again.
        read: u32,
        /// Each token written, also one that ended the answer.
        written: Vec<Written>,
    },
    /// No answer.
    Refused {
        /// To what.
        id: u64,
        /// Why.
        why: Refusal,
    },
    /// A prompt can't be used; so isn't any text that names it.
    NoPrompt {
        /// Which.
        prompt: u64,
        /// Why.
        why: Refusal,
    },
    /// It is at work, and not stuck: said at least each second between two pieces of work.
    Alive,
}

impl Report {
    /// What it is an answer to; `None` of what concerns the engine or a prompt.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Scored(scored) => Some(scored.id),
            Self::Text { id, .. } | Self::Ended { id, .. } | Self::Refused { id, .. } => Some(*id),
            Self::Loaded(_) | Self::NotLoaded(_) | Self::NoPrompt { .. } | Self::Alive => None,
        }
    }
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    /// [`HELLO`](super::HELLO) of the engine.
    pub hello: String,
    /// Tokens that all requests together can look back on.
    pub context: u32,
    /// Threads it computes on.
    pub threads: u32,
    /// What its kernels are built for.
    pub kernels: String,
    /// How long loading took, in milliseconds.
    pub took_ms: u64,
}

/// How well each label fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// To what.
    pub id: u64,
    /// Of each label, in the prompt's order: its log-likelihood, in nats, summed over its tokens.
    pub log_likelihoods: Vec<f32>,
    /// Tokens of each label.
    pub tokens: Vec<u32>,
    /// Tokens read: the text's and what follows it, without the prompt that was kept.
    pub read: u32,
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Bytes of its text as it was generated; 0 of one that only says that the answer ends. Laid one after another they are
    /// the answer's text, and behind it what a stop string has cut off.
    pub bytes: u32,
    /// Its log-probability under the model itself, in nats: before anything constrained the choice.
    pub log_probability: f32,
    /// By how much the model preferred its first choice here to its second, in nats, whichever of them was taken.
    pub margin: f32,
    /// Its text, where [`Generate::likeliest`](super::Generate::likeliest) asked for more than its length. A character may be
    /// spread over several tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<u8>,
    /// The likeliest tokens here, the likeliest first: their text and their log-probability under the model itself, in nats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub likeliest: Vec<(Vec<u8>, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model said so, or the constraint leaves nothing to be added.
    Model,
    /// A stop string came.
    Stop,
    /// It reached the most tokens asked for.
    MostTokens,
    /// There is no more room to look back on.
    Context,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is longer than the model can look back on.
    #[error("{tokens} tokens, and the model has room for {room}")]
    TooLong {
        /// Tokens it has.
        tokens: u64,
        /// Tokens there is room for.
        room: u64,
    },
    /// Too many wait already.
    #[error("too many requests wait")]
    Full,
    /// It came too late.
    #[error("no answer before the deadline")]
    Late,
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
    /// What was asked can't be answered; the sentence says why.
    #[error("{0}")]
    Bad(String),
    /// The model failed at it; the sentence says how.
    #[error("{0}")]
    Failed(String),
}
