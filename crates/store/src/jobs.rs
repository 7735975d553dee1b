//! Work that somebody asked for and a worker does. A worker holds a job by a lease: when it dies, the lease runs out
//! and another takes the job.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use sprat_task::TaskName;

use crate::columns::{from_json, from_word, to_json, to_word};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The jobs of a store.
#[derive(Clone, Copy)]
pub struct Jobs<'a> {
    pub(super) store: &'a Store,
}

/// A job to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// What sort of work, such as `retrain`.
    pub kind: String,
    /// The task it is about.
    pub task: Option<TaskName>,
    /// What the worker needs to know.
    pub payload: serde_json::Value,
    /// How often it is tried before it is given up, at least 1.
    pub max_attempts: u32,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Nobody has it.
    Waiting,
    /// A worker has it.
    Running,
    /// It is done.
    Done,
    /// It was tried as often as it may be.
    Failed,
}

/// A job, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What was asked for.
    pub job: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// When it was asked for, in milliseconds since 1970.
    pub inserted_unix_ms: i64,
    /// How often it has been begun; also what tells one worker's attempt from the next one's.
    pub attempts: u32,
    /// Who has it, or had it last.
    pub worker: Option<String>,
    /// Until when it is that worker's.
    pub lease_until_ms: Option<i64>,
    /// When it was done or given up.
    pub ended_unix_ms: Option<i64>,
    /// Its result where it is done, otherwise why the last attempt failed.
    pub outcome: Option<serde_json::Value>,
}

impl Jobs<'_> {
    /// Asks for work; returns the job's number.
    pub fn insert(&self, job: &NewJob, time_unix_ms: i64) -> Result<i64, StoreError> {
        let job = job.clone();
        self.store.write(move |connection| {
            Ok(connection.query_row(
                "INSERT INTO job (kind, task, payload, state, inserted_unix_ms, attempts, max_attempts)
                 VALUES (?1, ?2, ?3, 'waiting', ?4, 0, ?5) RETURNING id",
                (
                    &job.kind,
                    job.task.as_ref().map(TaskName::as_str),
                    to_json("payload", &job.payload)?,
                    time_unix_ms,
                    job.max_attempts.max(1),
                ),
                |row| row.get(0),
            )?)
        })
    }

    /// Takes the oldest job of one of these kinds that waits or whose worker's lease has run out; `None` where there is
    /// none. It is this worker's until `now + lease_ms`.
    pub fn claim(
        &self,
        worker: &str,
        kinds: &[&str],
        lease_ms: i64,
        now_unix_ms: i64,
    ) -> Result<Option<Job>, StoreError> {
        let worker = worker.to_owned();
        let kinds = to_json_kinds(kinds);
        self.store.write(move |connection| {
            give_up_dead(connection, now_unix_ms)?;
            let claimed: Option<i64> = connection
                .prepare_cached(
                    "UPDATE job SET state = 'running', worker = ?1, lease_until_ms = ?2, attempts = attempts + 1
                     WHERE id = (SELECT id FROM job
                                 WHERE (state = 'waiting' OR (state = 'running' AND lease_until_ms <= ?3))
                                   AND kind IN (SELECT value FROM json_each(?4))
                                 ORDER BY id LIMIT 1)
                     RETURNING id",
                )?
                .query_row((&worker, now_unix_ms.saturating_add(lease_ms), now_unix_ms, &kinds), |row| {
                    row.get(0)
                })
                .optional()?;
            claimed.map(|id| read_job(connection, id)).transpose()
        })
    }

    /// Says that the worker is alive: the job is its own for another `lease_ms`. Fails with
    /// [`StoreError::LeaseLost`] where somebody else has it by now; the worker should stop.
    pub fn heartbeat(&self, job: &Job, lease_ms: i64, now_unix_ms: i64) -> Result<(), StoreError> {
        let mine = Mine::of(job);
        self.store.write(move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE job SET lease_until_ms = ?3 WHERE id = ?1 AND attempts = ?2 AND state = 'running'",
                )?
                .execute((mine.id, mine.attempt, now_unix_ms.saturating_add(lease_ms)))?;
            mine.must(changed)
        })
    }

    /// Says that the job is done, and with what result.
    pub fn finish(&self, job: &Job, result: &serde_json::Value, now_unix_ms: i64) -> Result<(), StoreError> {
        let (mine, result) = (Mine::of(job), result.clone());
        self.store.write(move |connection| {
            let changed = connection.execute(
                "UPDATE job SET state = 'done', ended_unix_ms = ?3, outcome = ?4, lease_until_ms = NULL
                 WHERE id = ?1 AND attempts = ?2 AND state = 'running'",
                (mine.id, mine.attempt, now_unix_ms, to_json("result", &result)?),
            )?;
            mine.must(changed)
        })
    }

    /// Says that the attempt failed, and why. The job waits for another attempt, or is given up; returns which.
    pub fn fail(&self, job: &Job, why: &str, now_unix_ms: i64) -> Result<JobState, StoreError> {
        let (mine, why) = (Mine::of(job), why.to_owned());
        let state = match job.attempts >= job.job.max_attempts {
            true => JobState::Failed,
            false => JobState::Waiting,
        };
        self.store.write(move |connection| {
            let ended = (state == JobState::Failed).then_some(now_unix_ms);
            let changed = connection.execute(
                "UPDATE job SET state = ?3, ended_unix_ms = ?4, outcome = ?5, lease_until_ms = NULL
                 WHERE id = ?1 AND attempts = ?2 AND state = 'running'",
                (mine.id, mine.attempt, to_word("state", &state)?, ended, to_json("reason", &why)?),
            )?;
            mine.must(changed)?;
            Ok(state)
        })
    }

    /// A job by its number.
    pub fn get(&self, id: i64) -> Result<Job, StoreError> {
        self.store.read(|connection| read_job(connection, id))
    }

    /// The last `n` jobs, newest first.
    pub fn latest(&self, n: usize) -> Result<Vec<Job>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM job ORDER BY id DESC LIMIT ?1")?;
            let mut rows = statement.query([crate::columns::signed(n as u64)])?;
            let mut jobs = Vec::new();
            while let Some(row) = rows.next()? {
                jobs.push(read_row(row)?);
            }
            Ok(jobs)
        })
    }
}

/// One worker's attempt at one job.
struct Mine {
    id: i64,
    attempt: u32,
}

impl Mine {
    fn of(job: &Job) -> Self {
        Self { id: job.id, attempt: job.attempts }
    }

    fn must(&self, changed: usize) -> Result<(), Fault> {
        if changed == 0 { Err(StoreError::LeaseLost { job: self.id }.into()) } else { Ok(()) }
    }
}

fn to_json_kinds(kinds: &[&str]) -> String {
    serde_json::Value::from(kinds.to_vec()).to_string()
}

/// A job whose workers all died is given up after as many attempts as it may have.
fn give_up_dead(connection: &Connection, now_unix_ms: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE job SET state = 'failed', ended_unix_ms = ?1, lease_until_ms = NULL, outcome = ?2
             WHERE state = 'running' AND lease_until_ms <= ?1 AND attempts >= max_attempts",
        )?
        .execute((now_unix_ms, to_json("reason", &"the worker died at it")?))?;
    Ok(())
}

fn read_job(connection: &Connection, id: i64) -> Result<Job, Fault> {
    let found = connection
        .prepare_cached("SELECT * FROM job WHERE id = ?1")?
        .query_row([id], |row| Ok(read_row(row)))
        .optional()?;
    found.unwrap_or_else(|| Err(StoreError::NoSuch { what: "job", number: id }.into()))
}

fn read_row(row: &Row<'_>) -> Result<Job, Fault> {
    let outcome: Option<String> = row.get("outcome")?;
    Ok(Job {
        id: row.get("id")?,
        job: NewJob {
            kind: row.get("kind")?,
            task: row.get::<_, Option<String>>("task")?.map(Into::into),
            payload: from_json("payload", &row.get::<_, String>("payload")?)?,
            max_attempts: row.get("max_attempts")?,
        },
        state: from_word("state", row.get("state")?)?,
        inserted_unix_ms: row.get("inserted_unix_ms")?,
        attempts: row.get("attempts")?,
        worker: row.get("worker")?,
        lease_until_ms: row.get("lease_until_ms")?,
        ended_unix_ms: row.get("ended_unix_ms")?,
        outcome: outcome.map(|text| from_json("outcome", &text)).transpose()?,
    })
}
