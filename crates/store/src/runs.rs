//! Bulk runs and the rows they have done, so that a run that was killed goes on where it stopped.

use std::fs::{File, OpenOptions, TryLockError};

use rusqlite::{Connection, OptionalExtension, Row};
use sprat_task::{Answer, Money, Sha256Hex, Step, TaskName};

use crate::columns::{
    count, from_json, from_json_option, hash, money_option, signed, to_json, to_json_option, unsigned,
};
use crate::error::{Fault, StoreError};
use crate::pages::pages;
use crate::store::{Store, beside};

/// The bulk runs of a store.
#[derive(Clone, Copy)]
pub struct Runs<'a> {
    pub(super) store: &'a Store,
}

/// What makes two runs the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKey {
    /// The task.
    pub task: TaskName,
    /// The version of the release that answers; `None` where everything goes to the end of the ladder.
    pub release: Option<u32>,
    /// The input file's fingerprint.
    pub input: Sha256Hex,
    /// Where the answers go, as an absolute path.
    pub output: String,
    /// Digest of every option that changes an answer.
    pub options: Sha256Hex,
}

/// A run that this process works on. While it lives no other process can open the same run.
#[derive(Debug)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub key: RunKey,
    /// When it was first begun, in milliseconds since 1970.
    pub begun_unix_ms: i64,
    /// When it was finished; `None` while it isn't.
    pub finished_unix_ms: Option<i64>,
    /// How many rows were done when it was opened; more than 0 means that it goes on from an earlier time.
    pub rows_done: u64,
    _lock: File,
}

/// A row that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its number in the input, from 0.
    pub row: u64,
    /// The answer; `None` where nobody gave one.
    pub answer: Option<Answer>,
    /// How it came about.
    pub steps: Vec<Step>,
    /// What it cost; `None` where that is unknown.
    pub cost: Option<Money>,
}

/// A run, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub key: RunKey,
    /// When it was first begun, in milliseconds since 1970.
    pub begun_unix_ms: i64,
    /// When it was finished; `None` while it isn't.
    pub finished_unix_ms: Option<i64>,
    /// How many rows are done.
    pub rows_done: u64,
}

impl Runs<'_> {
    /// Begins a run, or goes on with it where the same run was begun before. Fails where another process is at it.
    pub fn open(&self, key: &RunKey, time_unix_ms: i64) -> Result<Run, StoreError> {
        let wanted = key.clone();
        let id: i64 = self.store.write(move |connection| {
            if let Some(id) = find(connection, &wanted)? {
                return Ok(id);
            }
            Ok(connection.query_row(
                "INSERT INTO run (task, release, input, output, options, begun_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
                (
                    wanted.task.as_str(),
                    wanted.release.unwrap_or(0),
                    wanted.input.as_str(),
                    &wanted.output,
                    wanted.options.as_str(),
                    time_unix_ms,
                ),
                |row| row.get(0),
            )?)
        })?;
        let lock = self.lock(id, &key.output)?;
        let record = self.store.read(|connection| read_one(connection, id))?;
        Ok(Run {
            id,
            key: record.key,
            begun_unix_ms: record.begun_unix_ms,
            finished_unix_ms: record.finished_unix_ms,
            rows_done: record.rows_done,
            _lock: lock,
        })
    }

    /// Keeps rows that are done; they are on the disk when this returns. A row that was done before stays as it was.
    /// Returns how many were new.
    pub fn record(&self, run: &Run, rows: Vec<RunRow>) -> Result<u64, StoreError> {
        let id = run.id;
        self.store.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO run_row (run, row, answer, steps, cost) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?;
            let mut new = 0;
            for row in &rows {
                new += statement.execute((
                    id,
                    signed(row.row),
                    to_json_option("answer", row.answer.as_ref())?,
                    to_json("steps", &row.steps)?,
                    row.cost.map(Money::micro),
                ))? as u64;
            }
            Ok(new)
        })
    }

    /// The first row that is not done: all before it are, and some after it may be.
    pub fn done_up_to(&self, run: &Run) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            // The rows are in order, so the first that differs from its rank is behind the first gap.
            let mut statement =
                connection.prepare_cached("SELECT row FROM run_row WHERE run = ?1 ORDER BY row")?;
            let mut rows = statement.query([run.id])?;
            let mut next = 0;
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(0)? != next {
                    break;
                }
                next += 1;
            }
            Ok(unsigned(next))
        })
    }

    /// Which of the rows from `first` on, `number` of them, are done.
    pub fn done_among(&self, run: &Run, first: u64, number: usize) -> Result<Vec<bool>, StoreError> {
        self.store.read(|connection| {
            let mut done = vec![false; number];
            let mut statement = connection
                .prepare_cached("SELECT row FROM run_row WHERE run = ?1 AND row >= ?2 AND row < ?3")?;
            let end = first.saturating_add(number as u64);
            let mut rows = statement.query((run.id, signed(first), signed(end)))?;
            while let Some(row) = rows.next()? {
                let at = unsigned(row.get(0)?) - first;
                if let Some(place) = usize::try_from(at).ok().and_then(|at| done.get_mut(at)) {
                    *place = true;
                }
            }
            Ok(done)
        })
    }

    /// The rows that are done, in the order of the input from `first` on, in constant memory.
    pub fn rows(&self, run: &Run, first: u64) -> impl Iterator<Item = Result<RunRow, StoreError>> + use<> {
        let id = run.id;
        pages(self.store.clone(), signed(first) - 1, move |connection, after, limit| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM run_row WHERE run = ?1 AND row > ?2 ORDER BY row LIMIT ?3")?;
            let mut rows = statement.query((id, after, limit as i64))?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push((row.get("row")?, read_row(row)?));
            }
            Ok(page)
        })
    }

    /// Says that every row is done and the output complete.
    pub fn finish(&self, run: &Run, time_unix_ms: i64) -> Result<(), StoreError> {
        let id = run.id;
        self.store.write(move |connection| {
            connection.execute("UPDATE run SET finished_unix_ms = ?2 WHERE id = ?1", (id, time_unix_ms))?;
            Ok(())
        })
    }

    /// All runs, newest first.
    pub fn list(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(RECORDS)?;
            let mut rows = statement.query([None::<i64>])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(read_record(row)?);
            }
            Ok(records)
        })
    }

    /// Forgets a run and its rows, so that the same run begins anew and its answers take no space.
    pub fn forget(&self, run: Run) -> Result<(), StoreError> {
        let id = run.id;
        self.store.write(move |connection| {
            connection.execute("DELETE FROM run_row WHERE run = ?1", [id])?;
            connection.execute("DELETE FROM run WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// A lock that ends with the process, however it ends.
    fn lock(&self, id: i64, output: &str) -> Result<File, StoreError> {
        let folder = beside(self.store.path(), "-spool");
        let path = folder.join(format!("run-{id}.lock"));
        let told = |error: std::io::Error| StoreError::io(&path, &error);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(told)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::RunInProgress { output: output.to_owned() }),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }
}

const RECORDS: &str = "
    SELECT run.*, (SELECT count(*) FROM run_row WHERE run_row.run = run.id) AS rows_done FROM run
    WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC";

fn find(connection: &Connection, key: &RunKey) -> Result<Option<i64>, Fault> {
    Ok(connection
        .query_row(
            "SELECT id FROM run
             WHERE task = ?1 AND release = ?2 AND input = ?3 AND output = ?4 AND options = ?5",
            (
                key.task.as_str(),
                key.release.unwrap_or(0),
                key.input.as_str(),
                &key.output,
                key.options.as_str(),
            ),
            |row| row.get(0),
        )
        .optional()?)
}

fn read_one(connection: &Connection, id: i64) -> Result<RunRecord, Fault> {
    let found = connection.prepare_cached(RECORDS)?.query_row([id], |row| Ok(read_record(row))).optional()?;
    found.unwrap_or_else(|| Err(StoreError::NoSuch { what: "run", number: id }.into()))
}

fn read_record(row: &Row<'_>) -> Result<RunRecord, Fault> {
    let release: u32 = row.get("release")?;
    Ok(RunRecord {
        id: row.get("id")?,
        key: RunKey {
            task: row.get::<_, String>("task")?.into(),
            release: (release > 0).then_some(release),
            input: hash(row, "input")?,
            output: row.get("output")?,
            options: hash(row, "options")?,
        },
        begun_unix_ms: row.get("begun_unix_ms")?,
        finished_unix_ms: row.get("finished_unix_ms")?,
        rows_done: count(row, "rows_done")?,
    })
}

fn read_row(row: &Row<'_>) -> Result<RunRow, Fault> {
    Ok(RunRow {
        row: count(row, "row")?,
        answer: from_json_option("answer", row.get("answer")?)?,
        steps: from_json("steps", &row.get::<_, String>("steps")?)?,
        cost: money_option(row, "cost")?,
    })
}
