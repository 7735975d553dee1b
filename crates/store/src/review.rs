//! Rows that want a person's label, and the labels people gave.

use rusqlite::{Row, Rows, named_params};
use serde::{Deserialize, Serialize};
use sprat_task::{Answer, Confidence, Input, RequestId, TaskName};

use crate::columns::{
    count, from_json, from_json_option, from_word, signed, to_json, to_json_option, to_word,
};
use crate::error::{Fault, StoreError};
use crate::pages::pages;
use crate::store::Store;

/// The review queue of a store.
#[derive(Clone, Copy)]
pub struct Review<'a> {
    pub(super) store: &'a Store,
}

/// Why a person should look at a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Drawn at random from what was answered small.
    Audit,
    /// No model was sure.
    Unsure,
    /// Small and large differ.
    Disagreement,
    /// Drawn at random from everything.
    Random,
}

/// A row for the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewReview {
    /// The task.
    pub task: TaskName,
    /// What was asked.
    pub text: String,
    /// What the small models said.
    pub small: Option<Answer>,
    /// What the large model said.
    pub large: Option<Answer>,
    /// How sure the small models were.
    pub confidence: Option<Confidence>,
    /// Why a person should look.
    pub reason: Reason,
    /// The probability with which such a row is drawn, above 0 and at most 1; 1 where chance had no part in it.
    pub propensity: f64,
    /// Greater comes first.
    pub priority: f64,
    /// The request it came from.
    pub request: Option<RequestId>,
}

/// A row in the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewRow {
    /// Its number.
    pub id: i64,
    /// As it was added.
    pub row: NewReview,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// What a person said.
    pub label: Option<Labelled>,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The right answer.
    pub answer: Answer,
    /// Who said so.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviewCounts {
    /// Without a label.
    pub waiting: u64,
    /// With one.
    pub labelled: u64,
}

impl Review<'_> {
    /// Adds rows. A text that the task's queue has already stays as it is, label included; only where it is now drawn
    /// at random and wasn't before does it take the new reason and propensity, because random rows are what estimates
    /// are made from. Returns how many were new.
    pub fn add(&self, rows: Vec<NewReview>, time_unix_ms: i64) -> Result<u64, StoreError> {
        self.store.write(move |connection| {
            let before: i64 = connection.query_row("SELECT count(*) FROM review", [], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(
                "INSERT INTO review (task, hash, text, small, large, confidence, reason, propensity, priority,
                                     request, time_unix_ms)
                 VALUES (:task, :hash, :text, :small, :large, :confidence, :reason, :propensity, :priority,
                         :request, :time)
                 ON CONFLICT (task, hash) DO UPDATE SET reason = excluded.reason, propensity = excluded.propensity,
                     priority = max(priority, excluded.priority)
                 WHERE excluded.reason IN ('audit', 'random') AND reason NOT IN ('audit', 'random')",
            )?;
            for row in &rows {
                statement.execute(named_params! {
                    ":task": row.task.as_str(),
                    ":hash": Input::new(row.text.as_str()).hash().as_str(),
                    ":text": row.text,
                    ":small": to_json_option("answer", row.small.as_ref())?,
                    ":large": to_json_option("answer", row.large.as_ref())?,
                    ":confidence": row.confidence.map(Confidence::get),
                    ":reason": to_word("reason", &row.reason)?,
                    ":propensity": row.propensity,
                    ":priority": row.priority,
                    ":request": row.request.as_ref().map(RequestId::as_str),
                    ":time": time_unix_ms,
                })?;
            }
            let after: i64 = connection.query_row("SELECT count(*) FROM review", [], |row| row.get(0))?;
            Ok(crate::columns::unsigned(after - before))
        })
    }

    /// The next rows to label, at most `n`: greatest priority first, then as they came.
    pub fn next(&self, task: &TaskName, n: usize) -> Result<Vec<ReviewRow>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM review WHERE task = ?1 AND label IS NULL AND text <> '' ORDER BY priority DESC, id LIMIT ?2",
            )?;
            read_rows(&mut statement.query((task.as_str(), signed(n as u64)))?)
        })
    }

    /// The same, of the rows that come after this one: for whoever has skipped it.
    pub fn next_after(&self, task: &TaskName, id: i64, n: usize) -> Result<Vec<ReviewRow>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT review.* FROM review JOIN (SELECT priority AS passed FROM review WHERE id = ?2)
                 WHERE task = ?1 AND label IS NULL AND text <> '' AND (priority < passed OR (priority = passed AND id > ?2))
                 ORDER BY priority DESC, id LIMIT ?3",
            )?;
            read_rows(&mut statement.query((task.as_str(), id, signed(n as u64)))?)
        })
    }

    /// A row; `None` where there is none of that number.
    pub fn row(&self, id: i64) -> Result<Option<ReviewRow>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM review WHERE id = ?1")?;
            Ok(read_rows(&mut statement.query([id])?)?.pop())
        })
    }

    /// Takes a row's label away again, so that the row waits once more.
    pub fn unlabel(&self, id: i64) -> Result<(), StoreError> {
        self.store.write(move |connection| {
            let changed = connection.execute(
                "UPDATE review SET label = NULL, labelled_by = NULL, labelled_unix_ms = NULL WHERE id = ?1",
                [id],
            )?;
            match changed {
                0 => Err(StoreError::NoSuch { what: "row to review", number: id }.into()),
                _ => Ok(()),
            }
        })
    }

    /// Gives a row its label. A second label takes the place of the first.
    pub fn label(&self, id: i64, label: &Labelled) -> Result<(), StoreError> {
        let label = label.clone();
        self.store.write(move |connection| {
            let changed = connection.execute(
                "UPDATE review SET label = ?2, labelled_by = ?3, labelled_unix_ms = ?4 WHERE id = ?1",
                (id, to_json("answer", &label.answer)?, &label.by, label.time_unix_ms),
            )?;
            match changed {
                0 => Err(StoreError::NoSuch { what: "row to review", number: id }.into()),
                _ => Ok(()),
            }
        })
    }

    /// Forgets the texts of a task's rows that came from requests before a time, in milliseconds since 1970: a row that
    /// nobody has labelled goes, of the others the label stays, because audits are judged by it, without the words of
    /// records. They are overwritten in the file. Returns how many rows there were.
    pub fn forget_before(&self, task: &TaskName, time_unix_ms: i64) -> Result<u64, StoreError> {
        let task = task.clone();
        let forgotten = self.store.write(move |connection| {
            let mut unlabelled = connection.prepare_cached(
                "DELETE FROM review
                 WHERE task = ?1 AND time_unix_ms < ?2 AND request IS NOT NULL AND label IS NULL",
            )?;
            let gone = unlabelled.execute((task.as_str(), time_unix_ms))?;
            let mut labelled = connection.prepare_cached(
                "SELECT id, label FROM review
                 WHERE task = ?1 AND time_unix_ms < ?2 AND request IS NOT NULL AND text <> ''",
            )?;
            let labelled = labelled.query_map((task.as_str(), time_unix_ms), |row| {
                Ok((row.get::<_, i64>("id")?, row.get::<_, String>("label")?))
            })?;
            let labelled: Vec<(i64, String)> = labelled.collect::<Result<_, _>>()?;
            let mut forget = connection.prepare_cached(
                "UPDATE review SET text = '', small = NULL, large = NULL, label = ?2 WHERE id = ?1",
            )?;
            for (id, label) in &labelled {
                let label: Answer = from_json("answer", label)?;
                forget.execute((id, to_json("answer", &label.without_words())?))?;
            }
            Ok((gone + labelled.len()) as u64)
        })?;
        if forgotten > 0 {
            self.store.shorten_log()?;
        }
        Ok(forgotten)
    }

    /// The tasks that have rows which came from requests.
    pub fn tasks(&self) -> Result<Vec<TaskName>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT DISTINCT task FROM review WHERE request IS NOT NULL ORDER BY task")?;
            let tasks = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(tasks.map(|task| task.map(TaskName::from)).collect::<Result<_, _>>()?)
        })
    }

    /// The rows that have a label and whose texts are not forgotten, in the order they were added, in constant memory.
    pub fn labelled(&self, task: &TaskName) -> impl Iterator<Item = Result<ReviewRow, StoreError>> + use<> {
        let task = task.clone();
        pages(self.store.clone(), 0, move |connection, after, limit| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM review
                 WHERE task = ?1 AND label IS NOT NULL AND text <> '' AND id > ?2 ORDER BY id LIMIT ?3",
            )?;
            let mut rows = statement.query((task.as_str(), after, limit as i64))?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push((row.get("id")?, read_row(row)?));
            }
            Ok(page)
        })
    }

    /// How many rows of a task wait, and how many are labelled.
    pub fn counts(&self, task: &TaskName) -> Result<ReviewCounts, StoreError> {
        self.store.read(|connection| {
            Ok(connection.query_row(
                "SELECT count(*) - count(label) AS waiting, count(label) AS labelled FROM review WHERE task = ?1",
                [task.as_str()],
                |row| Ok(ReviewCounts { waiting: count(row, "waiting")?, labelled: count(row, "labelled")? }),
            )?)
        })
    }
}

fn read_rows(rows: &mut Rows<'_>) -> Result<Vec<ReviewRow>, Fault> {
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        read.push(read_row(row)?);
    }
    Ok(read)
}

fn read_row(row: &Row<'_>) -> Result<ReviewRow, Fault> {
    let label: Option<String> = row.get("label")?;
    let label = match label {
        None => None,
        Some(text) => Some(Labelled {
            answer: from_json("answer", &text)?,
            by: row.get("labelled_by")?,
            time_unix_ms: row.get("labelled_unix_ms")?,
        }),
    };
    Ok(ReviewRow {
        id: row.get("id")?,
        row: NewReview {
            task: row.get::<_, String>("task")?.into(),
            text: row.get("text")?,
            small: from_json_option("answer", row.get("small")?)?,
            large: from_json_option("answer", row.get("large")?)?,
            confidence: row.get::<_, Option<f64>>("confidence")?.map(Confidence::new),
            reason: from_word("reason", row.get("reason")?)?,
            propensity: row.get("propensity")?,
            priority: row.get("priority")?,
            request: row.get::<_, Option<String>>("request")?.map(Into::into),
        },
        time_unix_ms: row.get("time_unix_ms")?,
        label,
    })
}
