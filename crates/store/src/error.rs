//! What can go wrong with what is remembered, and what to do about it. Nothing here is ever repaired by deleting.

use sprat_task::{KeyId, ReleaseId, TaskName};

/// Why something could not be remembered or recalled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The address in `[store] url` can't be opened by this build.
    #[error("`{url}` is not a store this program can open: {why}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is not a database, or a damaged one.
    #[error("`{path}` can't be read as a database: {why}")]
    Corrupt {
        /// The file.
        path: String,
        /// In SQLite's words.
        why: String,
    },
    /// The file is a database, but not ours.
    #[error("`{path}` is a database of another program")]
    Foreign {
        /// The file.
        path: String,
    },
    /// A newer program has been here.
    #[error("`{path}` has schema version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The file.
        path: String,
        /// The version in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// No space left, on the disk or under a declared limit. What was stored before is intact.
    #[error("no space left for `{path}`")]
    Full {
        /// The file that could not grow.
        path: String,
    },
    /// Another process has been writing for longer than the limit.
    #[error("`{path}` is busy: another process has been writing to it for too long")]
    Busy {
        /// The file.
        path: String,
    },
    /// The operating system refused.
    #[error("`{path}`: {why}")]
    Io {
        /// The file or folder.
        path: String,
        /// In the system's words.
        why: String,
    },
    /// A stored value can't be read back as what it was.
    #[error("a stored {what} can't be read back: {why}")]
    Damaged {
        /// What it should be.
        what: &'static str,
        /// Why it isn't.
        why: String,
    },
    /// The store was closed while this was under way; whether it was stored is not known.
    #[error("the store has been closed")]
    Closed,
    /// Anything else SQLite says.
    #[error("`{path}`: {why}")]
    Database {
        /// The file.
        path: String,
        /// In SQLite's words.
        why: String,
    },
    /// The registry has no such release.
    #[error("there is no release {0}")]
    NoRelease(ReleaseId),
    /// Another release already has this number.
    #[error("there is already another release {0}")]
    ReleaseExists(ReleaseId),
    /// Nothing is live for this task.
    #[error("no release of `{0}` is live")]
    NothingLive(TaskName),
    /// Nothing was live before what is live now.
    #[error("no release of `{0}` was live before the present one")]
    NothingBefore(TaskName),
    /// A release that is live answers everything already, and is nothing beside itself.
    #[error("{0} is live already")]
    IsLive(ReleaseId),
    /// There is no such key.
    #[error("there is no key `{0}`")]
    NoKey(KeyId),
    /// The name was given to a key before.
    #[error("there is already a key `{0}`")]
    KeyExists(KeyId),
    /// Another process works on the same bulk run.
    #[error("another process is working on this run, begun with output `{output}`")]
    RunInProgress {
        /// The run's output, as given.
        output: String,
    },
    /// The job was given to somebody else because its lease ran out, or it has ended.
    #[error("job {job} is no longer this worker's")]
    LeaseLost {
        /// The job's number.
        job: i64,
    },
    /// What was asked for by number isn't there.
    #[error("there is no {what} number {number}")]
    NoSuch {
        /// What was asked for.
        what: &'static str,
        /// Its number.
        number: i64,
    },
}

impl StoreError {
    /// One next step, where there is one to give.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Url { .. } => "use url = \"sqlite:.sprat/sprat.db\"".to_owned(),
            Self::Corrupt { path, .. } => format!(
                "move {path} (with {path}-wal and {path}-shm) away to begin anew, or put a backup in its place; nothing was deleted"
            ),
            Self::Foreign { .. } => "choose another path under [store]".to_owned(),
            Self::Newer { .. } => {
                "use the newer program, or restore a backup from before the upgrade".to_owned()
            }
            Self::Full { .. } => "make space and try again; what was stored before is intact".to_owned(),
            Self::Busy { .. } => "try again when the other process is done".to_owned(),
            Self::NothingLive(task) => format!("promote one with `sprat promote {task}`"),
            Self::IsLive(id) => format!("`sprat releases {}` lists the others", id.task),
            Self::NoRelease(id) => format!("see `sprat releases {}`", id.task),
            Self::NothingBefore(task) => format!("see `sprat releases {task}`, and promote the one you want"),
            Self::NoKey(_) => "`sprat keys list` names them".to_owned(),
            Self::KeyExists(id) => format!(
                "choose another name: the ledger tells spending apart by it, also after a key is revoked; `sprat keys rotate {id}` gives it another secret"
            ),
            Self::RunInProgress { .. } => "wait for it, or write to another output".to_owned(),
            Self::Damaged { .. } => {
                "put a backup of the database in its place, or move it away and learn again; nothing was deleted"
                    .to_owned()
            }
            Self::Io { .. }
            | Self::Closed
            | Self::Database { .. }
            | Self::ReleaseExists(_)
            | Self::LeaseLost { .. }
            | Self::NoSuch { .. } => return None,
        })
    }

    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, why: error.to_string() },
        }
    }
}

/// A failure before it is known which file it belongs to.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Ours(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Ours(error)
    }
}

impl Fault {
    /// The same failure, told about a file.
    pub(crate) fn in_file(self, path: &std::path::Path) -> StoreError {
        use rusqlite::ErrorCode as Code;
        let error = match self {
            Self::Ours(error) => return error,
            Self::Sqlite(error) => error,
        };
        let path = path.display().to_string();
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => StoreError::Corrupt { path, why },
            Some(Code::DiskFull) => StoreError::Full { path },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => StoreError::Busy { path },
            Some(Code::CannotOpen | Code::PermissionDenied | Code::ReadOnly | Code::SystemIoFailure) => {
                StoreError::Io { path, why }
            }
            _ => StoreError::Database { path, why },
        }
    }
}
