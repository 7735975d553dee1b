use sprat_store::{Labelled, NewReview, Reason, ReviewCounts};
use sprat_task::{Answer, Confidence};

use super::Backend;
use crate::samples::{label, tickets};

fn row(text: &str, priority: f64) -> NewReview {
    NewReview {
        task: tickets(),
        text: text.to_owned(),
        small: Some(label("refund")),
        large: None,
        confidence: Some(Confidence::new(0.5)),
        reason: Reason::Unsure,
        propensity: 1.0,
        priority,
        request: Some("r-1".into()),
    }
}

fn said(answer: &str, time_unix_ms: i64) -> Labelled {
    Labelled { answer: label(answer), by: "Ada".to_owned(), time_unix_ms }
}

pub fn the_most_urgent_comes_first(backend: &dyn Backend) {
    let store = backend.open();
    let rows = vec![row("b", 1.0), row("a", 1.0), row("urgent", 2.0), row("last", -1.0)];
    assert_eq!(store.review().add(rows, 5).unwrap(), 4);
    let other = NewReview { task: "other".into(), ..row("elsewhere", 9.0) };
    store.review().add(vec![other], 5).unwrap();
    let next = store.review().next(&tickets(), 3).unwrap();
    let texts: Vec<&str> = next.iter().map(|next| next.row.text.as_str()).collect();
    assert_eq!(texts, ["urgent", "b", "a"]);
    assert_eq!((&next[0].row, next[0].time_unix_ms), (&row("urgent", 2.0), 5));
}

pub fn a_text_is_queued_once(backend: &dyn Backend) {
    let store = backend.open();
    assert_eq!(store.review().add(vec![row("a", 1.0), row("a", 1.0)], 5).unwrap(), 1);
    assert_eq!(store.review().add(vec![row("a", 8.0), row("b", 1.0)], 6).unwrap(), 1);
    assert_eq!(store.review().next(&tickets(), 9).unwrap()[0].row, row("a", 1.0), "as it was");
}

pub fn a_row_drawn_at_random_later_counts_as_random(backend: &dyn Backend) {
    let store = backend.open();
    let audit = NewReview { reason: Reason::Audit, propensity: 0.03, ..row("a", 1.0) };
    store.review().add(vec![row("a", 1.0)], 5).unwrap();
    assert_eq!(store.review().add(vec![audit.clone()], 6).unwrap(), 0);
    assert_eq!(store.review().next(&tickets(), 1).unwrap()[0].row, audit);
    store.review().add(vec![row("a", 1.0)], 7).unwrap();
    assert_eq!(store.review().next(&tickets(), 1).unwrap()[0].row, audit, "and not the other way round");
}

pub fn a_label_takes_a_row_off_the_queue(backend: &dyn Backend) {
    let store = backend.open();
    store.review().add(vec![row("a", 2.0), row("b", 1.0)], 5).unwrap();
    let first = store.review().next(&tickets(), 1).unwrap().remove(0);
    store.review().label(first.id, &said("refund", 6)).unwrap();
    store.review().label(first.id, &said("billing", 7)).unwrap();
    assert_eq!(store.review().next(&tickets(), 9).unwrap().len(), 1);
    assert_eq!(store.review().counts(&tickets()).unwrap(), ReviewCounts { waiting: 1, labelled: 1 });
    let labelled: Vec<_> = store.review().labelled(&tickets()).map(Result::unwrap).collect();
    assert_eq!(labelled.len(), 1);
    assert_eq!(labelled[0].label, Some(said("billing", 7)), "the second thought counts");
    assert!(store.review().label(999, &said("refund", 8)).is_err());
    assert_eq!(store.review().counts(&"other".into()).unwrap(), ReviewCounts::default());
}

pub fn a_label_that_is_taken_back_puts_the_row_where_it_was(backend: &dyn Backend) {
    let store = backend.open();
    store.review().add(vec![row("a", 2.0), row("b", 1.0)], 5).unwrap();
    let first = store.review().next(&tickets(), 1).unwrap().remove(0);
    store.review().label(first.id, &said("refund", 6)).unwrap();
    assert_eq!(store.review().row(first.id).unwrap().unwrap().label, Some(said("refund", 6)));
    store.review().unlabel(first.id).unwrap();
    assert_eq!(store.review().next(&tickets(), 1).unwrap(), [first]);
    assert_eq!(store.review().row(999).unwrap(), None);
    assert!(store.review().unlabel(999).is_err());
}

pub fn what_was_skipped_is_passed_over(backend: &dyn Backend) {
    let store = backend.open();
    let rows = vec![row("c", 1.0), row("a", 2.0), row("b", 2.0), row("d", 0.5)];
    store.review().add(rows, 5).unwrap();
    let mut seen = Vec::new();
    let mut next = store.review().next(&tickets(), 1).unwrap();
    while let Some(row) = next.pop() {
        next = store.review().next_after(&tickets(), row.id, 1).unwrap();
        seen.push(row.row.text);
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    assert_eq!(store.review().next_after(&tickets(), 999, 9).unwrap(), []);
}

pub fn texts_of_requests_are_forgotten_and_labels_stay_without_their_words(backend: &dyn Backend) {
    let store = backend.open();
    let record = |name: &str| Answer::Fields([("name".to_owned(), name.into())].into_iter().collect());
    let of_a_file = NewReview { request: None, ..row("of a file", 1.0) };
    let named = NewReview { small: Some(record("Ada Holm")), ..row("Ada Holm writes", 2.0) };
    store.review().add(vec![row("waits", 1.0), named, of_a_file.clone()], 5).unwrap();
    store.review().add(vec![row("later", 0.0)], 50).unwrap();
    let first = store.review().next(&tickets(), 1).unwrap().remove(0);
    let label = Labelled { answer: record("Ada Holm"), by: "Bob".to_owned(), time_unix_ms: 6 };
    store.review().label(first.id, &label).unwrap();
    assert_eq!(store.review().tasks().unwrap(), [tickets()]);
    assert_eq!(store.review().forget_before(&tickets(), 50).unwrap(), 2);
    assert_eq!(store.review().forget_before(&tickets(), 50).unwrap(), 0, "once");
    let left: Vec<NewReview> =
        store.review().next(&tickets(), 9).unwrap().into_iter().map(|next| next.row).collect();
    assert_eq!(left, [of_a_file, row("later", 0.0)]);
    let kept = store.review().row(first.id).unwrap().unwrap();
    assert_eq!((kept.row.text.as_str(), kept.row.small), ("", None));
    assert_eq!(kept.label.unwrap().answer, record("Ada Holm").without_words());
    assert_eq!(store.review().labelled(&tickets()).count(), 0, "without its text it teaches nothing");
    store.review().unlabel(first.id).unwrap();
    assert_eq!(store.review().next(&tickets(), 9).unwrap().len(), 2, "there is nothing to ask about");
}
