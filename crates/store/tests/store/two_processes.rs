//! Several processes on one workspace.

use std::collections::HashSet;

use sprat_store::Filter;

use crate::children::{Acknowledged, Work, start, teacher_key};
use crate::samples::{Workspace, small};

#[test]
fn three_processes_that_write_without_a_pause_lose_nothing() {
    let workspace = Workspace::new();
    let mut children: Vec<_> =
        ["a", "b", "c"].map(|name| start(&workspace, Work::Hammer, name)).into_iter().collect();
    let versions: Vec<String> = children.iter_mut().flat_map(Acknowledged::by).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(versions.len(), 300);
    assert_eq!(versions.iter().collect::<HashSet<_>>().len(), 300, "no number was given twice");
    let store = workspace.open();
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!((totals.requests, totals.lost), (3_000, 0));
    assert_eq!(store.teacher().count(&teacher_key()).unwrap(), 300);
    assert_eq!(store.check().unwrap(), [] as [&str; 0]);
    let left = std::fs::read_dir(workspace.path().with_file_name("sprat.db-spool")).unwrap().count();
    assert_eq!(left, 1, "only the folder's lock");
}

#[test]
fn one_sees_what_another_wrote() {
    let workspace = Workspace::new();
    let (one, other) = (workspace.open(), workspace.open());
    one.ledger().append(&small("a", 1)).unwrap();
    one.ledger().settle().unwrap();
    assert_eq!(other.ledger().totals(&Filter::default()).unwrap().requests, 1);
    other.ledger().append(&small("b", 1)).unwrap();
    other.ledger().settle().unwrap();
    assert_eq!(one.ledger().totals(&Filter::default()).unwrap().requests, 2);
}
