use sprat_store::{Ending, Filter, LedgerEntry, Search, Source, Spend};
use sprat_task::{ModelError, ModelId, Money, Outcome, Provenance, Tokens};

use super::Backend;
use crate::samples::{free_step, large, large_step, small, tickets};

const HOUR: i64 = 3_600_000;

pub fn an_entry_comes_back_as_it_was(backend: &dyn Backend) {
    let store = backend.open();
    let failed = LedgerEntry {
        ending: Ending::Failed,
        answered_by: None,
        release: None,
        steps: vec![
            free_step(Outcome::Abstained),
            sprat_task::Step {
                outcome: Outcome::Failed(ModelError::Busy { retry_after_ms: Some(2_000) }),
                ..large_step(None)
            },
        ],
        provenance: Provenance::Recorded,
        ..large("r-2", 2, None)
    };
    for entry in [small("r-1", 1), failed.clone(), large("r-3", 3, Some(120))] {
        store.ledger().append(&entry).unwrap();
    }
    assert_eq!(store.ledger().request(&"r-2".into()).unwrap(), std::slice::from_ref(&failed));
    assert_eq!(store.ledger().latest(None, 2).unwrap(), [large("r-3", 3, Some(120)), failed], "newest first");
    assert_eq!(store.ledger().latest(Some(&"other".into()), 2).unwrap(), []);
    assert_eq!(store.ledger().request(&"nobody's".into()).unwrap(), []);
}

pub fn sums_are_exact_and_unknown_is_counted_apart(backend: &dyn Backend) {
    let store = backend.open();
    for entry in [small("a", 1), large("b", 2, Some(150)), large("c", 3, None)] {
        store.ledger().append(&entry).unwrap();
    }
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!((totals.requests, totals.small, totals.escalated, totals.failed), (3, 1, 2, 0));
    assert_eq!((totals.cost, totals.cost_unknown), (Money::from_micro(150), 1));
    assert_eq!((totals.baseline, totals.baseline_unknown), (Money::from_micro(270), 1));
    assert_eq!(totals.baseline_estimated, 1);
    assert_eq!((totals.compared.requests, totals.compared.saved()), (2, Money::from_micro(120)));
    assert_eq!((totals.latency.count, totals.latency.sum_us), (3, 25 + 2 * 900_100));
    assert_eq!(totals.latency.quantile_us(0.2), Some(25));
    assert_eq!(totals.lost, 0);
}

pub fn periods_tasks_and_spending_are_told_apart(backend: &dyn Backend) {
    let store = backend.open();
    let ledger = store.ledger();
    ledger.append(&small("a", HOUR)).unwrap();
    ledger.append(&small("b", 3 * HOUR)).unwrap();
    ledger.append(&LedgerEntry { task: "other".into(), ..small("c", HOUR) }).unwrap();
    ledger.append(&LedgerEntry { source: Source::Teacher, ..large("d", HOUR, Some(10)) }).unwrap();
    let requests = |filter: Filter| ledger.totals(&filter).unwrap().requests;
    assert_eq!(requests(Filter::default()), 4);
    assert_eq!(requests(Filter { task: Some(tickets()), ..Filter::default() }), 3);
    assert_eq!(requests(Filter { spend: Some(Spend::Labels), ..Filter::default() }), 1);
    assert_eq!(requests(Filter { spend: Some(Spend::Training), ..Filter::default() }), 0);
    let touched = Filter { period: Some(HOUR + 5..HOUR + 6), ..Filter::default() };
    assert_eq!(requests(touched), 3, "an hour that is touched counts whole");
    assert_eq!(requests(Filter { period: Some(2 * HOUR..3 * HOUR), ..Filter::default() }), 0);

    let sources: Vec<(Source, u64)> = ledger
        .per_source(&Filter::default())
        .unwrap()
        .into_iter()
        .map(|(source, totals)| (source, totals.requests))
        .collect();
    assert_eq!(sources, [(Source::Serve, 3), (Source::Teacher, 1)]);
    let answered = ledger.answered_by(&Filter::default()).unwrap();
    assert_eq!(answered, [(Some(ModelId::from("linear")), 3), (Some(ModelId::from("large")), 1)]);
}

pub fn models_are_summed_by_their_steps(backend: &dyn Backend) {
    let store = backend.open();
    for entry in [small("a", 1), large("b", 2, Some(150)), large("c", 3, None)] {
        store.ledger().append(&entry).unwrap();
    }
    let models = store.ledger().per_model(&Filter::default()).unwrap();
    let [large, linear] = &models[..] else { panic!("two models, not {models:?}") };
    assert_eq!((linear.model.as_str(), linear.steps, linear.answered), ("linear", 3, 1));
    assert_eq!((linear.cost_unknown, linear.tokens_unknown), (0, 3));
    assert_eq!(linear.latency.quantile_us(0.99), Some(20));
    assert_eq!((large.model.as_str(), large.steps, large.answered, large.failed), ("large", 2, 2, 0));
    assert_eq!((large.cost, large.cost_unknown), (Money::from_micro(150), 1));
    assert_eq!(large.tokens, Tokens { input: 100, cached_input: 40, cache_write: 0, output: 5 });
    assert_eq!(large.tokens_unknown, 1);
}

pub fn days_are_told_apart(backend: &dyn Backend) {
    let store = backend.open();
    for (request, time) in [("a", 0), ("b", 24 * HOUR - 1), ("c", 24 * HOUR), ("d", 72 * HOUR)] {
        store.ledger().append(&small(request, time)).unwrap();
    }
    let days = store.ledger().per_day(&Filter::default()).unwrap();
    let requests: Vec<(i64, u64, Option<u64>)> = days
        .into_iter()
        .map(|(day, totals)| (day, totals.requests, totals.latency.quantile_us(0.5)))
        .collect();
    assert_eq!(requests, [(0, 2, Some(25)), (24 * HOUR, 1, Some(25)), (72 * HOUR, 1, Some(25))]);
}

pub fn hours_are_told_apart(backend: &dyn Backend) {
    let store = backend.open();
    for (request, time) in [("a", 0), ("b", HOUR - 1), ("c", HOUR), ("d", 3 * HOUR)] {
        store.ledger().append(&small(request, time)).unwrap();
    }
    let period = Some(HOUR..4 * HOUR);
    let hours = store.ledger().per_hour(&Filter { period, ..Filter::default() }).unwrap();
    let requests: Vec<(i64, u64)> = hours.into_iter().map(|(hour, totals)| (hour, totals.requests)).collect();
    assert_eq!(requests, [(HOUR, 1), (3 * HOUR, 1)]);
}

pub fn records_are_found_by_task_and_ending_a_page_at_a_time(backend: &dyn Backend) {
    let store = backend.open();
    let audit = LedgerEntry { source: Source::Audit, ..large("audit", 3, Some(90)) };
    let other = LedgerEntry { task: "other".into(), ..small("other", 4) };
    for entry in [small("a", 1), large("b", 2, Some(120)), audit, other, small("c", 5)] {
        store.ledger().append(&entry).unwrap();
    }
    let found = |search: &Search, n: usize| {
        let found = store.ledger().search(search, n).unwrap();
        let names: Vec<String> = found.entries.iter().map(|entry| entry.request.to_string()).collect();
        (names.join(" "), found.older)
    };
    let all = Search::default();
    let (names, older) = found(&all, 2);
    assert_eq!(names, "c other");
    let next = Search { before: older, ..all.clone() };
    assert_eq!(found(&next, 3), ("audit b a".to_owned(), None), "the last page, though it is full");
    let of_task = Search { task: Some(tickets()), spend: Some(Spend::Serving), ..all.clone() };
    assert_eq!(found(&of_task, 9), ("c b a".to_owned(), None));
    let escalated = Search { ending: Some(Ending::Large), ..of_task };
    assert_eq!(found(&escalated, 9), ("b".to_owned(), None));
    assert_eq!(found(&Search { task: Some("nobody's".into()), ..all }, 9), (String::new(), None));
}

pub fn the_weakest_provenance_stands_for_all(backend: &dyn Backend) {
    let store = backend.open();
    assert_eq!(store.ledger().totals(&Filter::default()).unwrap().provenance, None);
    store.ledger().append(&small("a", 1)).unwrap();
    store.ledger().append(&LedgerEntry { provenance: Provenance::Authored, ..small("b", 1) }).unwrap();
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!(totals.provenance, Some(Provenance::Authored));
}

pub fn what_was_appended_is_seen_by_the_next_question(backend: &dyn Backend) {
    let store = backend.open();
    for number in 1..=5 {
        store.ledger().append(&small(&format!("r-{number}"), 1)).unwrap();
        assert_eq!(store.ledger().totals(&Filter::default()).unwrap().requests, number);
    }
    assert_eq!(store.ledger().waiting().unwrap(), 0);
    assert_eq!(store.ledger().trouble(), None);
    drop(store);
    let again = backend.open();
    assert_eq!(again.ledger().totals(&Filter::default()).unwrap().requests, 5, "and after closing too");
}

pub fn an_audit_stands_beside_its_request(backend: &dyn Backend) {
    let store = backend.open();
    let audit = LedgerEntry { source: Source::Audit, ..large("a", 2, Some(90)) };
    store.ledger().append(&small("a", 1)).unwrap();
    store.ledger().append(&audit).unwrap();
    assert_eq!(store.ledger().request(&"a".into()).unwrap(), [small("a", 1), audit]);
}

pub fn ten_threads_lose_nothing(backend: &dyn Backend) {
    let store = backend.open();
    std::thread::scope(|scope| {
        for thread in 0..10 {
            let store = store.clone();
            scope.spawn(move || {
                for number in 0..200 {
                    store.ledger().append(&small(&format!("{thread}-{number}"), number)).unwrap();
                }
            });
        }
    });
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!((totals.requests, totals.latency.count, totals.lost), (2_000, 2_000, 0));
    assert_eq!(store.ledger().latest(None, 5_000).unwrap().len(), 2_000);
}

pub fn keys_are_charged_what_is_known_and_what_is_held(backend: &dyn Backend) {
    let store = backend.open();
    let of = |key: &str, entry: LedgerEntry| LedgerEntry { key: Some(key.into()), ..entry };
    let held = LedgerEntry { held: Some(Money::from_micro(300)), ..large("unknown", HOUR, None) };
    let entries = [
        of("web", small("a", 0)),
        of("web", large("b", HOUR, Some(120))),
        of("web", held),
        of("batch", large("c", 0, Some(70))),
        small("nobody's", HOUR),
    ];
    for entry in &entries {
        store.ledger().append(entry).unwrap();
    }
    let back = store.ledger().request(&"unknown".into()).unwrap();
    assert_eq!(back, [entries[2].clone()]);
    let all = store.ledger().per_key(None, 0).unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|of| (of.key.as_str(), of.requests, of.small, of.cost_unknown, of.charged().micro()))
        .collect();
    assert_eq!(told, [("batch", 1, 0, 0, 70), ("web", 3, 1, 1, 420)]);
    let since = store.ledger().per_key(Some(&"web".into()), HOUR).unwrap();
    assert_eq!((since.len(), since[0].requests, since[0].charged().micro()), (1, 2, 420));
    assert_eq!(store.ledger().per_key(Some(&"batch".into()), HOUR).unwrap(), []);
}
