//! `POST /v1/moderations`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chat::ContentPart;
use crate::{Object, TextOrList};

/// Texts to be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModerationRequest {
    /// The model's name; `None` is the server's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// One text, several, or parts of text and image.
    pub input: TextOrList<ModerationInput>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// One of several things to be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModerationInput {
    /// A text.
    Text(String),
    /// A text or an image, as in a message.
    Part(ContentPart),
}

/// The judgements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModerationResponse {
    /// Names the reply.
    pub id: String,
    /// The model that judged.
    pub model: String,
    /// A judgement an input.
    pub results: Vec<ModerationResult>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// One judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModerationResult {
    /// Whether any category applies.
    pub flagged: bool,
    /// Which categories apply; null is "not judged".
    pub categories: BTreeMap<String, Option<bool>>,
    /// How strongly, 0 to 1.
    pub category_scores: BTreeMap<String, f64>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}
