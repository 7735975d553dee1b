//! How fast the ledger is on this machine: `cargo run --release -p sprat-store --example ledger_speed`.
//! Prints, and asserts nothing: what is fast enough is for `docs/benchmarks.md` to say.

use std::time::{Duration, Instant};

use sprat_store::{Ending, Filter, LedgerEntry, Options, Source, SpoolSync, Store, StoreError};
use sprat_task::{Confidence, Money, Outcome, Provenance, Step, Usage};

const ENTRIES: u32 = 100_000;
const THREADS: u32 = 4;

fn main() -> Result<(), StoreError> {
    let folder = std::env::temp_dir().join(format!("sprat-ledger-speed-{}", std::process::id()));
    let outcome = measure(&folder.join("sprat.db"));
    // Only this example's own folder.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn measure(path: &std::path::Path) -> Result<(), StoreError> {
    let url = format!("sqlite:{}", path.display());
    let store = Store::open(&url)?;
    let start = Instant::now();
    let mut slowest = append_all(&store, ENTRIES)?;
    let appended = start.elapsed();
    store.ledger().settle()?;
    let settled = start.elapsed();
    println!("{ENTRIES} entries of two steps, {THREADS} threads, spool synced every 50 ms:");
    println!("  appended  {:>9.0} rows/s", f64::from(ENTRIES) / appended.as_secs_f64());
    println!("  in SQLite {:>9.0} rows/s (synchronous=FULL)", f64::from(ENTRIES) / settled.as_secs_f64());
    slowest.sort_unstable();
    let at = |share: f64| slowest[((slowest.len() - 1) as f64 * share) as usize];
    println!("  one append: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));

    let start = Instant::now();
    let totals = store.ledger().totals(&Filter::default())?;
    println!("  totals of {} requests from rollups in {:?}", totals.requests, start.elapsed());
    drop(store);

    let each = Options { spool_sync: SpoolSync::EveryAppend, ..Options::default() };
    let store = Store::open_with(&url, &each)?;
    let start = Instant::now();
    append_all(&store, ENTRIES / 100)?;
    println!(
        "  appended  {:>9.0} rows/s where the spool is synced at every append",
        f64::from(ENTRIES / 100) / start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn append_all(store: &Store, entries: u32) -> Result<Vec<Duration>, StoreError> {
    let work = |thread: u32| {
        (0..entries / THREADS)
            .map(|number| {
                let entry = entry(thread, number);
                let start = Instant::now();
                store.ledger().append(&entry)?;
                Ok(start.elapsed())
            })
            .collect::<Result<Vec<_>, StoreError>>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| StoreError::Closed)??);
        }
        Ok(all)
    })
}

fn entry(thread: u32, number: u32) -> LedgerEntry {
    let step =
        |model: &str, outcome| Step { model: model.into(), usage: Usage::FREE, latency_us: 20, outcome };
    LedgerEntry {
        request: format!("{thread}-{number}").into(),
        task: "tickets".into(),
        release: None,
        time_unix_ms: i64::from(number) * 1_000,
        source: Source::Serve,
        ending: Ending::Large,
        answered_by: Some("large".into()),
        steps: vec![step("linear", Outcome::Deferred(Confidence::new(0.4))), step("large", Outcome::Last)],
        cost: Some(Money::from_micro(120)),
        baseline_all_large: Some(Money::from_micro(120)),
        baseline_is_estimated: false,
        provenance: Provenance::Simulated,
        latency_us: u64::from(number) % 5_000,
        key: None,
        held: None,
    }
}
