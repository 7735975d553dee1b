use sprat_store::captured::CapturedText;
use sprat_store::{Feedback, NewCaptured, Thumb};
use sprat_task::{Answer, Confidence, Input, Provenance, Sha256Hex};

use super::Backend;
use crate::samples::{label, tickets};

fn row(number: i64) -> NewCaptured {
    NewCaptured {
        task: tickets(),
        request: format!("r-{number}").into(),
        time_unix_ms: number * 1_000,
        text: format!("where is my parcel, number {number}?"),
        prompt_hash: Some(Sha256Hex::of(b"prompt")),
        session: Some("s-1".to_owned()),
        small: Some(label("refund")),
        confidence: Some(Confidence::new(0.5)),
        would_answer: true,
        large: Some(label("delivery")),
        answered_by: Some("large".into()),
        release: Some(3),
        propensity: 0.25,
        provenance: Provenance::Recorded,
    }
}

fn bare(number: i64) -> NewCaptured {
    NewCaptured {
        prompt_hash: None,
        session: None,
        small: None,
        confidence: None,
        would_answer: false,
        large: None,
        answered_by: None,
        release: None,
        ..row(number)
    }
}

pub fn rows_come_back_as_they_were_in_order_and_of_one_task(backend: &dyn Backend) {
    let store = backend.open();
    let other = NewCaptured { task: "other".into(), ..row(7) };
    // More than a page.
    let rows: Vec<NewCaptured> = (0..700).map(|n| if n % 2 == 0 { row(n) } else { bare(n) }).collect();
    store.captured().add(rows[..600].to_vec()).unwrap();
    store.captured().add(vec![other]).unwrap();
    store.captured().add(rows[600..].to_vec()).unwrap();
    let found: Vec<_> = store.captured().rows(&tickets(), 0).map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|found| &found.row).collect::<Vec<_>>(), rows.iter().collect::<Vec<_>>());
    assert_eq!(found[0].hash, Input::new(rows[0].text.as_str()).hash());
    let rest: Vec<_> = store.captured().rows(&tickets(), found[689].id).map(Result::unwrap).collect();
    assert_eq!(rest, found[690..]);
    let captured = store.captured();
    assert_eq!((captured.count(&tickets()).unwrap(), captured.count(&"none".into()).unwrap()), (700, 0));
    assert_eq!(captured.count_since(&tickets(), 690_000).unwrap(), 10);
    assert_eq!(captured.tasks().unwrap(), ["other".into(), tickets()]);
}

pub fn what_is_old_is_forgotten_and_leaves_no_text(backend: &dyn Backend) {
    let store = backend.open();
    let captured = store.captured();
    // More than are forgotten in one go.
    captured.add((0..5_000).map(row).collect()).unwrap();
    let other = NewCaptured { task: "other".into(), text: "somebody else's".to_owned(), ..row(1) };
    captured.add(vec![other]).unwrap();
    assert_eq!(captured.forget_before(&tickets(), 4_990_000).unwrap(), 4_990);
    assert_eq!(captured.count(&tickets()).unwrap(), 10);
    assert_eq!(captured.forget_all(&tickets()).unwrap(), 10);
    assert_eq!(captured.forget_all(&tickets()).unwrap(), 0);
    assert_eq!(captured.count(&"other".into()).unwrap(), 1);
    for file in std::fs::read_dir(store.path().parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(11).any(|part| part == b"where is my");
            assert!(!found, "{} still has it", path.display());
        }
    }
}

pub fn what_users_said_stands_beside_the_text_it_was_about(backend: &dyn Backend) {
    let store = backend.open();
    store.captured().add(vec![row(1), row(2), NewCaptured { task: "other".into(), ..row(3) }]).unwrap();
    let said = |request: &str, answer: Option<&str>| Feedback {
        request: request.into(),
        thumb: None,
        label: answer.map(label),
        by: None,
        time_unix_ms: 9,
    };
    for (request, answer) in [
        ("r-1", Some("refund")),
        ("r-1", Some("billing")),
        ("r-2", None),
        ("r-3", Some("refund")),
        ("r-9", None),
    ] {
        store.feedback().add(&said(request, answer)).unwrap();
    }
    let labels = store.captured().labels(&tickets()).unwrap();
    let hash = Input::new(row(1).text).hash();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [(hash, label("billing"))], "the latest");
}

pub fn texts_are_found_by_their_digests_as_long_as_they_are_kept(backend: &dyn Backend) {
    let store = backend.open();
    let same = |number: i64, text: &str| NewCaptured { text: text.to_owned(), ..row(number) };
    let unanswered = NewCaptured { large: None, ..same(3, "a") };
    store.captured().add(vec![same(1, "a"), same(2, "b"), unanswered, same(4, "c")]).unwrap();
    let hash = |text: &str| Input::new(text).hash();
    let wanted = ["a", "b", "never"].map(hash).into();
    let found = |store: &sprat_store::Store| store.captured().texts(&tickets(), &wanted).unwrap();
    let texts = found(&store);
    assert_eq!(texts.len(), 2);
    assert_eq!(
        texts[&hash("a")],
        CapturedText { text: "a".to_owned(), large: Some(label("delivery")) },
        "the one that was answered"
    );
    let row = store.captured().of_request(&tickets(), &"r-2".into()).unwrap().unwrap();
    assert_eq!((row.row.text.as_str(), row.hash), ("b", hash("b")));
    assert_eq!(store.captured().of_request(&"other".into(), &"r-2".into()).unwrap(), None);
    store.captured().forget_before(&tickets(), 3_000).unwrap();
    assert_eq!(found(&store).keys().collect::<Vec<_>>(), [&hash("a")]);
    assert_eq!(store.captured().of_request(&tickets(), &"r-2".into()).unwrap(), None);
}

pub fn records_that_people_gave_go_with_their_texts_and_thumbs_stay(backend: &dyn Backend) {
    let store = backend.open();
    store.captured().add(vec![row(1), row(2)]).unwrap();
    let record = Answer::Fields([("name".to_owned(), "Ada".into())].into_iter().collect());
    let said = |request: &str, thumb, label| Feedback {
        request: request.into(),
        thumb,
        label: Some(label),
        by: None,
        time_unix_ms: 9,
    };
    for feedback in [
        said("r-1", Some(Thumb::Down), record.clone()),
        said("r-1", None, record.clone()),
        said("r-1", None, label("refund")),
        said("r-2", None, record.clone()),
    ] {
        store.feedback().add(&feedback).unwrap();
    }
    store.captured().forget_before(&tickets(), 2_000).unwrap();
    let left = |request: &str| -> Vec<_> {
        let left = store.feedback().of_request(&request.into()).unwrap();
        left.into_iter().map(|said| (said.thumb, said.label)).collect()
    };
    assert_eq!(left("r-1"), [(Some(Thumb::Down), None), (None, Some(label("refund")))]);
    assert_eq!(left("r-2"), [(None, Some(record))]);
}
