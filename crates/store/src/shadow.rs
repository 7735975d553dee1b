//! What watching releases would have done: sums by the hour, no text.

use rusqlite::{Connection, Row, named_params};
use serde::Serialize;
use sprat_task::{Money, ReleaseId, TaskName};

use crate::columns::{count, signed};
use crate::error::{Fault, StoreError};
use crate::ledger::Totals;
use crate::store::Store;

/// What is remembered of releases that watched.
#[derive(Clone, Copy)]
pub struct ShadowBook<'a> {
    pub(super) store: &'a Store,
}

/// How a release that watched would have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowSums {
    /// Requests that it was asked about.
    pub requests: u64,
    /// Of these, those it was sure enough of to answer.
    pub would_answer: u64,
    /// Of those, the ones of which it is known what was answered.
    pub compared: u64,
    /// Of those, the ones that it would have answered the same.
    pub agreed: u64,
    /// Requests with its own answer, sure or not, and a known one beside it.
    pub all_compared: u64,
    /// Of these, those with the same answer.
    pub all_agreed: u64,
    /// Requests that there was no room to ask it about.
    pub skipped: u64,
}

/// What a release saw in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowHour {
    /// The release that watched.
    pub release: ReleaseId,
    /// The time in milliseconds since 1970, divided by 3,600,000.
    pub hour: i64,
    /// What came in that hour since it was last kept.
    pub sums: ShadowSums,
}

impl ShadowSums {
    /// Share of requests that it would have answered; `None` before there are any.
    pub fn coverage(&self) -> Option<f64> {
        share(self.would_answer, self.requests)
    }

    /// Of what it would have answered, the share that was answered the same; `None` where nothing could be compared.
    pub fn agreement(&self) -> Option<f64> {
        share(self.agreed, self.compared)
    }

    /// The same over every request, sure or not.
    pub fn agreement_of_all(&self) -> Option<f64> {
        share(self.all_agreed, self.all_compared)
    }

    /// What it would have saved: what the large model alone costs a request, by those served whose price is known, for each
    /// that it would have answered. `None` where no price is known.
    pub fn saving(&self, served: &Totals) -> Option<Money> {
        let priced = served.requests.saturating_sub(served.baseline_unknown);
        if priced == 0 {
            return None;
        }
        let all = i128::from(served.baseline.micro()) * i128::from(self.would_answer);
        i64::try_from(all / i128::from(priced)).ok().map(Money::from_micro)
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            would_answer: self.would_answer + other.would_answer,
            compared: self.compared + other.compared,
            agreed: self.agreed + other.agreed,
            all_compared: self.all_compared + other.all_compared,
            all_agreed: self.all_agreed + other.all_agreed,
            skipped: self.skipped + other.skipped,
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl ShadowBook<'_> {
    /// Adds what has come since the last time.
    pub fn add(&self, hours: &[ShadowHour]) -> Result<(), StoreError> {
        let hours = hours.to_vec();
        self.store.write(move |connection| hours.iter().try_for_each(|hour| add(connection, hour)))
    }

    /// Everything a release has seen.
    pub fn of(&self, release: &ReleaseId) -> Result<ShadowSums, StoreError> {
        let all = self.of_task(&release.task)?;
        Ok(all.into_iter().find(|(id, _)| id == release).map(|(_, sums)| sums).unwrap_or_default())
    }

    /// Everything that releases of a task have seen, newest release first; those that never watched are left out.
    pub fn of_task(&self, task: &TaskName) -> Result<Vec<(ReleaseId, ShadowSums)>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT version, sum(requests) AS requests, sum(would_answer) AS would_answer,
                        sum(compared) AS compared, sum(agreed) AS agreed, sum(all_compared) AS all_compared,
                        sum(all_agreed) AS all_agreed, sum(skipped) AS skipped
                 FROM shadow_hour WHERE task = ?1 GROUP BY version ORDER BY version DESC",
            )?;
            let read = |row: &Row<'_>| {
                Ok((ReleaseId { task: task.clone(), version: row.get("version")? }, read_sums(row)?))
            };
            Ok(statement.query_map([task.as_str()], read)?.collect::<Result<_, _>>()?)
        })
    }
}

fn add(connection: &Connection, hour: &ShadowHour) -> Result<(), Fault> {
    let sums = &hour.sums;
    connection
        .prepare_cached(
            "INSERT INTO shadow_hour (task, version, hour, requests, would_answer, compared, agreed, all_compared,
                                      all_agreed, skipped)
             VALUES (:task, :version, :hour, :requests, :would_answer, :compared, :agreed, :all_compared,
                     :all_agreed, :skipped)
             ON CONFLICT (task, version, hour) DO UPDATE SET
                 requests = requests + excluded.requests, would_answer = would_answer + excluded.would_answer,
                 compared = compared + excluded.compared, agreed = agreed + excluded.agreed,
                 all_compared = all_compared + excluded.all_compared, all_agreed = all_agreed + excluded.all_agreed,
                 skipped = skipped + excluded.skipped",
        )?
        .execute(named_params! {
            ":task": hour.release.task.as_str(),
            ":version": hour.release.version,
            ":hour": hour.hour,
            ":requests": signed(sums.requests),
            ":would_answer": signed(sums.would_answer),
            ":compared": signed(sums.compared),
            ":agreed": signed(sums.agreed),
            ":all_compared": signed(sums.all_compared),
            ":all_agreed": signed(sums.all_agreed),
            ":skipped": signed(sums.skipped),
        })?;
    Ok(())
}

fn read_sums(row: &Row<'_>) -> rusqlite::Result<ShadowSums> {
    Ok(ShadowSums {
        requests: count(row, "requests")?,
        would_answer: count(row, "would_answer")?,
        compared: count(row, "compared")?,
        agreed: count(row, "agreed")?,
        all_compared: count(row, "all_compared")?,
        all_agreed: count(row, "all_agreed")?,
        skipped: count(row, "skipped")?,
    })
}
