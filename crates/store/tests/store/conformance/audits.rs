use std::collections::BTreeMap;

use sprat_store::{AuditCounts, Labelled, NewAudit, NewReview, NewStepBack, Reason, WayBack};
use sprat_task::{Confidence, ReleaseId, Slice};

use super::Backend;
use crate::samples::{label, tickets};

fn release() -> ReleaseId {
    ReleaseId { task: tickets(), version: 2 }
}

fn drawn(request: &str) -> NewAudit {
    NewAudit {
        release: release(),
        request: request.into(),
        held: None,
        small: label("refund"),
        groups: BTreeMap::from([("channel".to_owned(), "mail".to_owned())]),
        confidence: Confidence::new(0.97),
        propensity: 0.1,
        time_unix_ms: 5,
    }
}

pub fn audits_come_back_in_the_order_in_which_they_were_drawn(backend: &dyn Backend) {
    let store = backend.open();
    let first = store.audits().draw(&drawn("r-1")).unwrap();
    let second = store.audits().draw(&drawn("r-2")).unwrap();
    let third = store.audits().draw(&drawn("r-3")).unwrap();
    store.audits().settle(second, Ok(&label("billing")), 6).unwrap();
    store.audits().settle(third, Err("no answer before the deadline"), 7).unwrap();
    let all = store.audits().after(&release(), 0, 10).unwrap();
    assert_eq!(all.iter().map(|audit| audit.id).collect::<Vec<_>>(), [first, second, third]);
    assert_eq!((&all[0].drawn, all[0].differs()), (&drawn("r-1"), None));
    assert_eq!(all[1].differs(), Some(true));
    assert_eq!(all[2].large, Some(Err("no answer before the deadline".to_owned())));
    assert_eq!(store.audits().after(&release(), second, 10).unwrap(), all[2..]);
    assert_eq!(store.audits().last(&tickets()).unwrap(), third);
    let counts = AuditCounts { drawn: 3, answered: 1, differing: 1, missing: 1, labelled: 0 };
    assert_eq!(store.audits().counts(&release(), 0).unwrap(), counts);
    let other = ReleaseId { version: 3, ..release() };
    assert_eq!(store.audits().after(&other, 0, 10).unwrap(), []);
    assert!(store.audits().settle(99, Ok(&label("refund")), 8).is_err());
}

pub fn a_person_s_label_of_an_audited_answer_is_found_beside_it(backend: &dyn Backend) {
    let store = backend.open();
    store.audits().draw(&drawn("r-1")).unwrap();
    let row = |request: &str, reason| NewReview {
        task: tickets(),
        text: request.to_owned(),
        small: Some(label("refund")),
        large: None,
        confidence: None,
        reason,
        propensity: 0.1,
        priority: 0.0,
        request: Some(request.into()),
    };
    store.audits().draw(&drawn("r-2")).unwrap();
    store.review().add(vec![row("r-1", Reason::Audit), row("r-2", Reason::Unsure)], 6).unwrap();
    for waiting in store.review().next(&tickets(), 9).unwrap() {
        let said = Labelled { answer: label("billing"), by: "Ada".to_owned(), time_unix_ms: 7 };
        store.review().label(waiting.id, &said).unwrap();
    }
    let all = store.audits().after(&release(), 0, 10).unwrap();
    assert_eq!(all[0].is_wrong(), Some(true));
    assert_eq!(all[1].is_wrong(), None, "a row that was not drawn at random says nothing of the whole");
    assert_eq!(store.audits().counts(&release(), 0).unwrap().labelled, 1);
}

pub fn what_was_kept_back_is_no_answer_that_was_given(backend: &dyn Backend) {
    let store = backend.open();
    let held = NewAudit { held: Some(Slice::Label("refund".into())), propensity: 1.0, ..drawn("r-1") };
    store.audits().compare(&held, &label("refund")).unwrap();
    assert_eq!(store.audits().counts(&release(), 0).unwrap(), AuditCounts::default());
    let all = store.audits().after(&release(), 0, 10).unwrap();
    assert_eq!((&all[0].drawn, all[0].differs()), (&held, Some(false)));
}

pub fn a_part_is_taken_away_once_and_comes_back_in_stages(backend: &dyn Backend) {
    let store = backend.open();
    let new = NewStepBack {
        release: release(),
        slice: Slice::Label("refund".into()),
        ear: "agreement".to_owned(),
        why: "because".to_owned(),
        after_audit: 4,
        time_unix_ms: 5,
    };
    let generation = || store.registry().generation().unwrap();
    let before = generation();
    store.step_backs().begin(&new).unwrap();
    store.step_backs().begin(&NewStepBack { why: "again".to_owned(), ..new.clone() }).unwrap();
    assert_eq!(generation(), before + 1);
    let taken = store.step_backs().of(&release()).unwrap().remove(0);
    assert_eq!((&taken.taken, taken.way_back, taken.ended), (&new, WayBack::default(), None));
    store.step_backs().moved(taken.id, WayBack { share: 0.0, looks: 1, looked_at: 69 }, 4).unwrap();
    assert_eq!(generation(), before + 1, "a look changes nothing of what is answered");
    store.step_backs().moved(taken.id, WayBack { share: 0.1, looks: 1, looked_at: 69 }, 80).unwrap();
    assert_eq!(generation(), before + 2);
    store.step_backs().end(taken.id, "restored", 90, 9).unwrap();
    assert_eq!(generation(), before + 3);
    store.step_backs().begin(&new).unwrap();
    let all = store.step_backs().latest(&tickets(), 9).unwrap();
    assert_eq!((all.len(), &all[0].ended), (2, &None));
    assert_eq!(all[1].ended, Some((9, "restored".to_owned())));
    assert_eq!(all[1].taken.after_audit, 90);
}
