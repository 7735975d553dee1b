//! What every request did and cost. No text: who answered, in which steps, for how much, how fast.

mod by_key;
mod entry;
mod latency;
mod rollup;
mod search;
#[cfg(test)]
mod tests;
mod totals;

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, named_params};
use sprat_task::{ReleaseId, RequestId, TaskName};

use crate::columns::{count, from_json, from_word, money_option, signed, to_json, to_word, unsigned};
use crate::error::{Fault, StoreError};
use crate::spool::{Batch, End, Lost};
use crate::store::Store;
use crate::writer::ENOUGH_RECORDS;

pub use by_key::KeyTotals;
pub use entry::{Ending, LedgerEntry, Source, Spend};
pub use latency::Latency;
pub use search::{Found, Search};
pub use totals::{Compared, ModelTotals, Totals};

/// Milliseconds in the hour that rollups are kept by.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// What to count. The default counts everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One task only.
    pub task: Option<TaskName>,
    /// One kind of spending only.
    pub spend: Option<Spend>,
    /// Times in milliseconds since 1970. Sums are kept by the hour: every hour that the range touches counts whole.
    pub period: Option<Range<i64>>,
}

/// The ledger of a store.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    pub(super) store: &'a Store,
}

impl Ledger<'_> {
    /// Records one request. Returns as soon as the record is in the spool, where it survives the process
    /// (see [`SpoolSync`](crate::SpoolSync) for what a power cut may lose). An error means that this record is lost; it
    /// is counted as such, and the caller can go on.
    pub fn append(&self, entry: &LedgerEntry) -> Result<(), StoreError> {
        let parts = self.store.parts();
        let appended = match serde_json::to_vec(entry) {
            Ok(payload) => parts.spool.append(&payload),
            Err(error) => Err(StoreError::Damaged { what: "ledger entry", why: error.to_string() }),
        };
        match appended {
            Ok(gathered) => {
                if gathered == 1 || gathered == ENOUGH_RECORDS {
                    parts.writer.nudge();
                }
                Ok(())
            }
            Err(error) => {
                // Once is enough: a writer that can't write tries again by itself, and its inbox must not grow.
                if parts.spool.lose(entry.task.clone(), entry.time_unix_ms.div_euclid(HOUR_MS)) {
                    parts.writer.nudge();
                }
                Err(error)
            }
        }
    }

    /// Returns when everything appended through this store so far is in the database.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.store.parts().writer.settle()
    }

    /// How many records of this store wait in the spool because the database could not take them; 0 ordinarily.
    pub fn waiting(&self) -> Result<u64, StoreError> {
        self.store.parts().spool.count_waiting()
    }

    /// Why they wait.
    pub fn trouble(&self) -> Option<StoreError> {
        self.store.parts().spool.trouble()
    }

    /// The last `n` records that reached the database, newest first.
    pub fn latest(&self, task: Option<&TaskName>, n: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        self.up_to_date();
        self.store.read(|connection| {
            let sql = match task {
                Some(_) => "SELECT * FROM ledger WHERE task = :task ORDER BY id DESC LIMIT :n",
                None => "SELECT * FROM ledger WHERE :task IS NULL ORDER BY id DESC LIMIT :n",
            };
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement
                .query(named_params! { ":task": task.map(TaskName::as_str), ":n": signed(n as u64) })?;
            read_entries(&mut rows)
        })
    }

    /// When a task's first record was made, in milliseconds since 1970, to the hour; `None` before there is one.
    pub fn first_of(&self, task: &TaskName) -> Result<Option<i64>, StoreError> {
        self.store.read(|connection| {
            let hour: Option<i64> = connection
                .prepare_cached("SELECT min(hour) FROM ledger_hour WHERE task = ?1")?
                .query_row([task.as_str()], |row| row.get(0))?;
            Ok(hour.map(|hour| hour * HOUR_MS))
        })
    }

    /// All records of a request, oldest first: its answer, and later its audit. Empty where nobody knows it.
    pub fn request(&self, id: &RequestId) -> Result<Vec<LedgerEntry>, StoreError> {
        self.up_to_date();
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM ledger WHERE request = ?1 ORDER BY id")?;
            let mut rows = statement.query([id.as_str()])?;
            read_entries(&mut rows)
        })
    }

    /// What was just appended should be seen by who asks next. Where the database can't take it, the sums say how many
    /// records wait.
    fn up_to_date(&self) {
        let _ = self.settle();
    }
}

/// Moves a batch of the spool into the tables, with the offset it reaches and the losses, in one transaction. Returns
/// how far the segment has been taken over.
pub(crate) fn take_over(
    connection: &mut Connection,
    batch: Option<&Batch>,
    lost: &Lost,
) -> Result<u64, Fault> {
    let group = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for ((task, hour), number) in lost {
        count_lost(&group, task.as_str(), *hour, "spool", *number)?;
    }
    let reached = batch.map_or(Ok(0), |batch| take_over_batch(&group, batch))?;
    group.commit()?;
    Ok(reached)
}

fn take_over_batch(group: &Connection, batch: &Batch) -> Result<u64, Fault> {
    let applied: Option<i64> = group
        .prepare_cached("SELECT applied FROM spool_segment WHERE name = ?1")?
        .query_row([&batch.segment], |row| row.get(0))
        .optional()?;
    let applied = unsigned(applied.unwrap_or(0));
    if applied != batch.from {
        // A commit that reported an error had succeeded. Begin again from where it got to.
        return Ok(applied);
    }
    let mut sums = rollup::Sums::default();
    for (start, payload) in &batch.records {
        match serde_json::from_slice::<LedgerEntry>(payload) {
            Ok(entry) => {
                insert(group, &entry)?;
                sums.add(&entry)?;
            }
            Err(error) => keep_unreadable(group, batch, *start, &error, payload)?,
        }
    }
    sums.write(group)?;
    match batch.end {
        Some(End::Torn) => count_lost(group, "", 0, "torn", 1)?,
        Some(End::Damaged) => count_lost(group, "", 0, "damaged", 1)?,
        None => {}
    }
    group
        .prepare_cached(
            "INSERT INTO spool_segment (name, applied) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET applied = excluded.applied",
        )?
        .execute((&batch.segment, signed(batch.until)))?;
    Ok(batch.until)
}

fn insert(group: &Connection, entry: &LedgerEntry) -> Result<(), Fault> {
    group
        .prepare_cached(
            "INSERT INTO ledger (request, task, release, time_unix_ms, source, ending, answered_by, cost, baseline,
                                 baseline_is_estimated, provenance, latency_us, steps, key, held)
             VALUES (:request, :task, :release, :time, :source, :ending, :answered_by, :cost, :baseline,
                     :estimated, :provenance, :latency, :steps, :key, :held)",
        )?
        .execute(named_params! {
            ":request": entry.request.as_str(),
            ":task": entry.task.as_str(),
            ":release": entry.release.as_ref().map(|id| id.version),
            ":time": entry.time_unix_ms,
            ":source": entry.source.word(),
            ":ending": entry.ending.word(),
            ":answered_by": entry.answered_by.as_ref().map(|model| model.as_str()),
            ":cost": entry.cost.map(|cost| cost.micro()),
            ":baseline": entry.baseline_all_large.map(|cost| cost.micro()),
            ":estimated": entry.baseline_is_estimated,
            ":provenance": to_word("provenance", &entry.provenance)?,
            ":latency": signed(entry.latency_us),
            ":steps": to_json("steps", &entry.steps)?,
            ":key": entry.key.as_ref().map(|key| key.as_str()),
            ":held": entry.held.map(|held| held.micro()),
        })?;
    Ok(())
}

fn keep_unreadable(
    group: &Connection,
    batch: &Batch,
    start: u64,
    error: &serde_json::Error,
    payload: &[u8],
) -> Result<(), Fault> {
    group.execute(
        "INSERT INTO spool_unreadable (segment, start, why, payload) VALUES (?1, ?2, ?3, ?4)",
        (&batch.segment, signed(start), error.to_string(), payload),
    )?;
    count_lost(group, "", 0, "unreadable", 1)
}

fn count_lost(group: &Connection, task: &str, hour: i64, why: &str, number: u64) -> Result<(), Fault> {
    group
        .prepare_cached(
            "INSERT INTO ledger_lost (task, hour, why, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (task, hour, why) DO UPDATE SET count = count + excluded.count",
        )?
        .execute((task, hour, why, signed(number)))?;
    Ok(())
}

fn read_entries(rows: &mut rusqlite::Rows<'_>) -> Result<Vec<LedgerEntry>, Fault> {
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(row)?);
    }
    Ok(entries)
}

fn read_entry(row: &Row<'_>) -> Result<LedgerEntry, Fault> {
    let task = TaskName::from(row.get::<_, String>("task")?);
    let version: Option<u32> = row.get("release")?;
    Ok(LedgerEntry {
        request: RequestId::from(row.get::<_, String>("request")?),
        release: version.map(|version| ReleaseId { task: task.clone(), version }),
        task,
        time_unix_ms: row.get("time_unix_ms")?,
        source: from_word("source", row.get("source")?)?,
        ending: from_word("ending", row.get("ending")?)?,
        answered_by: row.get::<_, Option<String>>("answered_by")?.map(Into::into),
        cost: money_option(row, "cost")?,
        baseline_all_large: money_option(row, "baseline")?,
        baseline_is_estimated: row.get("baseline_is_estimated")?,
        provenance: from_word("provenance", row.get("provenance")?)?,
        latency_us: count(row, "latency_us")?,
        steps: from_json("steps", &row.get::<_, String>("steps")?)?,
        key: row.get::<_, Option<String>>("key")?.map(Into::into),
        held: money_option(row, "held")?,
    })
}
