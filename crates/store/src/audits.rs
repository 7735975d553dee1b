//! Small answers held against the large model's and people's, in the order in which they were drawn.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sprat_task::{Answer, Confidence, ReleaseId, RequestId, Slice, TaskName};

use crate::columns::{count, from_json, from_json_option, signed, to_json, to_json_option};
use crate::error::{Fault, StoreError};
use crate::store::Store;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The audits of a store.
#[derive(Clone, Copy)]
pub struct Audits<'a> {
    pub(super) store: &'a Store,
}

/// A small answer that is to be checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAudit {
    /// The release that gave it.
    pub release: ReleaseId,
    /// The request it was given to.
    pub request: RequestId,
    /// The slice that kept it back, so that the large model answered instead; `None` where it was given.
    pub held: Option<Slice>,
    /// The small answer.
    pub small: Answer,
    /// The request's values of the metadata keys that the task slices by.
    pub groups: BTreeMap<String, String>,
    /// How sure the small models were.
    pub confidence: Confidence,
    /// The probability with which it was drawn, above 0 and at most 1.
    pub propensity: f64,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

/// An audit, as far as it has got.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// Its number: greater was drawn later.
    pub id: i64,
    /// As it was drawn.
    pub drawn: NewAudit,
    /// What became of asking the large model; `None` while it is under way.
    pub large: Option<Result<Answer, String>>,
    /// What a person said.
    pub gold: Option<Answer>,
}

impl Audit {
    /// Whether the small answer differs from the large model's; `None` where that isn't known.
    pub fn differs(&self) -> Option<bool> {
        self.large.as_ref()?.as_ref().ok().map(|large| *large != self.drawn.small)
    }

    /// Whether people say that the small answer is wrong; `None` where nobody has said anything.
    pub fn is_wrong(&self) -> Option<bool> {
        self.gold.as_ref().map(|gold| *gold != self.drawn.small)
    }

    /// The slices it belongs to.
    pub fn slices(&self) -> Vec<Slice> {
        Slice::of(&self.drawn.small, &self.drawn.groups)
    }
}

/// How many audits there are of a release's given answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditCounts {
    /// Drawn.
    pub drawn: u64,
    /// Of these, the large model's answer is known.
    pub answered: u64,
    /// Of these, small and large differ.
    pub differing: u64,
    /// The large model could not be asked, or had no answer.
    pub missing: u64,
    /// A person has labelled it.
    pub labelled: u64,
}

impl Audits<'_> {
    /// Draws one. Gives its number.
    pub fn draw(&self, audit: &NewAudit) -> Result<i64, StoreError> {
        self.insert(audit, None)
    }

    /// Enters a small answer that was kept back, beside what the large model answered instead.
    pub fn compare(&self, audit: &NewAudit, large: &Answer) -> Result<i64, StoreError> {
        self.insert(audit, Some(large))
    }

    fn insert(&self, audit: &NewAudit, large: Option<&Answer>) -> Result<i64, StoreError> {
        let (audit, large) = (audit.clone(), large.cloned());
        self.store.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO audit (task, release, request, held, small, slice_groups, confidence, propensity,
                                        drawn_unix_ms, large, settled_unix_ms)
                     VALUES (:task, :release, :request, :held, :small, :groups, :confidence, :propensity, :time,
                             :large, :settled)",
                )?
                .execute(named_params! {
                    ":task": audit.release.task.as_str(),
                    ":release": audit.release.version,
                    ":request": audit.request.as_str(),
                    ":held": to_json_option("slice", audit.held.as_ref())?,
                    ":small": to_json("answer", &audit.small)?,
                    ":groups": to_json("groups", &audit.groups)?,
                    ":confidence": audit.confidence.get(),
                    ":propensity": audit.propensity,
                    ":time": audit.time_unix_ms,
                    ":large": to_json_option("answer", large.as_ref())?,
                    ":settled": large.as_ref().map(|_| audit.time_unix_ms),
                })?;
            Ok(connection.last_insert_rowid())
        })
    }

    /// Enters what the large model answered; an error says why it didn't.
    pub fn settle(&self, id: i64, large: Result<&Answer, &str>, time_unix_ms: i64) -> Result<(), StoreError> {
        let (large, missing) = (large.ok().cloned(), large.err().map(str::to_owned));
        self.store.write(move |connection| {
            let changed = connection.execute(
                "UPDATE audit SET large = ?2, missing = ?3, settled_unix_ms = ?4 WHERE id = ?1",
                (id, to_json_option("answer", large.as_ref())?, missing, time_unix_ms),
            )?;
            match changed {
                0 => Err(StoreError::NoSuch { what: "audit", number: id }.into()),
                _ => Ok(()),
            }
        })
    }

    /// The audits of a release that were drawn after one, in that order, at most `n`. 0 begins with the first.
    pub fn after(&self, release: &ReleaseId, id: i64, n: usize) -> Result<Vec<Audit>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT audit.*, review.label AS gold FROM audit
                 LEFT JOIN review ON review.request = audit.request AND review.task = audit.task
                      AND review.reason = 'audit'
                 WHERE audit.task = ?1 AND audit.release = ?2 AND audit.id > ?3 ORDER BY audit.id LIMIT ?4",
            )?;
            let mut rows = statement.query((release.task.as_str(), release.version, id, signed(n as u64)))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read_audit(row)?);
            }
            Ok(found)
        })
    }

    /// The number of the last audit of a task's; 0 where there is none.
    pub fn last(&self, task: &TaskName) -> Result<i64, StoreError> {
        self.store.read(|connection| {
            let sql = "SELECT coalesce(max(id), 0) FROM audit WHERE task = ?1";
            Ok(connection.query_row(sql, [task.as_str()], |row| row.get(0))?)
        })
    }

    /// Keeps how a release's alarms stand, for whoever shows it.
    pub fn keep_watched(
        &self,
        release: &ReleaseId,
        watched: &impl Serialize,
        time_unix_ms: i64,
    ) -> Result<(), StoreError> {
        let release = release.clone();
        let json = serde_json::to_string(watched)
            .map_err(|error| StoreError::Damaged { what: "watched", why: error.to_string() })?;
        self.store.write(move |connection| {
            connection.execute(
                "INSERT INTO watched (task, release, time_unix_ms, json) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (task, release) DO UPDATE SET time_unix_ms = excluded.time_unix_ms, json = excluded.json",
                (release.task.as_str(), release.version, time_unix_ms, json),
            )?;
            Ok(())
        })
    }

    /// How a release's alarms stood, and when that was; `None` where nobody has watched it.
    pub fn watched<T: DeserializeOwned>(&self, release: &ReleaseId) -> Result<Option<(T, i64)>, StoreError> {
        self.store.read(|connection| {
            let found: Option<(String, i64)> = connection
                .prepare_cached("SELECT json, time_unix_ms FROM watched WHERE task = ?1 AND release = ?2")?
                .query_row((release.task.as_str(), release.version), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            found.map(|(json, time)| Ok((from_json("watched", &json)?, time))).transpose()
        })
    }

    /// How many answers that a release gave are checked in a day, by the last one as far as it was observed.
    pub fn per_day(&self, release: &ReleaseId, now_unix_ms: i64) -> Result<f64, StoreError> {
        let drawn = self.counts(release, now_unix_ms.saturating_sub(DAY_MS))?.drawn;
        let first: Option<i64> = self.store.read(|connection| {
            let sql = "SELECT drawn_unix_ms FROM audit WHERE task = ?1 AND release = ?2 AND held IS NULL ORDER BY id LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row((release.task.as_str(), release.version), |row| row.get(0)).optional()?)
        })?;
        let observed = first.map(|first| now_unix_ms.saturating_sub(first).clamp(HOUR_MS, DAY_MS));
        Ok(observed.map_or(0.0, |observed| drawn as f64 * DAY_MS as f64 / observed as f64))
    }

    /// How many answers that a release gave since then were checked.
    pub fn counts(&self, release: &ReleaseId, since_unix_ms: i64) -> Result<AuditCounts, StoreError> {
        self.store.read(|connection| {
            Ok(connection.query_row(
                "SELECT count(*) AS drawn, count(audit.large) AS answered,
                        coalesce(sum(audit.large <> audit.small), 0) AS differing,
                        count(audit.missing) AS missing, count(review.label) AS labelled
                 FROM audit
                 LEFT JOIN review ON review.request = audit.request AND review.task = audit.task
                      AND review.reason = 'audit'
                 WHERE audit.task = ?1 AND audit.release = ?2 AND held IS NULL AND drawn_unix_ms >= ?3",
                (release.task.as_str(), release.version, since_unix_ms),
                |row| {
                    Ok(AuditCounts {
                        drawn: count(row, "drawn")?,
                        answered: count(row, "answered")?,
                        differing: count(row, "differing")?,
                        missing: count(row, "missing")?,
                        labelled: count(row, "labelled")?,
                    })
                },
            )?)
        })
    }
}

fn read_audit(row: &Row<'_>) -> Result<Audit, Fault> {
    let task = TaskName::from(row.get::<_, String>("task")?);
    let large: Option<Answer> = from_json_option("answer", row.get("large")?)?;
    let missing: Option<String> = row.get("missing")?;
    Ok(Audit {
        id: row.get("id")?,
        drawn: NewAudit {
            release: ReleaseId { task, version: row.get("release")? },
            request: row.get::<_, String>("request")?.into(),
            held: from_json_option("slice", row.get("held")?)?,
            small: from_json("answer", &row.get::<_, String>("small")?)?,
            groups: from_json("groups", &row.get::<_, String>("slice_groups")?)?,
            confidence: Confidence::new(row.get("confidence")?),
            propensity: row.get("propensity")?,
            time_unix_ms: row.get("drawn_unix_ms")?,
        },
        large: large.map(Ok).or(missing.map(Err)),
        // Beside what was kept of the small answer, which has no words either.
        gold: from_json_option("answer", row.get("gold")?)?.map(|gold: Answer| gold.without_words()),
    })
}
