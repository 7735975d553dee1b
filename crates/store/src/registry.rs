//! Releases, which of them is live, canary or shadow, and how that came about.

mod beside;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use sprat_task::{Certificate, Release, ReleaseId, Share, TaskName};

use crate::columns::{from_json, from_word, to_json, unsigned};
use crate::error::{Fault, StoreError};
use crate::store::Store;

pub use beside::{Beside, Canary};

/// The registry of a store.
#[derive(Clone, Copy)]
pub struct Registry<'a> {
    pub(super) store: &'a Store,
}

/// What is live for one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// The release that answers.
    pub live: ReleaseId,
    /// What a rollback would bring back.
    pub previous: Option<ReleaseId>,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: i64,
}

/// What was done to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A release was made live.
    Promote,
    /// The one before was made live again.
    Rollback,
    /// A release began to answer a share of the traffic, or another share than before.
    Canary,
    /// It answers none of it any more, or all.
    EndCanary,
    /// A release began to watch.
    Shadow,
    /// It watches no more.
    EndShadow,
}

impl Action {
    /// As in the history and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Canary => "canary",
            Self::EndCanary => "end-canary",
            Self::Shadow => "shadow",
            Self::EndShadow => "end-shadow",
        }
    }
}

/// One change of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeploymentRecord {
    /// What was done.
    pub action: Action,
    /// The release it is about: the one that has the role afterwards, or whose role has ended.
    pub release: ReleaseId,
    /// Which one had the role before; `None` where none had, and where the role has ended.
    pub from: Option<ReleaseId>,
    /// The share of the traffic that a canary was given.
    pub share: Option<Share>,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Why, in a sentence.
    pub reason: String,
}

/// One state of a release's certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CertificateRecord {
    /// As it was then.
    pub certificate: Certificate,
    /// Since when, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Why it changed: made, another look, stale, alarmed.
    pub why: String,
}

impl Registry<'_> {
    /// A number for a new release that nobody else gets, also where the release is never added.
    pub fn next_version(&self, task: &TaskName) -> Result<u32, StoreError> {
        let task = task.clone();
        self.store.write(move |connection| {
            Ok(connection.query_row(
                "INSERT INTO release_counter (task, last)
                 VALUES (?1, 1 + (SELECT coalesce(max(version), 0) FROM release WHERE task = ?1))
                 ON CONFLICT (task) DO UPDATE SET last = max(last + 1, excluded.last) RETURNING last",
                [task.as_str()],
                |row| row.get(0),
            )?)
        })
    }

    /// Adds a release; it isn't live yet. Adding the same release again does nothing.
    pub fn add(&self, release: &Release) -> Result<(), StoreError> {
        let release = release.clone();
        self.store.write(move |connection| {
            let json = to_json("release", &release)?;
            match stored_json(connection, &release.id)? {
                Some(there) if there == json => return Ok(()),
                Some(_) => return Err(StoreError::ReleaseExists(release.id.clone()).into()),
                None => {}
            }
            connection.execute(
                "INSERT INTO release (task, version, created_unix_ms, status, json) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    release.id.task.as_str(),
                    release.id.version,
                    release.created_unix_ms,
                    release.certificate.status.word(),
                    json,
                ),
            )?;
            for certificate in std::iter::once(&release.certificate).chain(&release.other_certificates) {
                keep_certificate(connection, &release.id, certificate, release.created_unix_ms, "made")?;
            }
            raise_generation(connection)
        })
    }

    /// A release.
    pub fn release(&self, id: &ReleaseId) -> Result<Release, StoreError> {
        self.store.read(|connection| read_release(connection, id))
    }

    /// All releases of a task, newest first.
    pub fn releases(&self, task: &TaskName) -> Result<Vec<Release>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT json FROM release WHERE task = ?1 ORDER BY version DESC")?;
            let texts = statement
                .query_map([task.as_str()], |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            texts.iter().map(|text| from_json("release", text)).collect()
        })
    }

    /// Makes a release live; it is no longer a canary or shadow then. Promoting what is live already does nothing.
    pub fn promote(&self, id: &ReleaseId, reason: &str, time_unix_ms: i64) -> Result<Deployment, StoreError> {
        let (id, reason) = (id.clone(), reason.to_owned());
        self.store.write(move |connection| {
            if stored_json(connection, &id)?.is_none() {
                return Err(StoreError::NoRelease(id).into());
            }
            let before = read_deployment(connection, &id.task)?;
            if let Some(before) = before.as_ref().filter(|before| before.live == id) {
                return Ok(before.clone());
            }
            connection.execute(
                "INSERT INTO deployment (task, depth, version, time_unix_ms)
                 VALUES (?1, 1 + (SELECT coalesce(max(depth), 0) FROM deployment WHERE task = ?1), ?2, ?3)",
                (id.task.as_str(), id.version, time_unix_ms),
            )?;
            let previous = before.map(|before| before.live);
            let record = DeploymentRecord {
                action: Action::Promote,
                release: id.clone(),
                from: previous.clone(),
                share: None,
                time_unix_ms,
                reason,
            };
            beside::leave(connection, &record)?;
            keep_record(connection, &record)?;
            raise_generation(connection)?;
            Ok(Deployment { live: id, previous, since_unix_ms: time_unix_ms })
        })
    }

    /// Makes the release live again that was live before the present one. Two rollbacks go back two promotions, never
    /// forth to what was just taken off. A canary stays where it is, unless it is the release that is live again.
    pub fn rollback(
        &self,
        task: &TaskName,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Deployment, StoreError> {
        let (task, reason) = (task.clone(), reason.to_owned());
        self.store.write(move |connection| {
            let Some(before) = read_deployment(connection, &task)? else {
                return Err(StoreError::NothingLive(task).into());
            };
            let Some(back_to) = before.previous else { return Err(StoreError::NothingBefore(task).into()) };
            connection.execute(
                "DELETE FROM deployment WHERE task = ?1
                 AND depth = (SELECT max(depth) FROM deployment WHERE task = ?1)",
                [task.as_str()],
            )?;
            connection.execute(
                "UPDATE deployment SET time_unix_ms = ?2 WHERE task = ?1
                 AND depth = (SELECT max(depth) FROM deployment WHERE task = ?1)",
                (task.as_str(), time_unix_ms),
            )?;
            let record = DeploymentRecord {
                action: Action::Rollback,
                release: back_to,
                from: Some(before.live),
                share: None,
                time_unix_ms,
                reason,
            };
            beside::leave(connection, &record)?;
            keep_record(connection, &record)?;
            raise_generation(connection)?;
            read_deployment(connection, &task)?.ok_or(StoreError::NothingLive(task).into())
        })
    }

    /// What is live for a task; `None` where nothing ever was.
    pub fn live(&self, task: &TaskName) -> Result<Option<Deployment>, StoreError> {
        self.store.read(|connection| read_deployment(connection, task))
    }

    /// What is live, for every task that has something live.
    pub fn deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        self.store.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT DISTINCT task FROM deployment ORDER BY task")?;
            let tasks =
                statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            let found = tasks.into_iter().map(|task| read_deployment(connection, &task.into()));
            found.filter_map(Result::transpose).collect()
        })
    }

    /// Every change of what is live, canary or shadow, newest first.
    pub fn history(&self, task: &TaskName) -> Result<Vec<DeploymentRecord>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM deployment_history WHERE task = ?1 ORDER BY id DESC")?;
            let mut rows = statement.query([task.as_str()])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(read_record(row)?);
            }
            Ok(records)
        })
    }

    /// Replaces a release's certificate of the same guarantee, or adds one of another; the earlier states are kept.
    pub fn set_certificate(
        &self,
        id: &ReleaseId,
        certificate: &Certificate,
        why: &str,
        time_unix_ms: i64,
    ) -> Result<(), StoreError> {
        let (id, certificate, why) = (id.clone(), certificate.clone(), why.to_owned());
        self.store.write(move |connection| {
            let mut release = read_release(connection, &id)?;
            let same = |other: &Certificate| other.guarantee == certificate.guarantee;
            if same(&release.certificate) {
                release.certificate = certificate.clone();
            } else if let Some(there) = release.other_certificates.iter_mut().find(|other| same(other)) {
                *there = certificate.clone();
            } else {
                release.other_certificates.push(certificate.clone());
            }
            connection.execute(
                "UPDATE release SET json = ?3, status = ?4 WHERE task = ?1 AND version = ?2",
                (
                    id.task.as_str(),
                    id.version,
                    to_json("release", &release)?,
                    release.certificate.status.word(),
                ),
            )?;
            keep_certificate(connection, &id, &certificate, time_unix_ms, &why)?;
            raise_generation(connection)
        })
    }

    /// Every state of a release's certificates, oldest first.
    pub fn certificates(&self, id: &ReleaseId) -> Result<Vec<CertificateRecord>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM certificate_history WHERE task = ?1 AND version = ?2 ORDER BY id",
            )?;
            let mut rows = statement.query((id.task.as_str(), id.version))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(CertificateRecord {
                    certificate: from_json("certificate", &row.get::<_, String>("json")?)?,
                    time_unix_ms: row.get("time_unix_ms")?,
                    why: row.get("why")?,
                });
            }
            Ok(records)
        })
    }

    /// Grows with every change of releases, certificates or what is live, canary or shadow. A server that sees it grow loads again.
    pub fn generation(&self) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            Ok(unsigned(connection.query_row("SELECT number FROM generation", [], |row| row.get(0))?))
        })
    }
}

fn stored_json(connection: &Connection, id: &ReleaseId) -> Result<Option<String>, Fault> {
    Ok(connection
        .prepare_cached("SELECT json FROM release WHERE task = ?1 AND version = ?2")?
        .query_row((id.task.as_str(), id.version), |row| row.get(0))
        .optional()?)
}

fn read_release(connection: &Connection, id: &ReleaseId) -> Result<Release, Fault> {
    match stored_json(connection, id)? {
        Some(json) => from_json("release", &json),
        None => Err(StoreError::NoRelease(id.clone()).into()),
    }
}

fn read_deployment(connection: &Connection, task: &TaskName) -> Result<Option<Deployment>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT version, time_unix_ms FROM deployment WHERE task = ?1 ORDER BY depth DESC LIMIT 2",
    )?;
    let top: Vec<(u32, i64)> = statement
        .query_map([task.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let release = |version| ReleaseId { task: task.clone(), version };
    Ok(top.first().map(|(version, since)| Deployment {
        live: release(*version),
        previous: top.get(1).map(|(version, _)| release(*version)),
        since_unix_ms: *since,
    }))
}

fn read_record(row: &Row<'_>) -> Result<DeploymentRecord, Fault> {
    let task = TaskName::from(row.get::<_, String>("task")?);
    let release = |version| ReleaseId { task: task.clone(), version };
    Ok(DeploymentRecord {
        action: from_word("action", row.get("action")?)?,
        release: release(row.get("version")?),
        from: row.get::<_, Option<u32>>("from_version")?.map(release),
        share: row.get::<_, Option<f64>>("share")?.map(beside::read_share).transpose()?,
        time_unix_ms: row.get("time_unix_ms")?,
        reason: row.get("reason")?,
    })
}

fn keep_record(connection: &Connection, record: &DeploymentRecord) -> Result<(), Fault> {
    connection.execute(
        "INSERT INTO deployment_history (task, action, version, from_version, share, time_unix_ms, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            record.release.task.as_str(),
            record.action.word(),
            record.release.version,
            record.from.as_ref().map(|from| from.version),
            record.share.map(Share::get),
            record.time_unix_ms,
            &record.reason,
        ),
    )?;
    Ok(())
}

fn keep_certificate(
    connection: &Connection,
    id: &ReleaseId,
    certificate: &Certificate,
    time_unix_ms: i64,
    why: &str,
) -> Result<(), Fault> {
    connection.execute(
        "INSERT INTO certificate_history (task, version, time_unix_ms, why, json) VALUES (?1, ?2, ?3, ?4, ?5)",
        (id.task.as_str(), id.version, time_unix_ms, why, to_json("certificate", certificate)?),
    )?;
    Ok(())
}

pub(crate) fn raise_generation(connection: &Connection) -> Result<(), Fault> {
    connection.execute("UPDATE generation SET number = number + 1", [])?;
    Ok(())
}
