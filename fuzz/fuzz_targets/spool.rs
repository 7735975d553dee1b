//! A store opens beside a spool of any bytes, and counts what it could not read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_store::{Filter, Store};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("s.db-spool");
    std::fs::create_dir(&spool).unwrap();
    std::fs::write(spool.join("0.spool1"), bytes).unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
    store.ledger().settle().unwrap();
    let totals = store.ledger().totals(&Filter::default()).unwrap();
    assert_eq!(totals.requests + totals.lost > 0, !bytes.is_empty());
});
