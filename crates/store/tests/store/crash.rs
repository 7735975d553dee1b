//! Processes killed in the middle: nothing acknowledged is lost, nothing is there twice.

use std::collections::HashMap;

use sprat_store::{Filter, Store};

use crate::children::{Acknowledged, Work, run_key, start};
use crate::samples::Workspace;

/// Every request in the ledger, and how often.
fn recorded(store: &Store) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for entry in store.ledger().latest(None, usize::MAX >> 1).unwrap() {
        *counts.entry(entry.request.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn appends_acknowledged_before_kill_9_are_there_once() {
    // Killed at different moments: right away, while the first batch is under way, after many.
    for after in [1, 40, 70, 700, 5_000] {
        let workspace = Workspace::new();
        let mut child = start(&workspace, Work::AppendForever, "");
        let mut acknowledged = Acknowledged::by(&mut child);
        let mut told: Vec<String> = acknowledged.by_ref().take(after).collect();
        child.kill().unwrap(); // SIGKILL
        told.extend(acknowledged); // what it had said before it died
        child.wait().unwrap();
        assert!(told.len() >= after);

        let store = workspace.open();
        let there = recorded(&store);
        let missing: Vec<&String> = told.iter().filter(|request| !there.contains_key(*request)).collect();
        assert_eq!(missing, [] as [&String; 0], "killed after {after}");
        assert!(there.values().all(|times| *times == 1), "killed after {after}: something is there twice");
        assert!(there.len() <= told.len() + 4, "one a thread may have been appended and not yet told");
        let totals = store.ledger().totals(&Filter::default()).unwrap();
        assert_eq!(totals.requests, there.len() as u64, "the sums say what the rows say");
        assert_eq!(store.check().unwrap(), [] as [&str; 0]);
    }
}

#[test]
fn a_bulk_run_killed_again_and_again_never_does_a_row_twice() {
    let workspace = Workspace::new();
    let mut expected = 0;
    for after in [1, 30, 60] {
        let mut child = start(&workspace, Work::RunForever, "");
        let mut acknowledged = Acknowledged::by(&mut child);
        let mut told: Vec<String> = acknowledged.by_ref().take(after).collect();
        child.kill().unwrap();
        told.extend(acknowledged);
        child.wait().unwrap();
        // One row may have been kept and not yet told; otherwise it goes on exactly where it was.
        let first: u64 = told[0].parse().unwrap();
        assert!(first == expected || first == expected + 1, "{first} follows {expected}");
        expected = told.last().unwrap().parse::<u64>().unwrap() + 1;
    }
    let store = workspace.open();
    let run = store.runs().open(&run_key(), 2).unwrap();
    assert_eq!(run.rows_done, store.runs().done_up_to(&run).unwrap(), "no gaps");
    assert!(run.rows_done == expected || run.rows_done == expected + 1);
}

#[test]
fn what_the_database_could_not_take_before_the_crash_is_taken_after_it() {
    let workspace = Workspace::new();
    drop(workspace.open());
    let other = rusqlite::Connection::open(workspace.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap(); // nobody else can write
    let mut child = start(&workspace, Work::AppendTenAndAbort, "a");
    assert_eq!(Acknowledged::by(&mut child).next().as_deref(), Some("ten"));
    child.wait().unwrap();
    other.execute_batch("ROLLBACK").unwrap();

    // A tail torn by a power cut, too.
    let spool = workspace.path().with_file_name("sprat.db-spool");
    let segment = std::fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "spool1"))
        .unwrap();
    let length = std::fs::metadata(&segment).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(length - 7).unwrap();

    for _ in 0..2 {
        let store = workspace.open();
        let totals = store.ledger().totals(&Filter::default()).unwrap();
        assert_eq!((totals.requests, totals.lost), (9, 1), "the torn one is counted");
        assert!(!segment.exists());
    }
}
