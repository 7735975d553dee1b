//! Bulk runs: every row of a file answered, every column of it kept, nothing paid for twice.
//!
//! ```text
//! reader (thread) -> at most `concurrency` batches being answered -> writer (thread) -> OUTPUT.partial -> OUTPUT
//!                              |
//!                              +-> OUTPUT.journal: each answer, the moment it is known
//! ```
//!
//! The channels between them are bounded, so memory doesn't grow with the file. Resuming reads the input again from
//! its beginning and takes from the journal every answer that is there; only rows without one are asked. So the output
//! is always written in one go, whatever its format, and a torn tail of it can't survive: only the journal has to be
//! right. A killed process loses nothing that was journaled; a power cut may lose the journal's last second.
//!
//! | question | file |
//! |---|---|
//! | What is the input, before its rows are read? | [`plan`] |
//! | What is in it, row by row? | [`input`] |
//! | What will the output's columns be called? | [`shape`] |
//! | How is a row written? | [`output`] |
//! | What has been answered already? | [`journal`] |
//! | How do the parts work together? | [`run`](mod@run) |

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sprat_task::{Answer, Input, ModelId, Money, Problem};

use crate::rows::columns::Columns;
use crate::rows::source::Format;

pub mod input;
pub mod journal;
pub mod output;
pub mod plan;
mod run;
pub mod shape;

pub use run::run;

/// What a bulk run reads, writes and may do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file to read; `-` for standard input, which is copied beside the output first.
    pub input: PathBuf,
    /// The file to write. Beside it lie `OUTPUT.partial` and `OUTPUT.journal` until the run has finished.
    pub output: PathBuf,
    /// The input's format, where neither its name nor its beginning tells.
    pub input_format: Option<Format>,
    /// The output's format; by its name, else the input's.
    pub output_format: Option<Format>,
    /// Where the text is, if not in `text` or `input`.
    pub columns: Columns,
    /// What the added columns' names begin with; nothing, or `sprat_` where the input has a column of such a name.
    pub prefix: Option<String>,
    /// Replaces an output that exists.
    pub force: bool,
    /// Forgets what an interrupted run has answered.
    pub restart: bool,
    /// Whose answers these are (task, release, anything that would make them others): a run is only resumed by the
    /// same.
    pub identity: String,
    /// Rows a batch, at least 1. Memory holds about three times `concurrency` batches.
    pub batch_rows: usize,
    /// Batches being answered at once, at least 1.
    pub concurrency: usize,
    /// Stops after so many rows in a row have failed, so that an upstream that is down doesn't fail them all.
    pub give_up_after: Option<u64>,
}

impl Job {
    /// A job with everything at its default: batches of 64, 4 at once, giving up after 500 failures in a row.
    pub fn new(input: impl Into<PathBuf>, output: impl Into<PathBuf>, identity: impl Into<String>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            input_format: None,
            output_format: None,
            columns: Columns::default(),
            prefix: None,
            force: false,
            restart: false,
            identity: identity.into(),
            batch_rows: 64,
            concurrency: 4,
            give_up_after: Some(500),
        }
    }

    /// A file that lies beside the output while the run goes on.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.output.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }
}

/// One row's answer, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The answer; `None` where nobody had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<ModelId>,
    /// Estimated probability that the small models' own answer is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Whether it went past the small models; `None` where the row could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated: Option<bool>,
    /// What it cost; `None` where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<Money>,
    /// What went wrong; such a row is asked again when the run is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Answered {
    /// A row that nobody was asked about.
    pub fn unasked(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cost_micro_usd: Some(Money::ZERO), ..Self::default() }
    }

    fn failed(&self) -> bool {
        self.error.is_some()
    }
}

/// Told of answers as they become known: each with its position among the inputs. What is told is on disk before the
/// call returns.
pub type Done<'a> = dyn Fn(Vec<(usize, Answered)>) + Send + Sync + 'a;

/// Who answers rows.
pub trait Answerer: Send + Sync {
    /// Answers all inputs, telling `done` of each once, in any order, alone or several together: the sooner an answer
    /// that cost something is told, the less can be lost. Inputs it never tells of count as failed (or as not asked,
    /// after a cancellation).
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()>;
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Rows answered or failed, those of an earlier run included.
    pub rows: u64,
    /// Of these, answered by an earlier run.
    pub replayed: u64,
    /// Of these, with an error.
    pub failed: u64,
    /// Of these, past the small models.
    pub escalated: u64,
    /// What is known to have been spent, earlier runs included.
    pub cost_micro_usd: Money,
    /// Rows of which the cost is unknown.
    pub cost_unknown: u64,
    /// Of the input, in bytes (for Parquet by the share of its rows).
    pub bytes_read: u64,
    /// The input's length in bytes.
    pub bytes_total: u64,
    /// Since this run began.
    pub elapsed: Duration,
}

impl Progress {
    /// Rows of this run a second, those of an earlier one not counted.
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { (self.rows - self.replayed) as f64 / seconds } else { 0.0 }
    }

    fn count(&mut self, answered: &[Answered], replayed: u64, bytes_read: u64, elapsed: Duration) {
        self.rows += answered.len() as u64;
        self.replayed += replayed;
        self.failed += answered.iter().filter(|row| row.failed()).count() as u64;
        self.escalated += answered.iter().filter(|row| row.escalated == Some(true)).count() as u64;
        self.cost_micro_usd += answered.iter().filter_map(|row| row.cost_micro_usd).sum();
        self.cost_unknown += answered.iter().filter(|row| row.cost_micro_usd.is_none()).count() as u64;
        (self.bytes_read, self.elapsed) = (bytes_read, elapsed);
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How far it came.
    pub progress: Progress,
    /// Whether the output is there; `false` after a cancellation, and the same command goes on.
    pub finished: bool,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
}

/// Why a run stopped. What has been answered stays in the journal, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The user's input, output or an earlier run stands in the way.
    #[error("{0}")]
    Problem(#[from] Problem),
    /// A file could not be written (a full disk, say).
    #[error("{path} can't be written: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Too many rows failed in a row.
    #[error("{rows} rows in a row failed, the last with: {last}")]
    GaveUp {
        /// How many.
        rows: u64,
        /// The last error.
        last: String,
    },
    /// Our fault.
    #[error("the run broke off: {0}")]
    Broken(&'static str),
}

/// Names shared between the threads without copying.
type Names = Arc<[String]>;

#[cfg(test)]
mod tests;
