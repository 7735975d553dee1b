use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;
use sprat_task::Provenance;

use super::*;
use crate::spool::{Spool, SpoolSync};

fn entry(request: &str) -> LedgerEntry {
    LedgerEntry {
        request: request.into(),
        task: "tickets".into(),
        release: None,
        time_unix_ms: 0,
        source: Source::Serve,
        ending: Ending::NoAnswer,
        answered_by: None,
        steps: Vec::new(),
        cost: None,
        baseline_all_large: None,
        baseline_is_estimated: false,
        provenance: Provenance::Simulated,
        latency_us: 1,
        key: None,
        held: None,
    }
}

fn database(folder: &Path) -> Connection {
    let path = folder.join("sprat.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::migrations::migrate(&mut connection, &path).unwrap();
    connection
}

fn spool(folder: &Path) -> Spool {
    Spool::open(folder.join("spool"), SpoolSync::default(), u64::MAX, &HashMap::new()).unwrap()
}

fn counts(connection: &Connection) -> (i64, i64, i64) {
    connection
        .query_row(
            "SELECT (SELECT count(*) FROM ledger), (SELECT coalesce(sum(requests), 0) FROM ledger_hour),
                    (SELECT coalesce(sum(count), 0) FROM ledger_lost)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap()
}

#[test]
fn a_batch_offered_twice_is_taken_over_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, spool) = (database(folder.path()), spool(folder.path()));
    for request in ["a", "b"] {
        spool.append(&serde_json::to_vec(&entry(request)).unwrap()).unwrap();
    }
    let batch = spool.next_batch().unwrap().unwrap();
    let reached = take_over(&mut connection, Some(&batch), &Lost::new()).unwrap();
    // The commit succeeded, and the process died before it knew.
    let again = take_over(&mut connection, Some(&batch), &Lost::new()).unwrap();
    assert_eq!((reached, again), (batch.until, batch.until));
    assert_eq!(counts(&connection), (2, 2, 0));
}

#[test]
fn a_record_this_program_can_t_read_is_kept_as_it_was_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut connection, spool) = (database(folder.path()), spool(folder.path()));
    spool.append(b"{\"from\": \"the future\"}").unwrap();
    spool.append(&serde_json::to_vec(&entry("a")).unwrap()).unwrap();
    let batch = spool.next_batch().unwrap().unwrap();
    take_over(&mut connection, Some(&batch), &Lost::new()).unwrap();
    assert_eq!(counts(&connection), (1, 1, 1));
    let kept: Vec<u8> =
        connection.query_row("SELECT payload FROM spool_unreadable", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, b"{\"from\": \"the future\"}");
}
