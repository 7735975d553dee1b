//! Beside the live release: a canary that answers a share of the traffic, and a shadow that only watches.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use sprat_task::{ReleaseId, Share, TaskName};

use super::{
    Action, DeploymentRecord, Registry, keep_record, raise_generation, read_deployment, stored_json,
};
use crate::columns::damaged;
use crate::error::{Fault, StoreError};

/// What stands beside the live release of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// Answers a share of the traffic.
    pub canary: Option<Canary>,
    /// Answers nothing; says what it would have answered.
    pub shadow: Option<ReleaseId>,
}

/// A release that answers a share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Canary {
    /// The release.
    pub release: ReleaseId,
    /// How much of the traffic it answers.
    pub share: Share,
}

/// A place beside the live release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Canary,
    Shadow,
}

impl Role {
    const ALL: [Self; 2] = [Self::Canary, Self::Shadow];

    fn word(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Shadow => "shadow",
        }
    }

    fn began(self) -> Action {
        match self {
            Self::Canary => Action::Canary,
            Self::Shadow => Action::Shadow,
        }
    }

    fn ended(self) -> Action {
        match self {
            Self::Canary => Action::EndCanary,
            Self::Shadow => Action::EndShadow,
        }
    }
}

impl Registry<'_> {
    /// Lets a release answer a share of its task's traffic, in place of the canary there is, if any; a shadow stops
    /// watching. The live release can't be one. The same release with the same share changes nothing.
    pub fn canary(
        &self,
        id: &ReleaseId,
        share: Share,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Beside, StoreError> {
        self.put(id, Role::Canary, Some(share), reason, time_unix_ms)
    }

    /// Lets a release watch, in place of the shadow there is, if any; a canary stops answering. The live release can't
    /// be one. The same release again changes nothing.
    pub fn shadow(&self, id: &ReleaseId, reason: &str, time_unix_ms: i64) -> Result<Beside, StoreError> {
        self.put(id, Role::Shadow, None, reason, time_unix_ms)
    }

    /// Takes the canary off, and says which it was; `None` where there is none, and nothing changes.
    pub fn end_canary(
        &self,
        task: &TaskName,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Option<Canary>, StoreError> {
        Ok(self.take_off(task, Role::Canary, reason, time_unix_ms)?.canary)
    }

    /// Takes the shadow off, and says which it was; `None` where there is none, and nothing changes.
    pub fn end_shadow(
        &self,
        task: &TaskName,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Option<ReleaseId>, StoreError> {
        Ok(self.take_off(task, Role::Shadow, reason, time_unix_ms)?.shadow)
    }

    /// What stands beside the live release.
    pub fn beside(&self, task: &TaskName) -> Result<Beside, StoreError> {
        self.store.read(|connection| read_beside(connection, task))
    }

    fn put(
        &self,
        id: &ReleaseId,
        role: Role,
        share: Option<Share>,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Beside, StoreError> {
        let (id, reason) = (id.clone(), reason.to_owned());
        self.store.write(move |connection| {
            if stored_json(connection, &id)?.is_none() {
                return Err(StoreError::NoRelease(id).into());
            }
            if read_deployment(connection, &id.task)?.is_some_and(|deployment| deployment.live == id) {
                return Err(StoreError::IsLive(id).into());
            }
            let before = read_role(connection, &id.task, role)?;
            if before == Some((id.clone(), share)) {
                return read_beside(connection, &id.task);
            }
            let from = before.map(|(release, _)| release).filter(|release| *release != id);
            let record = DeploymentRecord {
                action: role.began(),
                release: id.clone(),
                from,
                share,
                time_unix_ms,
                reason,
            };
            leave(connection, &record)?;
            keep_record(connection, &record)?;
            connection.execute(
                "INSERT INTO deployment_beside (task, role, version, share, time_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (task, role) DO UPDATE SET version = excluded.version, share = excluded.share,
                     time_unix_ms = excluded.time_unix_ms",
                (id.task.as_str(), role.word(), id.version, share.map(Share::get), time_unix_ms),
            )?;
            raise_generation(connection)?;
            read_beside(connection, &id.task)
        })
    }

    /// Says what was there before.
    fn take_off(
        &self,
        task: &TaskName,
        role: Role,
        reason: &str,
        time_unix_ms: i64,
    ) -> Result<Beside, StoreError> {
        let (task, reason) = (task.clone(), reason.to_owned());
        self.store.write(move |connection| {
            let before = read_beside(connection, &task)?;
            if let Some((release, _)) = read_role(connection, &task, role)? {
                end(connection, role, &release, &reason, time_unix_ms)?;
                raise_generation(connection)?;
            }
            Ok(before)
        })
    }
}

/// Ends the other roles of the release that a record gives one: it has one at a time.
pub(super) fn leave(connection: &Connection, record: &DeploymentRecord) -> Result<(), Fault> {
    for role in Role::ALL.into_iter().filter(|role| role.began() != record.action) {
        let there = read_role(connection, &record.release.task, role)?;
        if there.is_some_and(|(release, _)| release == record.release) {
            end(connection, role, &record.release, &record.reason, record.time_unix_ms)?;
        }
    }
    Ok(())
}

fn end(
    connection: &Connection,
    role: Role,
    release: &ReleaseId,
    reason: &str,
    time_unix_ms: i64,
) -> Result<(), Fault> {
    connection.execute(
        "DELETE FROM deployment_beside WHERE task = ?1 AND role = ?2",
        (release.task.as_str(), role.word()),
    )?;
    let record = DeploymentRecord {
        action: role.ended(),
        release: release.clone(),
        from: None,
        share: None,
        time_unix_ms,
        reason: reason.to_owned(),
    };
    keep_record(connection, &record)
}

fn read_beside(connection: &Connection, task: &TaskName) -> Result<Beside, Fault> {
    let canary = read_role(connection, task, Role::Canary)?;
    let canary = canary.and_then(|(release, share)| Some(Canary { release, share: share? }));
    let shadow = read_role(connection, task, Role::Shadow)?.map(|(release, _)| release);
    Ok(Beside { canary, shadow })
}

fn read_role(
    connection: &Connection,
    task: &TaskName,
    role: Role,
) -> Result<Option<(ReleaseId, Option<Share>)>, Fault> {
    let found: Option<(u32, Option<f64>)> = connection
        .prepare_cached("SELECT version, share FROM deployment_beside WHERE task = ?1 AND role = ?2")?
        .query_row((task.as_str(), role.word()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((version, share)) = found else { return Ok(None) };
    let share = share.map(read_share).transpose()?;
    Ok(Some((ReleaseId { task: task.clone(), version }, share)))
}

/// A stored share.
pub(super) fn read_share(share: f64) -> Result<Share, Fault> {
    Share::new(share).map_err(|_| damaged("share", format!("{share} is not above 0 and up to 1")))
}
