//! The schema's versions: numbered, each in a transaction of its own, never edited once released.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Fault, StoreError};

/// Marks the file as ours: "SPRT" in SQLite's header.
const APPLICATION_ID: i64 = 0x5350_5254;

/// Version 1 is the first; the array's length is the version this program writes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_work.sql"),
    include_str!("migrations/0002_people.sql"),
    include_str!("migrations/0003_captured.sql"),
    include_str!("migrations/0004_audits.sql"),
    include_str!("migrations/0005_beside.sql"),
    include_str!("migrations/0006_notices.sql"),
    include_str!("migrations/0007_keys.sql"),
];

/// The newest schema this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.len() as i64
}

/// Makes sure that a file is ours or empty, and not from a newer program, before anything in it is touched. Gives its
/// schema version, 0 for an empty file.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<i64, Fault> {
    let shown = || path.display().to_string();
    // One read transaction, so that another process's migration is seen whole or not at all.
    let moment = connection.unchecked_transaction()?;
    let found = pragma(&moment, "user_version")?;
    let application = pragma(&moment, "application_id")?;
    if found == 0 && application == 0 && !has_tables(&moment)? {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign { path: shown() }.into());
    }
    if found > newest() {
        return Err(StoreError::Newer { path: shown(), found, known: newest() }.into());
    }
    Ok(found)
}

/// Brings a file to the newest schema. Two processes may do this at once: the version is read again inside each
/// transaction.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Fault> {
    migrate_to(connection, path, newest())
}

fn migrate_to(connection: &mut Connection, path: &Path, target: i64) -> Result<(), Fault> {
    while identify(connection, path)? < target {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = pragma(&step, "user_version")?;
        if let Some(sql) = usize::try_from(found).ok().and_then(|version| MIGRATIONS.get(version))
            && found < target
        {
            step.execute_batch(sql)?;
            step.pragma_update(None, "application_id", APPLICATION_ID)?;
            step.pragma_update(None, "user_version", found + 1)?;
        }
        step.commit()?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

fn has_tables(connection: &Connection) -> Result<bool, Fault> {
    Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sprat.db");
        (folder, path)
    }

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn version_1_with_rows_in_it_becomes_the_newest_and_keeps_them() {
        let (_folder, path) = file();
        let mut old = Connection::open(&path).unwrap();
        migrate_to(&mut old, &path, 1).unwrap();
        assert!(!tables(&old).contains(&"review".to_owned()), "version 1 has no review queue");
        old.execute("INSERT INTO release_counter (task, last) VALUES ('tickets', 7)", []).unwrap();
        drop(old);

        let mut now = Connection::open(&path).unwrap();
        migrate(&mut now, &path).unwrap();
        let kept: i64 = now.query_row("SELECT last FROM release_counter", [], |row| row.get(0)).unwrap();
        assert_eq!((kept, pragma(&now, "user_version").unwrap()), (7, newest()));

        let (_other_folder, other_path) = file();
        let mut fresh = Connection::open(&other_path).unwrap();
        migrate(&mut fresh, &other_path).unwrap();
        assert_eq!(tables(&now), tables(&fresh), "the way there makes no difference");
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path).unwrap();
        let before = tables(&connection);
        migrate(&mut connection, &path).unwrap();
        assert_eq!(tables(&connection), before);
    }

    #[test]
    fn a_newer_schema_and_another_program_s_database_are_left_alone() {
        let (_folder, path) = file();
        let mut newer = Connection::open(&path).unwrap();
        migrate(&mut newer, &path).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut newer, &path).unwrap_err().in_file(&path);
        assert_eq!(error, StoreError::Newer { path: path.display().to_string(), found: 99, known: newest() });

        let (_folder, path) = file();
        let mut foreign = Connection::open(&path).unwrap();
        foreign.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
        let error = migrate(&mut foreign, &path).unwrap_err().in_file(&path);
        assert_eq!(error, StoreError::Foreign { path: path.display().to_string() });
        assert_eq!(tables(&foreign), ["recipes"]);
    }
}
