use std::collections::HashSet;

use sprat_store::{Action, Beside, Canary, Registry, StoreError};
use sprat_task::{Certificate, Guarantee, ReleaseId, Share, Status};

use super::Backend;
use crate::samples::{certificate, id, release, tickets};

pub fn versions_are_never_given_twice(backend: &dyn Backend) {
    let store = backend.open();
    let given: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                scope.spawn(move || {
                    (0..5).map(|_| store.registry().next_version(&tickets()).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 40);
    assert_eq!(given.iter().max(), Some(&40));
    assert_eq!(store.registry().next_version(&"other".into()).unwrap(), 1);
    store.registry().add(&release(50)).unwrap();
    assert_eq!(store.registry().next_version(&tickets()).unwrap(), 51, "past those added by hand");
}

pub fn a_release_comes_back_as_it_was(backend: &dyn Backend) {
    let store = backend.open();
    for version in [1, 2] {
        store.registry().add(&release(version)).unwrap();
    }
    assert_eq!(store.registry().release(&id(1)).unwrap(), release(1));
    assert_eq!(store.registry().releases(&tickets()).unwrap(), [release(2), release(1)]);
    assert_eq!(store.registry().live(&tickets()).unwrap(), None, "added is not live");
    drop(store);
    assert_eq!(backend.open().registry().release(&id(2)).unwrap(), release(2));
}

pub fn another_release_of_the_same_number_is_refused(backend: &dyn Backend) {
    let store = backend.open();
    store.registry().add(&release(1)).unwrap();
    store.registry().add(&release(1)).unwrap();
    let mut other = release(1);
    other.origin.seed = 7;
    assert_eq!(store.registry().add(&other), Err(StoreError::ReleaseExists(id(1))));
    assert_eq!(store.registry().release(&id(1)).unwrap(), release(1));
}

pub fn rollback_goes_back_step_by_step_and_then_says_why_not(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    assert_eq!(registry.rollback(&tickets(), "?", 0), Err(StoreError::NothingLive(tickets())));
    for version in [1, 2, 3] {
        registry.add(&release(version)).unwrap();
        registry.promote(&id(version), "better", i64::from(version)).unwrap();
    }
    let live = registry.live(&tickets()).unwrap().unwrap();
    assert_eq!((live.live, live.previous, live.since_unix_ms), (id(3), Some(id(2)), 3));
    let back = registry.rollback(&tickets(), "3 is worse", 4).unwrap();
    assert_eq!((back.live, back.previous, back.since_unix_ms), (id(2), Some(id(1)), 4));
    assert_eq!(registry.rollback(&tickets(), "2 too", 5).unwrap().live, id(1));
    let refused = registry.rollback(&tickets(), "1 too", 6);
    assert_eq!(refused, Err(StoreError::NothingBefore(tickets())));
    assert_eq!(registry.live(&tickets()).unwrap().unwrap().live, id(1));
    assert_eq!(registry.deployments().unwrap().len(), 1);

    let history: Vec<_> = registry
        .history(&tickets())
        .unwrap()
        .into_iter()
        .map(|record| {
            (record.action, record.release.version, record.from.map(|from| from.version), record.reason)
        })
        .collect();
    let said = |why: &str| why.to_owned();
    assert_eq!(
        history,
        [
            (Action::Rollback, 1, Some(2), said("2 too")),
            (Action::Rollback, 2, Some(3), said("3 is worse")),
            (Action::Promote, 3, Some(2), said("better")),
            (Action::Promote, 2, Some(1), said("better")),
            (Action::Promote, 1, None, said("better")),
        ]
    );
}

pub fn promoting_what_is_live_changes_nothing(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    registry.add(&release(1)).unwrap();
    let first = registry.promote(&id(1), "first", 1).unwrap();
    let generation = registry.generation().unwrap();
    assert_eq!(registry.promote(&id(1), "again", 2).unwrap(), first);
    assert_eq!(registry.generation().unwrap(), generation);
    assert_eq!(registry.history(&tickets()).unwrap().len(), 1);
}

pub fn what_isn_t_there_is_said_by_name(backend: &dyn Backend) {
    let store = backend.open();
    let missing = Err(StoreError::NoRelease(id(9)));
    assert_eq!(store.registry().promote(&id(9), "?", 1), missing.clone());
    assert_eq!(store.registry().release(&id(9)).map(|_| ()), missing.clone().map(|_| ()));
    let gone = certificate(Status::Stale, Guarantee::Gold);
    assert_eq!(
        store.registry().set_certificate(&id(9), &gone, "?", 1),
        missing.map(|_: sprat_store::Deployment| ())
    );
    assert_eq!(StoreError::NoRelease(id(9)).to_string(), "there is no release tickets@9");
}

pub fn a_certificate_s_earlier_states_are_kept(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    registry.add(&release(1)).unwrap();
    let second_look = Certificate { look: 2, ..certificate(Status::Certified, Guarantee::Gold) };
    let stale = Certificate { status: Status::Stale, ..second_look.clone() };
    registry.set_certificate(&id(1), &second_look, "another look", 10).unwrap();
    registry.set_certificate(&id(1), &stale, "labels changed", 20).unwrap();
    assert_eq!(registry.release(&id(1)).unwrap().certificate, stale);
    let states: Vec<_> = registry
        .certificates(&id(1))
        .unwrap()
        .into_iter()
        .map(|state| (state.certificate.status, state.certificate.look, state.time_unix_ms, state.why))
        .collect();
    assert_eq!(
        states,
        [
            (Status::Certified, 1, 1_001, "made".to_owned()),
            (Status::Certified, 2, 10, "another look".to_owned()),
            (Status::Stale, 2, 20, "labels changed".to_owned()),
        ]
    );
}

pub fn guarantees_are_never_mixed(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    registry.add(&release(1)).unwrap();
    let agreement = certificate(Status::Underpowered, Guarantee::Agreement);
    registry.set_certificate(&id(1), &agreement, "first look", 1).unwrap();
    let grown = Certificate { n: 900, ..agreement };
    registry.set_certificate(&id(1), &grown, "second look", 2).unwrap();
    let stored = registry.release(&id(1)).unwrap();
    assert_eq!(stored.certificate, release(1).certificate, "the gold one is as it was");
    assert_eq!(stored.other_certificates, [grown]);
}

pub fn the_generation_grows_with_every_change(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    let mut seen = vec![registry.generation().unwrap()];
    let mut changed = || {
        seen.push(registry.generation().unwrap());
        seen[seen.len() - 1] > seen[seen.len() - 2]
    };
    registry.add(&release(1)).unwrap();
    registry.add(&release(2)).unwrap();
    assert!(changed());
    registry.promote(&id(1), "", 1).unwrap();
    assert!(changed());
    registry.promote(&id(2), "", 2).unwrap();
    assert!(changed());
    registry.rollback(&tickets(), "", 3).unwrap();
    assert!(changed());
    registry.canary(&id(2), share(0.1), "", 4).unwrap();
    assert!(changed());
    registry.canary(&id(2), share(0.2), "", 4).unwrap();
    assert!(changed());
    registry.canary(&id(2), share(0.2), "", 4).unwrap();
    assert!(!changed(), "the same again is no change");
    registry.end_canary(&tickets(), "", 4).unwrap();
    assert!(changed());
    registry.end_canary(&tickets(), "", 4).unwrap();
    assert!(!changed(), "nor is an end of nothing");
    registry.shadow(&id(2), "", 4).unwrap();
    assert!(changed());
    registry.end_shadow(&tickets(), "", 4).unwrap();
    assert!(changed());
    registry.set_certificate(&id(1), &certificate(Status::Alarmed, Guarantee::Gold), "audits", 4).unwrap();
    assert!(changed());
    assert!(!changed(), "and not without one");
}

fn share(share: f64) -> Share {
    Share::new(share).unwrap()
}

/// Five releases, of which 1 is live.
fn five(registry: Registry<'_>) {
    for version in 1..=5 {
        registry.add(&release(version)).unwrap();
    }
    registry.promote(&id(1), "first", 1).unwrap();
}

fn canary(version: u32, of: f64) -> Option<Canary> {
    Some(Canary { release: id(version), share: share(of) })
}

/// What was done, oldest first: the word, the version, the one before, the share.
fn done(registry: Registry<'_>) -> Vec<(&'static str, u32, Option<u32>, Option<f64>)> {
    let mut history = registry.history(&tickets()).unwrap();
    history.reverse();
    let version = |id: ReleaseId| id.version;
    history
        .into_iter()
        .map(|record| {
            let share = record.share.map(Share::get);
            (record.action.word(), version(record.release), record.from.map(version), share)
        })
        .collect()
}

pub fn a_canary_and_a_shadow_stand_beside_the_live_release(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    assert_eq!(registry.beside(&tickets()).unwrap(), Beside::default());
    five(registry);
    assert_eq!(registry.canary(&id(2), share(0.1), "try", 2).unwrap().canary, canary(2, 0.1));
    registry.canary(&id(2), share(0.5), "more", 3).unwrap();
    registry.canary(&id(3), share(0.5), "another", 4).unwrap();
    registry.shadow(&id(4), "look", 5).unwrap();
    let both = Beside { canary: canary(3, 0.5), shadow: Some(id(4)) };
    assert_eq!(registry.beside(&tickets()).unwrap(), both);
    assert_eq!(registry.beside(&"other".into()).unwrap(), Beside::default());
    assert_eq!(registry.live(&tickets()).unwrap().unwrap().live, id(1), "what is live stays");
    drop(store);
    let store = backend.open();
    let registry = store.registry();
    assert_eq!(registry.beside(&tickets()).unwrap(), both, "also after a restart");
    assert_eq!(registry.end_canary(&tickets(), "enough", 6).unwrap(), canary(3, 0.5));
    assert_eq!(registry.end_canary(&tickets(), "enough", 6).unwrap(), None);
    assert_eq!(registry.end_shadow(&tickets(), "seen", 7).unwrap(), Some(id(4)));
    assert_eq!(registry.end_shadow(&tickets(), "seen", 7).unwrap(), None);
    assert_eq!(
        done(registry),
        [
            ("promote", 1, None, None),
            ("canary", 2, None, Some(0.1)),
            ("canary", 2, None, Some(0.5)),
            ("canary", 3, Some(2), Some(0.5)),
            ("shadow", 4, None, None),
            ("end-canary", 3, None, None),
            ("end-shadow", 4, None, None),
        ]
    );
}

pub fn a_release_has_one_role_at_a_time(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    five(registry);
    registry.shadow(&id(2), "look", 2).unwrap();
    let moved = registry.canary(&id(2), share(0.1), "try", 3).unwrap();
    assert_eq!(moved, Beside { canary: canary(2, 0.1), shadow: None });
    let back = registry.shadow(&id(2), "not yet", 4).unwrap();
    assert_eq!(back, Beside { canary: None, shadow: Some(id(2)) });
    registry.canary(&id(3), Share::WHOLE, "all", 5).unwrap();
    registry.promote(&id(3), "good", 6).unwrap();
    assert_eq!(registry.beside(&tickets()).unwrap(), back, "3 is live, and no canary any more");
    registry.promote(&id(4), "better", 7).unwrap();
    registry.shadow(&id(3), "look back", 8).unwrap();
    assert_eq!(registry.rollback(&tickets(), "4 is worse", 9).unwrap().live, id(3));
    assert_eq!(
        registry.beside(&tickets()).unwrap(),
        Beside::default(),
        "3 is live again and watches no more"
    );
    assert_eq!(
        done(registry)[1..],
        [
            ("shadow", 2, None, None),
            ("end-shadow", 2, None, None),
            ("canary", 2, None, Some(0.1)),
            ("end-canary", 2, None, None),
            ("shadow", 2, None, None),
            ("canary", 3, None, Some(1.0)),
            ("end-canary", 3, None, None),
            ("promote", 3, Some(1), None),
            ("promote", 4, Some(3), None),
            ("shadow", 3, Some(2), None),
            ("end-shadow", 3, None, None),
            ("rollback", 3, Some(4), None),
        ]
    );
}

pub fn what_stands_beside_is_only_what_can(backend: &dyn Backend) {
    let store = backend.open();
    let registry = store.registry();
    five(registry);
    let generation = registry.generation().unwrap();
    assert_eq!(registry.canary(&id(9), share(0.1), "?", 2), Err(StoreError::NoRelease(id(9))));
    assert_eq!(registry.shadow(&id(9), "?", 2), Err(StoreError::NoRelease(id(9))));
    assert_eq!(registry.canary(&id(1), share(0.1), "?", 2), Err(StoreError::IsLive(id(1))));
    assert_eq!(registry.shadow(&id(1), "?", 2), Err(StoreError::IsLive(id(1))));
    assert_eq!(registry.generation().unwrap(), generation, "nothing has changed");
    registry.canary(&id(2), share(0.1), "try", 3).unwrap();
    assert_eq!(registry.rollback(&tickets(), "?", 4), Err(StoreError::NothingBefore(tickets())));
    assert_eq!(
        registry.beside(&tickets()).unwrap().canary,
        canary(2, 0.1),
        "a failed rollback changes nothing"
    );
}
