//! What becomes of a text that is longer than a small model can look back on?

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the answers about a text's pieces become one. A task that names none has such a text answered by the large model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Long {
    /// Each piece is answered by itself, and the answers stand one behind the other: to translate, to rewrite.
    Join,
    /// What was answered about the pieces is asked about again, until it is one answer: to summarise.
    Again,
}

impl Long {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Join, Self::Again];

    /// As it is written in a task file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Again => "again",
        }
    }

    /// The one of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|long| long.word() == word)
    }
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
