//! What a task is asked about, and a row somebody has labelled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::extract::Mark;
use crate::hash::Sha256Hex;
use crate::prediction::Answer;
use crate::provenance::Provenance;

/// One thing to be answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The text the task is about.
    pub text: String,
    /// The values of the metadata keys that the task declares for its slices, where the caller gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, String>,
}

impl Input {
    /// An input of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), groups: BTreeMap::new() }
    }

    /// Identifies the input for caches, resumption and consumed certification rows.
    pub fn hash(&self) -> Sha256Hex {
        Sha256Hex::of(self.text.as_bytes())
    }
}

/// Who said that a row's label is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Teacher {
    /// A person.
    #[default]
    Gold,
    /// The large model.
    Large,
}

/// A row with its right answer, as far as somebody knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledRow {
    /// What was asked.
    pub input: Input,
    /// The right answer according to people, where people answered.
    pub gold: Option<Answer>,
    /// Where the values of its record stand in the text, where somebody said so (`extract`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// What the large model answered, where it was asked.
    pub large: Option<Answer>,
    /// Where `large` comes from.
    #[serde(default)]
    pub large_provenance: Provenance,
    /// The conversation or user the row belongs to, where known: rows of one session stay together in a split.
    pub session: Option<String>,
    /// When it was asked, in milliseconds since 1970, where known.
    pub time_unix_ms: Option<i64>,
    /// Whether its label is known only because of what it says, as where small models were unsure: such a row stands for
    /// no traffic, so that it may teach and never certifies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_teaches: bool,
    /// Whether it is a captured request, whose text is forgotten in its time: nothing that outlives it may hold its words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captured: bool,
    /// How many identical rows this one stands for (at least 1).
    pub weight: f32,
    /// The line of the file it came from, for messages; 0 where it came from nowhere.
    pub line: u64,
}

impl LabelledRow {
    /// A row labelled by a person.
    pub fn gold(text: impl Into<String>, answer: Answer) -> Self {
        Self { gold: Some(answer), ..Self::unlabelled(text) }
    }

    /// A row labelled by the large model.
    pub fn large(text: impl Into<String>, answer: Answer) -> Self {
        Self { large: Some(answer), ..Self::unlabelled(text) }
    }

    /// A row nobody has labelled.
    pub fn unlabelled(text: impl Into<String>) -> Self {
        Self {
            input: Input::new(text),
            gold: None,
            marks: Vec::new(),
            large: None,
            large_provenance: Provenance::Measured,
            session: None,
            time_unix_ms: None,
            only_teaches: false,
            captured: false,
            weight: 1.0,
            line: 0,
        }
    }

    /// The label to learn from: a person's where there is one, else the large model's.
    pub fn target(&self) -> Option<&Answer> {
        self.gold.as_ref().or(self.large.as_ref())
    }
}
