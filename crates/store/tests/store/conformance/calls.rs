use sprat_store::{CallFilter, ImportedCall};
use sprat_task::{Money, Sha256Hex};

use super::Backend;

fn call(number: u32) -> ImportedCall {
    let text = format!("where is my order {number}?");
    ImportedCall {
        content: Sha256Hex::of(text.as_bytes()),
        model: Some(if number.is_multiple_of(2) { "gpt-5-mini" } else { "gpt-5" }.to_owned()),
        system_prompt: (!number.is_multiple_of(3)).then(|| Sha256Hex::of(b"route the ticket")),
        schema: None,
        time_unix_ms: Some(i64::from(number)),
        input_tokens: Some(100),
        output_tokens: (number != 1).then_some(5),
        cost: (number != 1).then(|| Money::from_micro(35)),
        session: None,
        call: serde_json::json!({"messages": [{"role": "user", "content": text}]}),
    }
}

pub fn the_same_call_is_imported_once(backend: &dyn Backend) {
    let store = backend.open();
    let calls = store.calls();
    let first = calls.begin_import("a.jsonl", 1).unwrap();
    assert_eq!(calls.add(first, (0..5).map(call).collect()).unwrap(), 5);
    let second = calls.begin_import("b.jsonl", 2).unwrap();
    assert_eq!(calls.add(second, (3..9).map(call).collect()).unwrap(), 4);
    assert_eq!(calls.count(&CallFilter::default()).unwrap(), 9);
    let imports: Vec<_> = calls
        .imports()
        .unwrap()
        .into_iter()
        .map(|import| (import.source, import.time_unix_ms, import.added, import.known))
        .collect();
    assert_eq!(imports, [("a.jsonl".to_owned(), 1, 5, 0), ("b.jsonl".to_owned(), 2, 4, 2)]);
    assert!(calls.add(99, vec![call(50)]).is_err(), "there is no such import");
    assert_eq!(calls.count(&CallFilter::default()).unwrap(), 9, "and nothing of it stays");
}

pub fn calls_come_back_in_order_and_filtered(backend: &dyn Backend) {
    let store = backend.open();
    let import = store.calls().begin_import("a.jsonl", 1).unwrap();
    store.calls().add(import, (0..1_203).map(call).collect()).unwrap();
    let all: Vec<ImportedCall> = store.calls().iter(&CallFilter::default()).map(Result::unwrap).collect();
    assert_eq!(all, (0..1_203).map(call).collect::<Vec<_>>());
    let filter = CallFilter {
        model: Some("gpt-5".to_owned()),
        system_prompt: Some(Sha256Hex::of(b"route the ticket")),
        import: Some(import),
    };
    let times: Vec<i64> = store.calls().iter(&filter).filter_map(|call| call.unwrap().time_unix_ms).collect();
    let right: Vec<i64> = (0..1_203).filter(|number| number % 2 == 1 && number % 3 != 0).collect();
    assert_eq!(times, right);
    assert_eq!(store.calls().count(&filter).unwrap(), right.len() as u64);
    assert_eq!(store.calls().count(&CallFilter { import: Some(7), ..filter }).unwrap(), 0);
}

pub fn a_hundred_thousand_calls_go_in_and_out(backend: &dyn Backend) {
    let store = backend.open();
    let import = store.calls().begin_import("a.jsonl", 1).unwrap();
    for part in 0..20 {
        store.calls().add(import, (part * 5_000..(part + 1) * 5_000).map(call).collect()).unwrap();
    }
    assert_eq!(store.calls().iter(&CallFilter::default()).filter(Result::is_ok).count(), 100_000);
}

pub fn forgetting_leaves_no_text(backend: &dyn Backend) {
    let store = backend.open();
    let calls = store.calls();
    let first = calls.begin_import("a.jsonl", 1).unwrap();
    calls.add(first, (0..5).map(call).collect()).unwrap();
    let second = calls.begin_import("b.jsonl", 1).unwrap();
    calls.add(second, (5..7).map(call).collect()).unwrap();
    assert_eq!(calls.forget(Some(first)).unwrap(), 5);
    assert_eq!(calls.count(&CallFilter::default()).unwrap(), 2);
    assert_eq!(calls.forget(None).unwrap(), 2);
    assert_eq!(calls.imports().unwrap(), []);
    for file in std::fs::read_dir(store.path().parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(11).any(|part| part == b"where is my");
            assert!(!found, "{} still has it", path.display());
        }
    }
}
