//! Logs into the workspace's store, and the calls out of it again.

use serde::Serialize;
use sprat_store::{CallFilter, ImportedCall, Store, StoreError};

use super::{Call, Found, ImportError, Imported, Importing, Log, Rejected, Sink, import};

/// Calls written in one transaction.
const TOGETHER: usize = 500;

/// What an import brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreImport {
    /// What was found in the logs.
    pub found: Imported,
    /// Of the calls, those that were new.
    pub added: u64,
    /// Of the calls, those that had been imported before.
    pub known: u64,
}

/// Imports logs into a store. `rejected` gets each line that could not be read: write it to a file, and nothing is
/// lost.
pub fn import_into(
    store: &Store,
    logs: &[&dyn Log],
    importing: &Importing<'_>,
    now_unix_ms: i64,
    rejected: &mut dyn FnMut(Rejected),
) -> Result<StoreImport, ImportError<StoreError>> {
    let mut keeper = Keeper {
        store,
        names: logs.iter().map(|log| log.name().to_owned()).collect(),
        now_unix_ms,
        rejected,
        import: None,
        waiting: Vec::new(),
        counts: (0, 0),
    };
    let found = import(logs, importing, &mut keeper);
    // Also after an error: what was read until then is kept, and known when the import is begun again.
    let flushed = keeper.flush();
    let found = found?;
    flushed.map_err(ImportError::Sink)?;
    let (added, known) = keeper.counts;
    Ok(StoreImport { found, added, known })
}

/// The imported calls, in the order they were imported, in constant memory. A record that another version wrote in
/// another shape is passed over.
pub fn stored_calls(
    store: &Store,
    filter: &CallFilter,
) -> impl Iterator<Item = Result<Call, StoreError>> + use<> {
    let records = store.calls().iter(filter);
    records.filter_map(|record| match record {
        Ok(record) => serde_json::from_value(record.call).ok().map(Ok),
        Err(error) => Some(Err(error)),
    })
}

struct Keeper<'a> {
    store: &'a Store,
    names: Vec<String>,
    now_unix_ms: i64,
    rejected: &'a mut dyn FnMut(Rejected),
    /// The log being read, and the number of its import.
    import: Option<(usize, i64)>,
    waiting: Vec<ImportedCall>,
    /// New ones, known ones.
    counts: (u64, u64),
}

impl Keeper<'_> {
    fn flush(&mut self) -> Result<(), StoreError> {
        let Some((_, import)) = self.import.filter(|_| !self.waiting.is_empty()) else { return Ok(()) };
        let calls = std::mem::take(&mut self.waiting);
        let all = calls.len() as u64;
        let added = self.store.calls().add(import, calls)?;
        self.counts = (self.counts.0 + added, self.counts.1 + all - added);
        Ok(())
    }
}

impl Sink for Keeper<'_> {
    type Error = StoreError;

    fn keep(&mut self, found: Found) -> Result<(), StoreError> {
        if self.import.is_none_or(|(log, _)| log != found.log) {
            self.flush()?;
            let import = self.store.calls().begin_import(&self.names[found.log], self.now_unix_ms)?;
            self.import = Some((found.log, import));
        }
        self.waiting.push(found.call.record(found.content));
        if self.waiting.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    fn reject(&mut self, rejected: Rejected) -> Result<(), StoreError> {
        (self.rejected)(rejected);
        Ok(())
    }
}
