//! Which texts does a release keep, and which does it only point at? A captured request is forgotten in its time, and a
//! copy of it in a release would outlive it: there a digest stands for it, and whoever wants the text looks it up for as
//! long as the store has it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sprat_store::captured::CapturedText;
use sprat_store::{Store, StoreError};
use sprat_task::{Answer, Input, LabelledRow, Sha256Hex, TaskName};

use crate::rows::captured::gold;

/// A row's text, as a release has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// The text itself.
    Text(String),
    /// The digest of a captured request's text.
    Captured(Sha256Hex),
}

impl Kept {
    /// A row's text, or its digest.
    pub fn of(row: &LabelledRow) -> Self {
        if row.captured { Self::Captured(row.input.hash()) } else { Self::Text(row.input.text.clone()) }
    }

    /// The digest of the text.
    pub fn hash(&self) -> Sha256Hex {
        match self {
            Self::Text(text) => Input::new(text.as_str()).hash(),
            Self::Captured(hash) => hash.clone(),
        }
    }
}

/// The texts of a release's rows, as far as they are still there.
pub struct Texts {
    captured: HashMap<Sha256Hex, CapturedText>,
    gold: HashMap<Sha256Hex, Answer>,
}

impl Texts {
    /// Looks up those that are only pointed at.
    pub fn find<'a>(
        store: &Store,
        task: &TaskName,
        kept: impl IntoIterator<Item = &'a Kept>,
    ) -> Result<Self, StoreError> {
        let digest = |kept: &Kept| match kept {
            Kept::Text(_) => None,
            Kept::Captured(hash) => Some(hash.clone()),
        };
        let wanted: HashSet<Sha256Hex> = kept.into_iter().filter_map(digest).collect();
        if wanted.is_empty() {
            return Ok(Self { captured: HashMap::new(), gold: HashMap::new() });
        }
        Ok(Self { captured: store.captured().texts(task, &wanted)?, gold: gold(store, task)? })
    }

    /// A text; `None` where it is forgotten.
    pub fn of<'a>(&'a self, kept: &'a Kept) -> Option<&'a str> {
        match kept {
            Kept::Text(text) => Some(text),
            Kept::Captured(hash) => self.captured.get(hash).map(|found| found.text.as_str()),
        }
    }

    /// What is right for a captured text, as it would be learned now; `None` where it is forgotten, or nobody said.
    pub fn answer(&self, kept: &Kept) -> Option<&Answer> {
        let Kept::Captured(hash) = kept else { return None };
        let found = self.captured.get(hash)?;
        self.gold.get(hash).or(found.large.as_ref())
    }
}
