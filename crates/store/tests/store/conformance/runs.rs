use sprat_store::{RunKey, RunRow, StoreError};
use sprat_task::{Confidence, Money, Outcome, Sha256Hex};

use super::Backend;
use crate::samples::{free_step, label, large_step, tickets};

fn key() -> RunKey {
    RunKey {
        task: tickets(),
        release: Some(3),
        input: Sha256Hex::of(b"rows.csv"),
        output: "/data/answers.csv".to_owned(),
        options: Sha256Hex::of(b"options"),
    }
}

fn done(row: u64) -> RunRow {
    RunRow {
        row,
        answer: (row % 3 != 2).then(|| label("refund")),
        steps: vec![free_step(Outcome::Deferred(Confidence::new(0.5))), large_step(Some(row as i64))],
        cost: row.is_multiple_of(2).then(|| Money::from_micro(row as i64)),
    }
}

pub fn a_run_goes_on_where_it_stopped(backend: &dyn Backend) {
    let store = backend.open();
    let run = store.runs().open(&key(), 1).unwrap();
    assert_eq!((run.rows_done, store.runs().done_up_to(&run).unwrap()), (0, 0));
    store.runs().record(&run, vec![done(0), done(1), done(4)]).unwrap();
    drop((run, store));

    let store = backend.open();
    let run = store.runs().open(&key(), 2).unwrap();
    assert_eq!((run.rows_done, run.begun_unix_ms, run.finished_unix_ms), (3, 1, None));
    assert_eq!(store.runs().done_up_to(&run).unwrap(), 2, "row 2 is the first that isn't");
    assert_eq!(store.runs().done_among(&run, 1, 5).unwrap(), [true, false, false, true, false]);
    store.runs().record(&run, vec![done(2), done(3)]).unwrap();
    assert_eq!(store.runs().done_up_to(&run).unwrap(), 5);
    store.runs().finish(&run, 7).unwrap();
    drop(run);
    let finished = store.runs().open(&key(), 8).unwrap();
    assert_eq!((finished.rows_done, finished.finished_unix_ms), (5, Some(7)));
    assert_eq!(store.runs().list().unwrap().len(), 1);
}

pub fn other_options_are_another_run(backend: &dyn Backend) {
    let store = backend.open();
    let run = store.runs().open(&key(), 1).unwrap();
    store.runs().record(&run, vec![done(0)]).unwrap();
    for other in [
        RunKey { release: None, ..key() },
        RunKey { options: Sha256Hex::of(b"others"), ..key() },
        RunKey { input: Sha256Hex::of(b"other.csv"), ..key() },
        RunKey { output: "/data/other.csv".to_owned(), ..key() },
    ] {
        let opened = store.runs().open(&other, 1).unwrap();
        assert_eq!((opened.rows_done, &opened.key), (0, &other));
    }
    assert_eq!(store.runs().list().unwrap().len(), 5);
}

pub fn a_row_done_twice_stays_as_it_was(backend: &dyn Backend) {
    let store = backend.open();
    let run = store.runs().open(&key(), 1).unwrap();
    assert_eq!(store.runs().record(&run, vec![done(0)]).unwrap(), 1);
    let again = RunRow { answer: Some(label("billing")), ..done(0) };
    assert_eq!(store.runs().record(&run, vec![again, done(1)]).unwrap(), 1);
    let rows: Vec<RunRow> = store.runs().rows(&run, 0).map(Result::unwrap).collect();
    assert_eq!(rows, [done(0), done(1)]);
}

pub fn rows_come_back_in_order_across_pages(backend: &dyn Backend) {
    let store = backend.open();
    let run = store.runs().open(&key(), 1).unwrap();
    store.runs().record(&run, (0..1_700).rev().map(done).collect()).unwrap();
    let rows: Vec<u64> = store.runs().rows(&run, 3).map(|row| row.unwrap().row).collect();
    assert_eq!(rows, (3..1_700).collect::<Vec<_>>());
    assert_eq!(store.runs().rows(&run, 1_699).map(Result::unwrap).collect::<Vec<_>>(), [done(1_699)]);
    assert_eq!(store.runs().rows(&run, 1_700).count(), 0);
}

pub fn a_run_is_worked_on_by_one_at_a_time(backend: &dyn Backend) {
    let (store, other) = (backend.open(), backend.open());
    let run = store.runs().open(&key(), 1).unwrap();
    let refused = other.runs().open(&key(), 1).map(|run| run.id);
    assert_eq!(refused, Err(StoreError::RunInProgress { output: "/data/answers.csv".to_owned() }));
    drop(run);
    other.runs().open(&key(), 2).unwrap();
}

pub fn a_forgotten_run_begins_anew(backend: &dyn Backend) {
    let store = backend.open();
    let run = store.runs().open(&key(), 1).unwrap();
    store.runs().record(&run, vec![done(0)]).unwrap();
    store.runs().forget(run).unwrap();
    let run = store.runs().open(&key(), 2).unwrap();
    assert_eq!((run.rows_done, run.begun_unix_ms), (0, 2));
}
