//! What somebody should be told, and whether they have been.

use rusqlite::{Row, named_params};
use serde::{Deserialize, Serialize};
use sprat_task::TaskName;

use crate::columns::{from_json, from_word, signed, to_json, to_word};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The notices of a store.
#[derive(Clone, Copy)]
pub struct NoticeBook<'a> {
    pub(super) store: &'a Store,
}

/// How urgent a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look soon.
    Warning,
    /// Something was taken away from the small models.
    Alarm,
}

impl Level {
    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alarm => "alarm",
        }
    }
}

/// Something that somebody should be told. It holds no text of any request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewNotice {
    /// When it happened, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// The task it is about, where it is about one.
    pub task: Option<TaskName>,
    /// What sort of thing happened, in one word such as `stepped-back`.
    pub kind: String,
    /// How urgent it is.
    pub level: Level,
    /// What happened, in a sentence for people.
    pub text: String,
    /// The same for machines.
    #[serde(rename = "details")]
    pub json: serde_json::Value,
}

/// A notice that was kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// Its number.
    pub id: i64,
    /// As it was added.
    #[serde(flatten)]
    pub notice: NewNotice,
    /// When it was sent, in milliseconds since 1970; `None` where it wasn't yet.
    pub sent_unix_ms: Option<i64>,
    /// How often sending it was tried in vain.
    pub attempts: u32,
}

impl NoticeBook<'_> {
    /// Keeps a notice; it is on the disk when this returns. Returns its number.
    pub fn add(&self, notice: &NewNotice) -> Result<i64, StoreError> {
        let notice = notice.clone();
        self.store.write(move |connection| {
            Ok(connection.query_row(
                "INSERT INTO notice (time_unix_ms, task, kind, level, text, json, attempts)
                 VALUES (:time, :task, :kind, :level, :text, :json, 0) RETURNING id",
                named_params! {
                    ":time": notice.time_unix_ms,
                    ":task": notice.task.as_ref().map(TaskName::as_str),
                    ":kind": notice.kind,
                    ":level": to_word("level", &notice.level)?,
                    ":text": notice.text,
                    ":json": to_json("notice", &notice.json)?,
                },
                |row| row.get(0),
            )?)
        })
    }

    /// Notices of this time, in milliseconds since 1970, or later that nobody was sent yet, oldest first, at most `n`.
    pub fn unsent(&self, since_unix_ms: i64, n: usize) -> Result<Vec<Notice>, StoreError> {
        self.select(
            "SELECT * FROM notice WHERE sent_unix_ms IS NULL AND time_unix_ms >= ?1 ORDER BY id LIMIT ?2",
            since_unix_ms,
            n,
        )
    }

    /// The last `n`, newest first.
    pub fn latest(&self, n: usize) -> Result<Vec<Notice>, StoreError> {
        self.select("SELECT * FROM notice WHERE time_unix_ms >= ?1 ORDER BY id DESC LIMIT ?2", i64::MIN, n)
    }

    /// Somebody has been told.
    pub fn mark_sent(&self, id: i64, time_unix_ms: i64) -> Result<(), StoreError> {
        self.change("UPDATE notice SET sent_unix_ms = ?2 WHERE id = ?1", id, time_unix_ms)
    }

    /// Sending it was tried in vain once more.
    pub fn mark_failed(&self, id: i64) -> Result<(), StoreError> {
        self.change("UPDATE notice SET attempts = attempts + ?2 WHERE id = ?1", id, 1)
    }

    fn change(&self, sql: &'static str, id: i64, value: i64) -> Result<(), StoreError> {
        self.store.write(move |connection| match connection.execute(sql, (id, value))? {
            0 => Err(StoreError::NoSuch { what: "notice", number: id }.into()),
            _ => Ok(()),
        })
    }

    fn select(&self, sql: &str, since_unix_ms: i64, n: usize) -> Result<Vec<Notice>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((since_unix_ms, signed(n as u64)))?;
            let mut notices = Vec::new();
            while let Some(row) = rows.next()? {
                notices.push(read_notice(row)?);
            }
            Ok(notices)
        })
    }
}

fn read_notice(row: &Row<'_>) -> Result<Notice, Fault> {
    Ok(Notice {
        id: row.get("id")?,
        notice: NewNotice {
            time_unix_ms: row.get("time_unix_ms")?,
            task: row.get::<_, Option<String>>("task")?.map(Into::into),
            kind: row.get("kind")?,
            level: from_word("level", row.get("level")?)?,
            text: row.get("text")?,
            json: from_json("notice", &row.get::<_, String>("json")?)?,
        },
        sent_unix_ms: row.get("sent_unix_ms")?,
        attempts: row.get("attempts")?,
    })
}
