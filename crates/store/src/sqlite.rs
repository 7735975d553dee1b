//! Connections to one SQLite file: how they are set up, and the readers' pool.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::error::{Fault, StoreError};
use crate::migrations;
use crate::store::Options;

/// How often a connection that waits for another process asks again. SQLite's own schedule backs off to 100 ms, which
/// loses every race against a process that writes without a pause.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// How many idle read connections are kept.
const IDLE_READERS: usize = 8;

/// Set when a connection has had to wait for another process.
pub(crate) type Contended = Arc<AtomicBool>;

/// Opens the connection that writes, at the newest schema. The file is made where there is none.
pub(crate) fn open_writer(path: &Path, options: &Options) -> Result<(Connection, Contended), Fault> {
    let mut connection = open(path)?;
    let contended = wait_for_others(&mut connection, options.busy_timeout)?;
    migrations::identify(&connection, path)?;
    switch_to_wal(&connection, options.busy_timeout)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Text that is forgotten is overwritten in the file, and not only unlinked.
    connection.pragma_update(None, "secure_delete", "ON")?;
    if let Some(bytes) = options.database_limit_bytes {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    migrations::migrate(&mut connection, path)?;
    Ok((connection, contended))
}

/// Read connections, each used by one thread at a time.
pub(crate) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, busy_timeout: Duration) -> Self {
        Self { path, busy_timeout, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` on a connection of its own, inside one read transaction, so that all it reads is of one moment.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.try_read(work).map_err(|fault| fault.in_file(&self.path))
    }

    fn try_read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match taken {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let moment = connection.unchecked_transaction()?;
        let result = work(&moment);
        drop(moment);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() && idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }

    /// Moves the log into the database and cuts it to nothing, unless another reader still needs it.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let done = open(&self.path).and_then(|mut connection| {
            wait_for_others(&mut connection, self.busy_timeout)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        });
        done.map_err(|fault| fault.in_file(&self.path))
    }

    fn open_reader(&self) -> Result<Connection, Fault> {
        let mut connection = open(&self.path)?;
        wait_for_others(&mut connection, self.busy_timeout)?;
        connection.pragma_update(None, "query_only", "ON")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}

fn open(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    Ok(Connection::open_with_flags(path, flags)?)
}

fn wait_for_others(connection: &mut Connection, limit: Duration) -> Result<Contended, Fault> {
    let contended = Contended::default();
    let seen = Arc::clone(&contended);
    let mut since = Instant::now();
    connection.busy_handler(Some(move |times: i32| {
        if times == 0 {
            since = Instant::now();
            seen.store(true, Ordering::Relaxed);
        }
        std::thread::sleep(ASK_AGAIN);
        since.elapsed() < limit
    }))?;
    Ok(contended)
}

/// WAL is a property of the file, so this does something once. SQLite doesn't call the busy handler here where two
/// processes switch at the same moment.
fn switch_to_wal(connection: &Connection, limit: Duration) -> Result<(), Fault> {
    let since = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(_) => return Ok(()),
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
                ) && since.elapsed() < limit =>
            {
                std::thread::sleep(ASK_AGAIN);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
