//! Opening a store, and the way from it to everything remembered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::audits::Audits;
use crate::calls::Calls;
use crate::captured::CapturedBook;
use crate::columns::unsigned;
use crate::datasets::Datasets;
use crate::error::{Fault, StoreError};
use crate::feedback::FeedbackBook;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::notices::NoticeBook;
use crate::registry::Registry;
use crate::review::Review;
use crate::runs::Runs;
use crate::shadow::ShadowBook;
use crate::spool::{Spool, SpoolSync};
use crate::sqlite::{self, Readers};
use crate::step_backs::StepBacks;
use crate::teacher::TeacherAnswers;
use crate::writer::Writer;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// When spooled records are forced to the disk.
    pub spool_sync: SpoolSync,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// The spool refuses to grow beyond this; the records are then counted as lost.
    pub spool_limit_bytes: u64,
    /// The database refuses to grow beyond this, as if the disk were full; `None` leaves it to the disk.
    pub database_limit_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spool_sync: SpoolSync::default(),
            busy_timeout: Duration::from_secs(30),
            spool_limit_bytes: 1 << 30,
            database_limit_bytes: None,
        }
    }
}

/// Everything remembered of a workspace. Cheap to clone; any thread may use it, and several processes may have the same
/// one open. What a method has returned for is on the disk, except where it says otherwise.
#[derive(Clone)]
pub struct Store(Arc<Parts>);

/// What an open store is made of.
pub(crate) struct Parts {
    path: PathBuf,
    readers: Readers,
    pub(crate) writer: Writer,
    pub(crate) spool: Arc<Spool>,
    syncer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store at an address such as `sqlite:.sprat/sprat.db`, making file and folder where there are none, and
    /// takes over what a crash left in the spool.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &Options::default())
    }

    /// The same, with options.
    pub fn open_with(url: &str, options: &Options) -> Result<Self, StoreError> {
        let path = path_of(url)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::io(folder, &error))?;
        }
        let (connection, contended) =
            sqlite::open_writer(&path, options).map_err(|fault| fault.in_file(&path))?;
        let spool = open_spool(&connection, &path, options)?;
        let syncer = start_syncer(&spool, &path)?;
        let writer = Writer::start(connection, contended, path.clone(), Arc::clone(&spool))?;
        let readers = Readers::new(path.clone(), options.busy_timeout);
        Ok(Self(Arc::new(Parts { path, readers, writer, spool, syncer: Some(syncer) })))
    }

    /// What every request did and cost.
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger { store: self }
    }

    /// Releases, and which of them are live.
    pub fn registry(&self) -> Registry<'_> {
        Registry { store: self }
    }

    /// What watching releases would have done.
    pub fn shadow(&self) -> ShadowBook<'_> {
        ShadowBook { store: self }
    }

    /// Which certification rows have been looked at.
    pub fn datasets(&self) -> Datasets<'_> {
        Datasets { store: self }
    }

    /// Answers bought from large models.
    pub fn teacher(&self) -> TeacherAnswers<'_> {
        TeacherAnswers { store: self }
    }

    /// Bulk runs and the rows they have done.
    pub fn runs(&self) -> Runs<'_> {
        Runs { store: self }
    }

    /// Calls imported from logs.
    pub fn calls(&self) -> Calls<'_> {
        Calls { store: self }
    }

    /// Requests kept with their texts.
    pub fn captured(&self) -> CapturedBook<'_> {
        CapturedBook { store: self }
    }

    /// Rows that wait for a person's label.
    pub fn review(&self) -> Review<'_> {
        Review { store: self }
    }

    /// What users said about answers.
    pub fn feedback(&self) -> FeedbackBook<'_> {
        FeedbackBook { store: self }
    }

    /// Small answers that were checked.
    pub fn audits(&self) -> Audits<'_> {
        Audits { store: self }
    }

    /// Parts of the traffic that were taken away from the small models.
    pub fn step_backs(&self) -> StepBacks<'_> {
        StepBacks { store: self }
    }

    /// What somebody should be told.
    pub fn notices(&self) -> NoticeBook<'_> {
        NoticeBook { store: self }
    }

    /// Work for workers.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs { store: self }
    }

    /// Virtual keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys { store: self }
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What SQLite's own check finds wrong with the file, for `sprat doctor`; empty where all is well. Reads the whole
    /// file.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
            let found = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Moves SQLite's log into the database and cuts it, so that what was overwritten there isn't found in the log.
    /// Where another process is reading just now, its own next checkpoint does it.
    pub(crate) fn shorten_log(&self) -> Result<(), StoreError> {
        self.0.readers.checkpoint()
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    /// Reads, all of it of one moment.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.0.readers.read(work)
    }

    /// Writes, in a transaction; returns when it is on the disk.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.writer.write(work)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.path.display())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.writer.close();
        self.spool.close();
        if let Some(syncer) = self.syncer.take() {
            // It could only have panicked, and then there is nothing left to wait for.
            let _ = syncer.join();
        }
    }
}

/// The file an address names.
fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let wrong = |why| Err(StoreError::Url { url: without_password(url), why });
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return wrong("this build stores in SQLite; PostgreSQL is not built in");
    }
    match url.strip_prefix("sqlite:") {
        None => wrong("an address begins with `sqlite:`"),
        Some("" | "//") => wrong("the path is missing"),
        Some(":memory:" | "//:memory:") => wrong("what is only in memory is not remembered; name a file"),
        Some(path) => Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
    }
}

/// An address as it may be shown: without what stands between `://` and `@`.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

fn open_spool(connection: &Connection, path: &Path, options: &Options) -> Result<Arc<Spool>, StoreError> {
    let folder = beside(path, "-spool");
    let applied = applied_offsets(connection).map_err(|fault| fault.in_file(path))?;
    let spool = Spool::open(folder.clone(), options.spool_sync, options.spool_limit_bytes, &applied)?;
    forget_removed(connection, &folder, &applied);
    Ok(Arc::new(spool))
}

/// `sprat.db` and `-spool` make `sprat.db-spool`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn applied_offsets(connection: &Connection) -> Result<HashMap<String, u64>, Fault> {
    let mut statement = connection.prepare("SELECT name, applied FROM spool_segment")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Offsets of segments that have been removed are of no use: a segment's row is written after its file exists, and no
/// name comes twice. A few left over do no harm, so that a full disk is no reason not to open.
fn forget_removed(connection: &Connection, folder: &Path, applied: &HashMap<String, u64>) {
    let Ok(present) = Spool::names(folder) else { return };
    for name in applied.keys().filter(|name| !present.contains(*name)) {
        if connection.execute("DELETE FROM spool_segment WHERE name = ?1", [name]).is_err() {
            return;
        }
    }
}

fn start_syncer(spool: &Arc<Spool>, path: &Path) -> Result<JoinHandle<()>, StoreError> {
    let spool = Arc::clone(spool);
    std::thread::Builder::new()
        .name("sprat-spool-sync".to_owned())
        .spawn(move || spool.keep_synced())
        .map_err(|error| StoreError::io(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_says_what_is_wrong_with_it() {
        for (url, path) in [
            ("sqlite:.sprat/sprat.db", Some(".sprat/sprat.db")),
            ("sqlite:///var/lib/sprat.db", Some("/var/lib/sprat.db")),
            ("sqlite:", None),
            ("sqlite::memory:", None),
            (".sprat/sprat.db", None),
            ("postgres://localhost/sprat", None),
        ] {
            assert_eq!(path_of(url).ok(), path.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn a_postgres_address_is_refused_without_repeating_its_password() {
        let error = path_of("postgres://me:secret@db.example/sprat").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`postgres://…@db.example/sprat` is not a store this program can open: this build stores in SQLite; \
             PostgreSQL is not built in"
        );
    }
}
