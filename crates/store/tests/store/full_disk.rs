//! No space left: calls fail in a way that callers survive, nothing stored before is harmed, and what fell into the
//! spool is taken over when there is space again.

use sprat_store::{Filter, Options, Store, StoreError};

use crate::samples::{Workspace, small};

/// So many rows fit into no database below.
const MANY: u32 = 2_000;

fn almost_full(workspace: &Workspace) -> Store {
    drop(workspace.open());
    let bytes = std::fs::metadata(workspace.path()).unwrap().len() + 64 * 1024;
    workspace.open_with(&Options { database_limit_bytes: Some(bytes), ..Options::default() })
}

#[test]
fn appends_fall_into_the_spool_and_come_back_when_there_is_space() {
    let workspace = Workspace::new();
    let store = almost_full(&workspace);
    for number in 0..MANY {
        store.ledger().append(&small(&number.to_string(), 1)).unwrap();
    }
    assert!(matches!(store.ledger().settle(), Err(StoreError::Full { .. })));
    assert!(matches!(store.ledger().trouble(), Some(StoreError::Full { .. })));
    let stored = store.ledger().totals(&Filter::default()).unwrap().requests;
    assert_eq!(stored + store.ledger().waiting().unwrap(), u64::from(MANY), "each is in one place");
    assert_eq!(store.check().unwrap(), [] as [&str; 0]);
    drop(store);

    let store = workspace.open();
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!((totals.requests, totals.lost), (u64::from(MANY), 0));
    assert_eq!(store.ledger().latest(None, 9_999).unwrap().len(), MANY as usize);
}

#[test]
fn a_write_that_doesn_t_fit_fails_and_harms_nothing() {
    let workspace = Workspace::new();
    let store = almost_full(&workspace);
    let import = store.calls().begin_import("log.jsonl", 1).unwrap();
    let call = |number: u32| sprat_store::ImportedCall {
        content: sprat_task::Sha256Hex::of(&number.to_le_bytes()),
        model: None,
        system_prompt: None,
        schema: None,
        time_unix_ms: None,
        input_tokens: None,
        output_tokens: None,
        cost: None,
        session: None,
        call: serde_json::json!({"text": "x".repeat(500)}),
    };
    let refused = store.calls().add(import, (0..MANY).map(call).collect());
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    assert!(refused.unwrap_err().hint().is_some());
    assert_eq!(store.calls().count(&sprat_store::CallFilter::default()).unwrap(), 0, "all or nothing");
    assert_eq!(store.calls().add(import, (0..10).map(call).collect()).unwrap(), 10, "what fits goes on");
    assert_eq!(store.check().unwrap(), [] as [&str; 0]);
}

#[test]
fn what_even_the_spool_can_t_take_is_counted_where_the_records_are() {
    let workspace = Workspace::new();
    let options = Options { spool_limit_bytes: 100, ..Options::default() };
    let store = workspace.open_with(&options);
    for request in ["a", "b"] {
        let refused = store.ledger().append(&small(request, 1));
        assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    }
    let other = sprat_store::LedgerEntry { task: "other".into(), ..small("c", 1) };
    assert!(store.ledger().append(&other).is_err());
    drop(store);
    let store = workspace.open();
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!((totals.requests, totals.lost), (0, 3));
    let only = Filter { task: Some("other".into()), ..Filter::default() };
    assert_eq!(store.ledger().lost(&only).unwrap(), 1);
}
