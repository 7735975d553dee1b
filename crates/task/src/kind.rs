//! What sort of work a task is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of work a task is. A closed set: every kind has its own way of being right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One label of a list, or several where `multi = true`.
    Classify,
    /// Labels with a promise of recall for each.
    Moderate,
    /// Declared fields found in a text.
    Extract,
    /// Free text: summarise, translate, rewrite, complete code.
    Generate,
    /// An answer from a knowledge base.
    Answer,
}

impl Kind {
    /// All of them, in the order the documentation has them.
    pub const ALL: [Self; 5] = [Self::Classify, Self::Moderate, Self::Extract, Self::Generate, Self::Answer];

    /// The word in a task file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Moderate => "moderate",
            Self::Extract => "extract",
            Self::Generate => "generate",
            Self::Answer => "answer",
        }
    }

    /// The kind of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether an answer is made of labels.
    pub fn has_labels(self) -> bool {
        matches!(self, Self::Classify | Self::Moderate)
    }

    /// Whether people can say what is right, label by label or field by field.
    pub fn is_reviewable(self) -> bool {
        self.has_labels() || self == Self::Extract
    }

    /// The model that answers it where a task names no rungs. Both are always there.
    pub fn usual_rung(self) -> &'static str {
        if self == Self::Extract { "tagger" } else { "linear" }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
