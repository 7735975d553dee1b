//! Which certification rows have been looked at, so that many looks together keep one promise.

use rusqlite::{Connection, OptionalExtension, Row};
use sprat_task::{Guarantee, Sha256Hex, Status, TaskName};

use crate::columns::{count, from_word, signed, to_word, unsigned};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The samples that certificates were drawn from.
#[derive(Clone, Copy)]
pub struct Datasets<'a> {
    pub(super) store: &'a Store,
}

/// Rows that somebody wants to certify on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The task.
    pub task: TaskName,
    /// What counts as bad. Looks for different guarantees are counted apart.
    pub guarantee: Guarantee,
    /// The version of the release that is certified, where it has one already.
    pub release: Option<u32>,
    /// Each row's [`Input::hash`](sprat_task::Input::hash); a row that comes twice is one row.
    pub hashes: Vec<Sha256Hex>,
}

/// Which look at the data this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The number to finish it by; 0 for a look that was only asked about.
    pub id: i64,
    /// 1 for rows nobody has looked at; otherwise one more than the latest look that shares a row with this sample.
    pub number: u32,
    /// Rows that an earlier look has seen.
    pub reused: u64,
    /// Rows that none has seen.
    pub fresh: u64,
    /// How many rows the latest look that shares a row had; `None` for a first look.
    pub previous_n: Option<u64>,
}

impl Look {
    /// How many times as large as at the look before the sample is; `None` for a first look. A further look is worth
    /// its price from about 1.3 on.
    pub fn growth(&self) -> Option<f64> {
        self.previous_n.filter(|n| *n > 0).map(|n| (self.reused + self.fresh) as f64 / n as f64)
    }
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookResult {
    /// Rows tested on.
    pub n: u64,
    /// Of these, answered small.
    pub accepted: u64,
    /// Of the accepted, bad.
    pub bad: u64,
    /// The verdict.
    pub status: Status,
}

/// One look, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookRecord {
    /// Its number among all looks.
    pub id: i64,
    /// What counted as bad.
    pub guarantee: Guarantee,
    /// The version of the release, where it had one.
    pub release: Option<u32>,
    /// Which look at these rows it was, from 1.
    pub number: u32,
    /// Different rows in its sample.
    pub rows: u64,
    /// Of these, seen before.
    pub reused: u64,
    /// When it was begun, in milliseconds since 1970.
    pub begun_unix_ms: i64,
    /// What came of it; `None` where it never ended. It counts all the same: somebody may have looked.
    pub result: Option<LookResult>,
}

impl Datasets<'_> {
    /// Which look this would be, without taking it.
    pub fn preview_look(&self, sample: &Sample) -> Result<Look, StoreError> {
        self.store.read(|connection| foresee(connection, sample, &distinct(sample)))
    }

    /// Takes a look: counts it and marks its rows as seen, in one transaction, before any of them is tested. A crash
    /// afterwards doesn't give it back.
    pub fn begin_look(&self, sample: &Sample, time_unix_ms: i64) -> Result<Look, StoreError> {
        let sample = sample.clone();
        self.store.write(move |connection| {
            let rows = distinct(&sample);
            let look = foresee(connection, &sample, &rows)?;
            let guarantee = to_word("guarantee", &sample.guarantee)?;
            let id: i64 = connection.query_row(
                "INSERT INTO look (task, guarantee, release, number, rows, reused, begun_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                (
                    sample.task.as_str(),
                    &guarantee,
                    sample.release,
                    look.number,
                    signed(rows.len() as u64),
                    signed(look.reused),
                    time_unix_ms,
                ),
                |row| row.get(0),
            )?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO look_row (task, guarantee, hash, look) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for hash in rows {
                insert.execute((sample.task.as_str(), &guarantee, hash, id))?;
            }
            Ok(Look { id, ..look })
        })
    }

    /// Writes down what came of a look.
    pub fn finish_look(&self, look: &Look, result: LookResult, time_unix_ms: i64) -> Result<(), StoreError> {
        let id = look.id;
        self.store.write(move |connection| {
            let changed = connection.execute(
                "UPDATE look SET n = ?2, accepted = ?3, bad = ?4, status = ?5, finished_unix_ms = ?6 WHERE id = ?1",
                (
                    id,
                    signed(result.n),
                    signed(result.accepted),
                    signed(result.bad),
                    result.status.word(),
                    time_unix_ms,
                ),
            )?;
            match changed {
                0 => Err(StoreError::NoSuch { what: "look", number: id }.into()),
                _ => Ok(()),
            }
        })
    }

    /// All looks of a task, oldest first.
    pub fn looks(&self, task: &TaskName) -> Result<Vec<LookRecord>, StoreError> {
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM look WHERE task = ?1 ORDER BY id")?;
            let mut rows = statement.query([task.as_str()])?;
            let mut looks = Vec::new();
            while let Some(row) = rows.next()? {
                looks.push(read_look(row)?);
            }
            Ok(looks)
        })
    }

    /// Which of these rows a look of this task and guarantee has seen, in their order.
    pub fn seen(
        &self,
        task: &TaskName,
        guarantee: Guarantee,
        hashes: &[Sha256Hex],
    ) -> Result<Vec<bool>, StoreError> {
        self.store.read(|connection| {
            let guarantee = to_word("guarantee", &guarantee)?;
            let mut statement = connection.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM look_row WHERE task = ?1 AND guarantee = ?2 AND hash = ?3)",
            )?;
            hashes
                .iter()
                .map(|hash| {
                    Ok(statement.query_row((task.as_str(), &guarantee, hash.as_str()), |row| row.get(0))?)
                })
                .collect()
        })
    }
}

fn distinct(sample: &Sample) -> Vec<&str> {
    let mut rows: Vec<&str> = sample.hashes.iter().map(Sha256Hex::as_str).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn foresee(connection: &Connection, sample: &Sample, rows: &[&str]) -> Result<Look, Fault> {
    let guarantee = to_word("guarantee", &sample.guarantee)?;
    let mut latest = connection.prepare_cached(
        "SELECT look.number, look.rows FROM look_row JOIN look ON look.id = look_row.look
         WHERE look_row.task = ?1 AND look_row.guarantee = ?2 AND look_row.hash = ?3
         ORDER BY look.number DESC, look.rows DESC LIMIT 1",
    )?;
    let mut reused = 0;
    let mut previous: Option<(u32, i64)> = None;
    for row in rows {
        let seen = latest
            .query_row((sample.task.as_str(), &guarantee, row), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        reused += u64::from(seen.is_some());
        previous = previous.max(seen);
    }
    Ok(Look {
        id: 0,
        number: previous.map_or(1, |(number, _)| number.saturating_add(1)),
        reused,
        fresh: rows.len() as u64 - reused,
        previous_n: previous.map(|(_, rows)| unsigned(rows)),
    })
}

fn read_look(row: &Row<'_>) -> Result<LookRecord, Fault> {
    let status: Option<String> = row.get("status")?;
    let result = match status {
        None => None,
        Some(word) => Some(LookResult {
            n: count(row, "n")?,
            accepted: count(row, "accepted")?,
            bad: count(row, "bad")?,
            status: from_word("status", word)?,
        }),
    };
    Ok(LookRecord {
        id: row.get("id")?,
        guarantee: from_word("guarantee", row.get("guarantee")?)?,
        release: row.get("release")?,
        number: row.get("number")?,
        rows: count(row, "rows")?,
        reused: count(row, "reused")?,
        begun_unix_ms: row.get("begun_unix_ms")?,
        result,
    })
}
