//! What users said about answers. Volunteered, so it is shown and learned from, and feeds no alarm.

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use sprat_task::{Answer, ModelId, RequestId, TaskName};

use crate::columns::{from_json_option, from_word, to_json_option, to_word};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The feedback of a store.
#[derive(Clone, Copy)]
pub struct FeedbackBook<'a> {
    pub(super) store: &'a Store,
}

/// What a user said about one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// The request that was answered.
    pub request: RequestId,
    /// Good or bad.
    pub thumb: Option<Thumb>,
    /// What would have been right.
    pub label: Option<Answer>,
    /// Who said so, where known.
    pub by: Option<String>,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

/// Good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thumb {
    /// Good.
    Up,
    /// Bad.
    Down,
}

/// Feedback beside the request it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What was said.
    pub feedback: Feedback,
    /// Who had answered; `None` where nobody had.
    pub answered_by: Option<ModelId>,
    /// The version of the release that was live for it.
    pub release: Option<u32>,
}

impl FeedbackBook<'_> {
    /// Keeps feedback. Returns whether the ledger knows the request: if not, it is kept all the same, and the caller
    /// may want to say that the id may be wrong.
    pub fn add(&self, feedback: &Feedback) -> Result<bool, StoreError> {
        let feedback = feedback.clone();
        // The request may still be on its way from the spool.
        let known = !self.store.ledger().request(&feedback.request)?.is_empty();
        self.store.write(move |connection| {
            connection.execute(
                "INSERT INTO feedback (request, thumb, label, given_by, time_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    feedback.request.as_str(),
                    feedback.thumb.as_ref().map(|thumb| to_word("thumb", thumb)).transpose()?,
                    to_json_option("answer", feedback.label.as_ref())?,
                    &feedback.by,
                    feedback.time_unix_ms,
                ),
            )?;
            Ok(())
        })?;
        Ok(known)
    }

    /// What was said about one request, oldest first.
    pub fn of_request(&self, request: &RequestId) -> Result<Vec<Feedback>, StoreError> {
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM feedback WHERE request = ?1 ORDER BY id")?;
            let mut rows = statement.query([request.as_str()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read_feedback(row)?);
            }
            Ok(found)
        })
    }

    /// What was said about a task's requests, beside who had answered them; the last `n`, newest first.
    pub fn latest(&self, task: &TaskName, n: usize) -> Result<Vec<Judged>, StoreError> {
        self.store.read(|connection| latest(connection, task, n))
    }
}

fn latest(connection: &Connection, task: &TaskName, n: usize) -> Result<Vec<Judged>, Fault> {
    // A request's first record is its answer; later ones are audits.
    let mut statement = connection.prepare_cached(
        "SELECT feedback.*, ledger.answered_by, ledger.release FROM feedback
         JOIN ledger ON ledger.id = (SELECT min(id) FROM ledger WHERE ledger.request = feedback.request)
         WHERE ledger.task = ?1 ORDER BY feedback.id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query((task.as_str(), crate::columns::signed(n as u64)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Judged {
            feedback: read_feedback(row)?,
            answered_by: row.get::<_, Option<String>>("answered_by")?.map(Into::into),
            release: row.get("release")?,
        });
    }
    Ok(found)
}

fn read_feedback(row: &Row<'_>) -> Result<Feedback, Fault> {
    let thumb: Option<String> = row.get("thumb")?;
    Ok(Feedback {
        request: row.get::<_, String>("request")?.into(),
        thumb: thumb.map(|word| from_word("thumb", word)).transpose()?,
        label: from_json_option("answer", row.get("label")?)?,
        by: row.get("given_by")?,
        time_unix_ms: row.get("time_unix_ms")?,
    })
}
