//! Texts of requests, redacted, with what small and large models answered: kept only where a task says so, and only as
//! long as it says.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Row, named_params};
use sprat_task::{Answer, Confidence, Input, ModelId, Provenance, RequestId, Sha256Hex, TaskName};

use crate::columns::{from_json, from_json_option, from_word, hash, to_json_option, to_word, unsigned};
use crate::error::{Fault, StoreError};
use crate::pages::pages;
use crate::store::Store;

/// Rows that one transaction forgets, so that forgetting many keeps nobody waiting.
const FORGOTTEN_AT_ONCE: i64 = 2_000;

/// The captured requests of a store.
#[derive(Clone, Copy)]
pub struct CapturedBook<'a> {
    pub(super) store: &'a Store,
}

/// A request to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCaptured {
    /// The task it was for.
    pub task: TaskName,
    /// The request.
    pub request: RequestId,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// What was asked, redacted.
    pub text: String,
    /// Digest of the system prompt and schema that an ordinary call came with; `None` where the task was asked for by
    /// its name.
    pub prompt_hash: Option<Sha256Hex>,
    /// The conversation or user it belongs to, as a digest, where the client says.
    pub session: Option<String>,
    /// What the small models answered, or would have.
    pub small: Option<Answer>,
    /// How sure they were.
    pub confidence: Option<Confidence>,
    /// Whether they were sure enough to answer.
    pub would_answer: bool,
    /// What the large model answered, in the task's terms; `None` where it wasn't asked, failed, or said something that
    /// is no answer of the task.
    pub large: Option<Answer>,
    /// Who answered; `None` where nobody did.
    pub answered_by: Option<ModelId>,
    /// The version of the release that was live.
    pub release: Option<u32>,
    /// The probability with which the large model was asked whatever the text says: 1 in shadow and wherever small models
    /// may not answer, an audit's rate where a coin decided, and 0 where the text itself did because the small models
    /// were sure or unsure of it. Only rows above 0 stand for the traffic.
    pub propensity: f64,
    /// Where the large model's answers come from.
    pub provenance: Provenance,
}

/// The text of a request that was kept, and what the large model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct CapturedText {
    /// As it was kept.
    pub text: String,
    /// The large model's answer, where there is one.
    pub large: Option<Answer>,
}

/// A request that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CapturedRow {
    /// Its number.
    pub id: i64,
    /// Digest of its text as it is kept.
    pub hash: Sha256Hex,
    /// As it was added.
    pub row: NewCaptured,
}

impl CapturedBook<'_> {
    /// Keeps requests.
    pub fn add(&self, rows: Vec<NewCaptured>) -> Result<(), StoreError> {
        self.store.write(move |connection| rows.iter().try_for_each(|row| insert(connection, row)))
    }

    /// A task's rows after the one numbered `after` (0: all), in the order they were added, in constant memory.
    pub fn rows(
        &self,
        task: &TaskName,
        after: i64,
    ) -> impl Iterator<Item = Result<CapturedRow, StoreError>> + use<> {
        let task = task.clone();
        pages(self.store.clone(), after, move |connection, after, limit| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM captured WHERE task = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
            let mut rows = statement.query((task.as_str(), after, limit as i64))?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push((row.get("id")?, read_row(row)?));
            }
            Ok(page)
        })
    }

    /// The texts with these digests, as far as they are not forgotten; of several requests the latest that the large
    /// model answered. Reads past all of the task's rows.
    pub fn texts(
        &self,
        task: &TaskName,
        wanted: &HashSet<Sha256Hex>,
    ) -> Result<HashMap<Sha256Hex, CapturedText>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT hash, text, large FROM captured WHERE task = ?1 ORDER BY large IS NOT NULL, id",
            )?;
            let mut rows = statement.query([task.as_str()])?;
            let mut texts = HashMap::new();
            while let Some(row) = rows.next()? {
                let hash = hash(row, "hash")?;
                if wanted.contains(&hash) {
                    let large = from_json_option("answer", row.get("large")?)?;
                    texts.insert(hash, CapturedText { text: row.get("text")?, large });
                }
            }
            Ok(texts)
        })
    }

    /// How many rows of a task there are.
    pub fn count(&self, task: &TaskName) -> Result<u64, StoreError> {
        self.count_since(task, i64::MIN)
    }

    /// How many of them came at this time, in milliseconds since 1970, or later.
    pub fn count_since(&self, task: &TaskName, time_unix_ms: i64) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            Ok(unsigned(connection.query_row(
                "SELECT count(*) FROM captured WHERE task = ?1 AND time_unix_ms >= ?2",
                (task.as_str(), time_unix_ms),
                |row| row.get(0),
            )?))
        })
    }

    /// How many rows of a task carry the large model's answer.
    pub fn answered(&self, task: &TaskName) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            Ok(unsigned(connection.query_row(
                "SELECT count(large) FROM captured WHERE task = ?1",
                [task.as_str()],
                |row| row.get(0),
            )?))
        })
    }

    /// A request of a task's that was kept; `None` where it wasn't, or is forgotten.
    pub fn of_request(
        &self,
        task: &TaskName,
        request: &RequestId,
    ) -> Result<Option<CapturedRow>, StoreError> {
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM captured WHERE request = ?1 AND task = ?2")?;
            let mut rows = statement.query((request.as_str(), task.as_str()))?;
            rows.next()?.map(read_row).transpose()
        })
    }

    /// What users said would have been right, by the digest of the text it was about; of several the latest.
    pub fn labels(&self, task: &TaskName) -> Result<HashMap<Sha256Hex, Answer>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT captured.hash, feedback.label FROM feedback
                 JOIN captured ON captured.request = feedback.request
                 WHERE captured.task = ?1 AND feedback.label IS NOT NULL ORDER BY feedback.id",
            )?;
            let mut rows = statement.query([task.as_str()])?;
            let mut labels = HashMap::new();
            while let Some(row) = rows.next()? {
                labels.insert(hash(row, "hash")?, from_json("answer", &row.get::<_, String>("label")?)?);
            }
            Ok(labels)
        })
    }

    /// The tasks that have rows.
    pub fn tasks(&self) -> Result<Vec<TaskName>, StoreError> {
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT DISTINCT task FROM captured ORDER BY task")?;
            let tasks = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(tasks.map(|task| task.map(TaskName::from)).collect::<Result<_, _>>()?)
        })
    }

    /// Deletes a task's rows from before a time, in milliseconds since 1970, and the records that people gave for them.
    /// Their text is overwritten in the file. Returns how many there were.
    pub fn forget_before(&self, task: &TaskName, time_unix_ms: i64) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        loop {
            let task = task.clone();
            let now = self.store.write(move |connection| forget_some(connection, &task, time_unix_ms))?;
            forgotten += now;
            if now == 0 {
                break;
            }
        }
        if forgotten > 0 {
            self.store.shorten_log()?;
        }
        Ok(forgotten)
    }

    /// Deletes all rows of a task. Their text is overwritten in the file. Returns how many there were.
    pub fn forget_all(&self, task: &TaskName) -> Result<u64, StoreError> {
        self.forget_before(task, i64::MAX)
    }
}

fn forget_some(connection: &Connection, task: &TaskName, time_unix_ms: i64) -> Result<u64, Fault> {
    let mut oldest = connection
        .prepare_cached("SELECT id, request FROM captured WHERE task = ?1 AND time_unix_ms < ?2 LIMIT ?3")?;
    let oldest = oldest.query_map((task.as_str(), time_unix_ms, FORGOTTEN_AT_ONCE), |row| {
        Ok((row.get::<_, i64>("id")?, row.get::<_, String>("request")?))
    })?;
    let oldest: Vec<(i64, String)> = oldest.collect::<Result<_, _>>()?;
    // Labels are the task's words; a record's are the text's. Whoever only thumbed keeps that.
    let mut records = connection.prepare_cached(
        "UPDATE feedback SET label = NULL WHERE request = ?1 AND json_type(label, '$.fields') IS NOT NULL",
    )?;
    let mut silent = connection
        .prepare_cached("DELETE FROM feedback WHERE request = ?1 AND label IS NULL AND thumb IS NULL")?;
    let mut row = connection.prepare_cached("DELETE FROM captured WHERE id = ?1")?;
    for (id, request) in &oldest {
        if records.execute([request])? > 0 {
            silent.execute([request])?;
        }
        row.execute([id])?;
    }
    Ok(oldest.len() as u64)
}

fn insert(connection: &Connection, row: &NewCaptured) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO captured (task, request, time_unix_ms, text, hash, prompt_hash, session, small, confidence,
                               would_answer, large, answered_by, release, propensity, provenance)
         VALUES (:task, :request, :time, :text, :hash, :prompt_hash, :session, :small, :confidence,
                 :would_answer, :large, :answered_by, :release, :propensity, :provenance)",
    )?;
    statement.execute(named_params! {
        ":task": row.task.as_str(),
        ":request": row.request.as_str(),
        ":time": row.time_unix_ms,
        ":text": row.text,
        ":hash": Input::new(row.text.as_str()).hash().as_str(),
        ":prompt_hash": row.prompt_hash.as_ref().map(Sha256Hex::as_str),
        ":session": row.session,
        ":small": to_json_option("answer", row.small.as_ref())?,
        ":confidence": row.confidence.map(Confidence::get),
        ":would_answer": row.would_answer,
        ":large": to_json_option("answer", row.large.as_ref())?,
        ":answered_by": row.answered_by.as_ref().map(ModelId::as_str),
        ":release": row.release,
        ":propensity": row.propensity,
        ":provenance": to_word("provenance", &row.provenance)?,
    })?;
    Ok(())
}

fn read_row(row: &Row<'_>) -> Result<CapturedRow, Fault> {
    let prompt_hash: Option<String> = row.get("prompt_hash")?;
    Ok(CapturedRow {
        id: row.get("id")?,
        hash: hash(row, "hash")?,
        row: NewCaptured {
            task: row.get::<_, String>("task")?.into(),
            request: row.get::<_, String>("request")?.into(),
            time_unix_ms: row.get("time_unix_ms")?,
            text: row.get("text")?,
            prompt_hash: prompt_hash.map(|word| from_word("digest", word)).transpose()?,
            session: row.get("session")?,
            small: from_json_option("answer", row.get("small")?)?,
            confidence: row.get::<_, Option<f64>>("confidence")?.map(Confidence::new),
            would_answer: row.get("would_answer")?,
            large: from_json_option("answer", row.get("large")?)?,
            answered_by: row.get::<_, Option<String>>("answered_by")?.map(Into::into),
            release: row.get("release")?,
            propensity: row.get("propensity")?,
            provenance: from_word("provenance", row.get("provenance")?)?,
        },
    })
}
