//! Parts of the traffic that the audits have taken away from the small models, and how far each is on its way back.

use rusqlite::{Connection, Row, named_params};
use serde::{Deserialize, Serialize};
use sprat_task::{ReleaseId, Slice, TaskName};

use crate::columns::{from_json, to_json};
use crate::error::{Fault, StoreError};
use crate::registry::raise_generation;
use crate::store::Store;

/// The steps back of a store.
#[derive(Clone, Copy)]
pub struct StepBacks<'a> {
    pub(super) store: &'a Store,
}

/// A part that is taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStepBack {
    /// The release that may no longer answer it.
    pub release: ReleaseId,
    /// The part.
    pub slice: Slice,
    /// Whose labels said so: `gold` or `agreement`.
    pub ear: String,
    /// The evidence, in a sentence.
    pub why: String,
    /// The last audit that was heard; later ones count for the way back.
    pub after_audit: i64,
    /// When, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

/// How far a part is on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WayBack {
    /// The share of it that is answered small again: 0 to 1.
    pub share: f64,
    /// Looks taken.
    pub looks: u32,
    /// Labels that the last look had.
    pub looked_at: u64,
}

/// A part that was taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBack {
    /// Its number.
    pub id: i64,
    /// As it began; `after_audit` is the present stage's.
    pub taken: NewStepBack,
    /// How far it is on its way back.
    pub way_back: WayBack,
    /// When and how it ended; `None` while it lasts.
    pub ended: Option<(i64, String)>,
}

impl StepBacks<'_> {
    /// Takes a part away from a release. Where it is taken away already, nothing changes.
    pub fn begin(&self, new: &NewStepBack) -> Result<(), StoreError> {
        let new = new.clone();
        self.store.write(move |connection| {
            let slice = to_json("slice", &new.slice)?;
            let begun = connection.execute(
                "INSERT INTO step_back (task, release, slice, ear, why, began_unix_ms, after_audit, standing)
                 SELECT :task, :release, :slice, :ear, :why, :time, :after, :standing
                 WHERE NOT EXISTS (SELECT 1 FROM step_back WHERE task = :task AND release = :release
                                   AND slice = :slice AND ended_unix_ms IS NULL)",
                named_params! {
                    ":task": new.release.task.as_str(),
                    ":release": new.release.version,
                    ":slice": slice,
                    ":ear": new.ear,
                    ":why": new.why,
                    ":time": new.time_unix_ms,
                    ":after": new.after_audit,
                    ":standing": to_json("way back", &WayBack::default())?,
                },
            )?;
            if begun > 0 { raise_generation(connection) } else { Ok(()) }
        })
    }

    /// A part has moved on its way back: from `after_audit` on, labels count for the new stage.
    pub fn moved(&self, id: i64, way_back: WayBack, after_audit: i64) -> Result<(), StoreError> {
        self.store.write(move |connection| {
            let before: String =
                connection
                    .query_row("SELECT standing FROM step_back WHERE id = ?1", [id], |row| row.get(0))?;
            let before: WayBack = from_json("way back", &before)?;
            connection.execute(
                "UPDATE step_back SET standing = ?2, after_audit = ?3 WHERE id = ?1",
                (id, to_json("way back", &way_back)?, after_audit),
            )?;
            // A look alone changes nothing of what is answered.
            if before.share == way_back.share { Ok(()) } else { raise_generation(connection) }
        })
    }

    /// It is over.
    pub fn end(&self, id: i64, how: &str, after_audit: i64, time_unix_ms: i64) -> Result<(), StoreError> {
        let how = how.to_owned();
        self.store.write(move |connection| {
            connection.execute(
                "UPDATE step_back SET ended_unix_ms = ?2, ended_how = ?3, after_audit = ?4
                 WHERE id = ?1 AND ended_unix_ms IS NULL",
                (id, time_unix_ms, how, after_audit),
            )?;
            raise_generation(connection)
        })
    }

    /// All of a release, oldest first, ended ones too.
    pub fn of(&self, release: &ReleaseId) -> Result<Vec<StepBack>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM step_back WHERE task = ?1 AND release = ?2 ORDER BY id")?;
            read_all(statement.query((release.task.as_str(), release.version))?)
        })
    }

    /// The last `n` of a task, newest first.
    pub fn latest(&self, task: &TaskName, n: usize) -> Result<Vec<StepBack>, StoreError> {
        self.store.read(|connection| latest(connection, task, n))
    }
}

fn latest(connection: &Connection, task: &TaskName, n: usize) -> Result<Vec<StepBack>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM step_back WHERE task = ?1 ORDER BY id DESC LIMIT ?2")?;
    read_all(statement.query((task.as_str(), crate::columns::signed(n as u64)))?)
}

fn read_all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<StepBack>, Fault> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<StepBack, Fault> {
    let task = TaskName::from(row.get::<_, String>("task")?);
    let ended: Option<i64> = row.get("ended_unix_ms")?;
    let how: Option<String> = row.get("ended_how")?;
    Ok(StepBack {
        id: row.get("id")?,
        taken: NewStepBack {
            release: ReleaseId { task, version: row.get("release")? },
            slice: from_json("slice", &row.get::<_, String>("slice")?)?,
            ear: row.get("ear")?,
            why: row.get("why")?,
            after_audit: row.get("after_audit")?,
            time_unix_ms: row.get("began_unix_ms")?,
        },
        way_back: from_json("way back", &row.get::<_, String>("standing")?)?,
        ended: ended.map(|time| (time, how.unwrap_or_default())),
    })
}
