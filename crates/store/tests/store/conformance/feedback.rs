use sprat_store::{Feedback, LedgerEntry, Source, Thumb};

use super::Backend;
use crate::samples::{label, large, small, tickets};

fn feedback(request: &str) -> Feedback {
    Feedback {
        request: request.into(),
        thumb: Some(Thumb::Down),
        label: Some(label("billing")),
        by: None,
        time_unix_ms: 9,
    }
}

pub fn feedback_stands_beside_the_request(backend: &dyn Backend) {
    let store = backend.open();
    store.ledger().append(&small("r-1", 1)).unwrap();
    store.ledger().append(&large("r-2", 2, Some(5))).unwrap();
    store.ledger().append(&LedgerEntry { source: Source::Audit, ..large("r-1", 3, Some(5)) }).unwrap();
    assert!(store.feedback().add(&feedback("r-1")).unwrap());
    let up = Feedback { thumb: Some(Thumb::Up), label: None, by: Some("Ada".to_owned()), ..feedback("r-2") };
    assert!(store.feedback().add(&up).unwrap());
    assert_eq!(store.feedback().of_request(&"r-2".into()).unwrap(), std::slice::from_ref(&up));
    let judged = store.feedback().latest(&tickets(), 9).unwrap();
    let told: Vec<_> = judged
        .iter()
        .map(|judged| {
            (&judged.feedback, judged.answered_by.as_ref().map(|model| model.as_str()), judged.release)
        })
        .collect();
    assert_eq!(told, [(&up, Some("large"), Some(3)), (&feedback("r-1"), Some("linear"), Some(3))]);
}

pub fn feedback_on_an_unknown_request_is_kept_and_said(backend: &dyn Backend) {
    let store = backend.open();
    assert!(!store.feedback().add(&feedback("r-9")).unwrap());
    assert_eq!(store.feedback().of_request(&"r-9".into()).unwrap(), [feedback("r-9")]);
    assert_eq!(store.feedback().latest(&tickets(), 9).unwrap(), []);
}
