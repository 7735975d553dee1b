//! Which training rows can be shown as reasons for an answer?

use std::path::Path;

use serde::{Deserialize, Serialize};
use sprat_store::Store;
use sprat_task::{Answer, LabelledRow, TaskName};

use super::texts::{Kept, Texts};
use super::{NEIGHBOURS, ReleaseError, read_lines};

/// A training row, as a release keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The text.
    #[serde(flatten)]
    text: Kept,
    /// The label, on one line; `None` where it would hold words of a text that is not kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

impl Example {
    /// Of a row that was learned from; `None` where it has no label.
    pub fn of(row: &LabelledRow) -> Option<Self> {
        let answer = row.target()?;
        let holds_words = matches!(answer, Answer::Fields(_) | Answer::Text(_));
        let label = (!(row.captured && holds_words)).then(|| answer.to_line());
        Some(Self { text: Kept::of(row), label })
    }
}

/// A training row, as it can be shown now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The text; `None` where it was a captured request's and is forgotten.
    pub text: Option<String>,
    /// The label, on one line; `None` where it went with the text.
    pub label: Option<String>,
}

/// The rows that a release was taught, in the order in which its models were given them.
pub fn read_reasons(folder: &Path, store: &Store, task: &TaskName) -> Result<Vec<Reason>, ReleaseError> {
    let examples: Vec<Example> = read_lines(&folder.join(NEIGHBOURS))?;
    let texts = Texts::find(store, task, examples.iter().map(|example| &example.text))?;
    let reason = |example: Example| Reason {
        text: texts.of(&example.text).map(str::to_owned),
        label: example.label.or_else(|| texts.answer(&example.text).map(Answer::to_line)),
    };
    Ok(examples.into_iter().map(reason).collect())
}
