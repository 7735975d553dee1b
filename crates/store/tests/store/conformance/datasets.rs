use std::ops::Range;

use sprat_store::{Look, LookResult, Sample, Store};
use sprat_task::{Guarantee, Status};

use super::Backend;
use crate::samples::{hashes, tickets};

fn sample(rows: Range<u32>) -> Sample {
    Sample { task: tickets(), guarantee: Guarantee::Gold, release: Some(1), hashes: hashes(rows) }
}

fn look(store: &Store, rows: Range<u32>) -> Look {
    store.datasets().begin_look(&sample(rows), 5).unwrap()
}

pub fn fresh_rows_begin_at_one_and_reused_ones_go_on(backend: &dyn Backend) {
    let store = backend.open();
    let first = look(&store, 0..100);
    assert_eq!((first.number, first.reused, first.fresh, first.previous_n), (1, 0, 100, None));
    assert_eq!(first.growth(), None);
    let grown = look(&store, 0..130);
    assert_eq!((grown.number, grown.reused, grown.fresh, grown.previous_n), (2, 100, 30, Some(100)));
    assert!((grown.growth().unwrap() - 1.3).abs() < 1e-12);
    assert_eq!(look(&store, 1_000..1_100).number, 1, "entirely fresh");
    assert_eq!(look(&store, 99..100).number, 3, "one row is enough");
}

pub fn rows_are_shared_with_the_latest_look_that_has_them(backend: &dyn Backend) {
    let store = backend.open();
    look(&store, 0..100);
    look(&store, 50..200); // the second look, of 150 rows
    let through_the_second = look(&store, 150..260);
    assert_eq!((through_the_second.number, through_the_second.previous_n), (3, Some(150)));
    let of_the_first_only = look(&store, 0..40);
    assert_eq!((of_the_first_only.number, of_the_first_only.previous_n), (2, Some(100)));
}

pub fn guarantees_and_tasks_are_counted_apart(backend: &dyn Backend) {
    let store = backend.open();
    look(&store, 0..10);
    let agreement = Sample { guarantee: Guarantee::Agreement, ..sample(0..10) };
    assert_eq!(store.datasets().begin_look(&agreement, 5).unwrap().number, 1);
    let other = Sample { task: "other".into(), ..sample(0..10) };
    assert_eq!(store.datasets().begin_look(&other, 5).unwrap().number, 1);
    assert_eq!(store.datasets().begin_look(&other, 5).unwrap().number, 2);
    let seen = store.datasets().seen(&tickets(), Guarantee::Gold, &hashes(9..11)).unwrap();
    assert_eq!(seen, [true, false]);
}

pub fn a_look_counts_before_it_ends(backend: &dyn Backend) {
    let store = backend.open();
    look(&store, 0..10);
    drop(store); // and nobody ever says what came of it
    let store = backend.open();
    let second = look(&store, 0..10);
    assert_eq!(second.number, 2);
    let result = LookResult { n: 10, accepted: 8, bad: 1, status: Status::Underpowered };
    store.datasets().finish_look(&second, result, 6).unwrap();
    let looks = store.datasets().looks(&tickets()).unwrap();
    assert_eq!(
        looks.iter().map(|look| (look.number, look.result)).collect::<Vec<_>>(),
        [(1, None), (2, Some(result))]
    );
    assert_eq!((looks[1].rows, looks[1].reused, looks[1].release), (10, 10, Some(1)));
    assert!(store.datasets().finish_look(&Look { id: 99, ..second }, result, 7).is_err());
}

pub fn asking_takes_no_look(backend: &dyn Backend) {
    let store = backend.open();
    for _ in 0..3 {
        assert_eq!(store.datasets().preview_look(&sample(0..10)).unwrap().number, 1);
    }
    look(&store, 0..10);
    assert_eq!(store.datasets().preview_look(&sample(0..13)).unwrap().number, 2);
}

pub fn a_row_that_comes_twice_is_one_row(backend: &dyn Backend) {
    let store = backend.open();
    let mut twice = sample(0..10);
    twice.hashes.extend(hashes(0..10));
    let first = store.datasets().begin_look(&twice, 5).unwrap();
    assert_eq!((first.number, first.reused, first.fresh), (1, 0, 10));
}
