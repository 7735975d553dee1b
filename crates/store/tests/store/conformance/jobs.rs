use serde_json::json;
use sprat_store::{JobState, NewJob, Store, StoreError};

use super::Backend;
use crate::samples::tickets;

fn job(kind: &str, max_attempts: u32) -> NewJob {
    NewJob { kind: kind.to_owned(), task: Some(tickets()), payload: json!({"rows": 5}), max_attempts }
}

fn claim(store: &Store, worker: &str, now: i64) -> Option<sprat_store::Job> {
    store.jobs().claim(worker, &["retrain", "batch"], 100, now).unwrap()
}

pub fn jobs_are_claimed_in_order_and_once(backend: &dyn Backend) {
    let store = backend.open();
    let first = store.jobs().insert(&job("retrain", 3), 1).unwrap();
    store.jobs().insert(&job("unheard of", 3), 2).unwrap();
    let second = store.jobs().insert(&job("batch", 3), 3).unwrap();
    let mine = claim(&store, "a", 10).unwrap();
    assert_eq!((mine.id, &mine.job, mine.attempts), (first, &job("retrain", 3), 1));
    assert_eq!(
        (mine.state, mine.worker.as_deref(), mine.lease_until_ms),
        (JobState::Running, Some("a"), Some(110))
    );
    assert_eq!(claim(&store, "b", 10).unwrap().id, second);
    assert_eq!(claim(&store, "c", 10), None);
    store.jobs().finish(&mine, &json!({"release": 4}), 20).unwrap();
    let done = store.jobs().get(first).unwrap();
    assert_eq!(
        (done.state, done.ended_unix_ms, done.outcome),
        (JobState::Done, Some(20), Some(json!({"release": 4})))
    );
    assert_eq!(
        store.jobs().latest(2).unwrap().iter().map(|job| job.id).collect::<Vec<_>>(),
        [second, second - 1]
    );
}

pub fn a_dead_worker_s_job_goes_to_another(backend: &dyn Backend) {
    let store = backend.open();
    let id = store.jobs().insert(&job("retrain", 3), 1).unwrap();
    let dead = claim(&store, "a", 10).unwrap();
    assert_eq!(claim(&store, "b", 109), None, "the lease runs");
    let other = backend.open();
    let taken = claim(&other, "b", 110).unwrap();
    assert_eq!((taken.id, taken.attempts), (id, 2));
    let lost = Err(StoreError::LeaseLost { job: id });
    assert_eq!(store.jobs().heartbeat(&dead, 100, 111), lost.clone());
    assert_eq!(store.jobs().finish(&dead, &json!(null), 111), lost.clone());
    assert_eq!(store.jobs().fail(&dead, "slow", 111).map(|_| ()), lost);
    other.jobs().finish(&taken, &json!(1), 112).unwrap();
}

pub fn a_living_worker_keeps_its_job(backend: &dyn Backend) {
    let store = backend.open();
    store.jobs().insert(&job("retrain", 3), 1).unwrap();
    let mine = claim(&store, "a", 10).unwrap();
    store.jobs().heartbeat(&mine, 100, 90).unwrap();
    assert_eq!(claim(&store, "b", 150), None);
    assert_eq!(claim(&store, "b", 190).unwrap().attempts, 2);
}

pub fn a_job_is_tried_as_often_as_it_may_be(backend: &dyn Backend) {
    let store = backend.open();
    let id = store.jobs().insert(&job("retrain", 2), 1).unwrap();
    let first = claim(&store, "a", 10).unwrap();
    assert_eq!(store.jobs().fail(&first, "no rows", 11).unwrap(), JobState::Waiting);
    let second = claim(&store, "a", 12).unwrap();
    assert_eq!(store.jobs().fail(&second, "still none", 13).unwrap(), JobState::Failed);
    assert_eq!(claim(&store, "a", 14), None);
    let failed = store.jobs().get(id).unwrap();
    assert_eq!((failed.state, failed.outcome), (JobState::Failed, Some(json!("still none"))));
}

pub fn a_job_whose_workers_all_die_is_given_up(backend: &dyn Backend) {
    let store = backend.open();
    let id = store.jobs().insert(&job("retrain", 1), 1).unwrap();
    claim(&store, "a", 10).unwrap();
    assert_eq!(claim(&store, "b", 500), None);
    let failed = store.jobs().get(id).unwrap();
    assert_eq!((failed.state, failed.outcome), (JobState::Failed, Some(json!("the worker died at it"))));
}
