//! Files that are no databases, or no longer. Each is named, and left as it was.

use sprat_store::{Filter, Store, StoreError};

use crate::samples::{Workspace, small};

fn refused(workspace: &Workspace) -> StoreError {
    let before = std::fs::read(workspace.path()).unwrap();
    let error = Store::open(&workspace.url()).expect_err("the file is no store");
    assert_eq!(std::fs::read(workspace.path()).unwrap(), before, "it was left as it was");
    assert!(error.to_string().contains("sprat.db"), "{error} names the file");
    error
}

#[test]
fn a_file_that_is_no_database_is_named_with_what_to_do() {
    let workspace = Workspace::new();
    std::fs::write(workspace.path(), "these are my notes, not a database\n".repeat(300)).unwrap();
    let error = refused(&workspace);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("move ") && hint.contains("backup"), "{hint}");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let workspace = Workspace::new();
    let other = rusqlite::Connection::open(workspace.path()).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(other);
    assert!(matches!(refused(&workspace), StoreError::Foreign { .. }));
}

#[test]
fn a_newer_program_s_database_says_so() {
    let workspace = Workspace::new();
    drop(workspace.open());
    let other = rusqlite::Connection::open(workspace.path()).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let error = refused(&workspace);
    assert!(error.to_string().contains("schema version 99"), "{error}");
}

#[test]
fn a_database_cut_short_or_overwritten_fails_by_name_and_never_panics() {
    let workspace = Workspace::new();
    let store = workspace.open();
    for number in 0..500 {
        store.ledger().append(&small(&number.to_string(), 1)).unwrap();
    }
    drop(store);
    let whole = std::fs::read(workspace.path()).unwrap();
    let damage: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(100),
        |bytes| bytes[8192..].fill(0xa5),
    ];
    for (number, hurt) in damage.into_iter().enumerate() {
        let mut bytes = whole.clone();
        hurt(&mut bytes);
        std::fs::write(workspace.path(), bytes).unwrap();
        let error = Store::open(&workspace.url())
            .and_then(|store| {
                store.ledger().append(&small("new", 2))?;
                store.ledger().settle()?;
                store.ledger().latest(None, 9_999)
            })
            .expect_err("the file is damaged");
        assert!(matches!(error, StoreError::Corrupt { .. }), "damage {number}: {error:?}");
        assert!(workspace.path().exists());
    }
    // With the backup in its place all is well again, and what was appended meanwhile is there.
    std::fs::write(workspace.path(), whole).unwrap();
    let store = workspace.open();
    assert!(store.ledger().totals(&Filter::default()).unwrap().requests >= 500);
    assert_eq!(store.check().unwrap(), [] as [&str; 0]);
}

#[test]
fn a_folder_or_a_missing_permission_is_an_error_and_not_a_panic() {
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.path()).unwrap();
    let error = Store::open(&workspace.url()).expect_err("a folder is no file");
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
}
