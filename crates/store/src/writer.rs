//! One thread owns the write connection. What several threads ask for at about the same time is committed together,
//! so that they share one fsync; what waits in the spool is taken over every few milliseconds.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Fault, StoreError};
use crate::ledger;
use crate::spool::Spool;
use crate::sqlite::Contended;

/// How many writes share a commit at most.
const GROUP: usize = 100;

/// So many spooled records are taken over at once, without waiting for `GATHER` to pass.
pub(crate) const ENOUGH_RECORDS: u64 = 64;

/// How long the first spooled record waits for company.
const GATHER: Duration = Duration::from_millis(20);

/// How long to leave the spool alone after the database could not take it over (a full disk, another writer).
const PATIENCE: Duration = Duration::from_millis(500);

/// While another process writes too, each leaves this gap after a commit; otherwise the one that asks again every
/// millisecond never finds the file free.
const GAP: Duration = Duration::from_micros(1500);

/// How long another process counts as writing after it was last met.
const MEMORY: Duration = Duration::from_secs(1);

/// The write connection's doorkeeper.
pub(crate) struct Writer {
    inbox: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Write(Box<dyn Work>),
    /// Records wait in the spool.
    Nudge,
    /// Take over all that is in the spool, then say how that went.
    Settle(Sender<Result<(), StoreError>>),
    Close,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        contended: Contended,
        path: PathBuf,
        spool: Arc<Spool>,
    ) -> Result<Self, StoreError> {
        let (inbox, messages) = channel();
        let named = path.clone();
        let desk = Desk { connection, contended, others_until: None, path, spool };
        let thread = std::thread::Builder::new()
            .name("sprat-store-writer".to_owned())
            .spawn(move || desk.work(&messages))
            .map_err(|error| StoreError::io(&named, &error))?;
        Ok(Self { inbox, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` on the write connection; returns when it is committed and on disk. The queue is as long as there
    /// are threads that write, because each waits for its own.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = channel();
        let wanted = Wanted { work: Some(work), result: None, reply };
        self.inbox.send(Message::Write(Box::new(wanted))).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    /// Says that records wait in the spool.
    pub(crate) fn nudge(&self) {
        // A writer that is gone has nothing to be told; the records stay in the spool.
        let _ = self.inbox.send(Message::Nudge);
    }

    /// Returns when everything appended to this spool before has been taken over.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let (reply, answer) = channel();
        self.inbox.send(Message::Settle(reply)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    /// Takes over what is in the spool and ends the thread.
    pub(crate) fn close(&self) {
        let _ = self.inbox.send(Message::Close);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It could only have panicked, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

/// A write somebody waits for.
trait Work: Send {
    /// Does it, inside a savepoint; says whether it is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells who waits.
    fn finish(self: Box<Self>, path: &std::path::Path, commit: Result<(), StoreError>);
}

struct Wanted<T, F> {
    work: Option<F>,
    result: Option<Result<T, Fault>>,
    reply: Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, Fault> + Send> Work for Wanted<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, path: &std::path::Path, commit: Result<(), StoreError>) {
        let told = match (self.result, commit) {
            (Some(Err(fault)), _) => Err(fault.in_file(path)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // Who asked may have gone.
        let _ = self.reply.send(told);
    }
}

/// What the thread has on its desk.
struct Desk {
    connection: Connection,
    contended: Contended,
    others_until: Option<Instant>,
    path: PathBuf,
    spool: Arc<Spool>,
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Message>) {
        // When the spool is next looked at; `None` while nothing waits there.
        let mut due = self.spool.has_waiting().then(Instant::now);
        let mut resting = false;
        loop {
            let mut orders = Orders::default();
            match next(inbox, due) {
                Ok(message) => orders.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => orders.closing = true,
            }
            while orders.writes.len() < GROUP
                && let Ok(message) = inbox.try_recv()
            {
                orders.take(message);
            }
            if !orders.writes.is_empty() {
                self.commit(orders.writes);
            }
            let asked = orders.closing || !orders.settles.is_empty();
            let is_due = due.is_some_and(|at| at <= Instant::now());
            if asked || is_due || (!resting && self.spool.gathered() >= ENOUGH_RECORDS) {
                let outcome = self.take_over_spool();
                resting = outcome.is_err();
                due = resting.then(|| Instant::now() + PATIENCE);
                for settle in orders.settles {
                    let _ = settle.send(outcome.clone());
                }
            }
            if orders.closing {
                return;
            }
            if due.is_none() && self.spool.has_waiting() {
                due = Some(Instant::now() + GATHER);
            }
        }
    }

    /// Commits several writes together. One that fails is undone alone.
    fn commit(&mut self, mut writes: Vec<Box<dyn Work>>) {
        let outcome = self.run_together(&mut writes);
        for write in writes {
            write.finish(&self.path, outcome.clone());
        }
        self.leave_a_gap();
    }

    fn run_together(&mut self, writes: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        let full = StoreError::Full { path: self.path.display().to_string() };
        let path = &self.path;
        let told = |error: rusqlite::Error| Fault::from(error).in_file(path);
        let group =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(told)?;
        for write in writes {
            group.execute_batch("SAVEPOINT one").map_err(told)?;
            let keep = write.run(&group);
            if group.is_autocommit() {
                // SQLite gives up the whole transaction where the disk is full or fails.
                return Err(full);
            }
            let end = if keep { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
            group.execute_batch(end).map_err(told)?;
        }
        group.commit().map_err(told)
    }

    /// Moves everything in the spool into the database, some hundred records a transaction.
    fn take_over_spool(&mut self) -> Result<(), StoreError> {
        let outcome = self.try_take_over();
        self.spool.set_trouble(outcome.as_ref().err().cloned());
        outcome
    }

    fn try_take_over(&mut self) -> Result<(), StoreError> {
        loop {
            let batch = self.spool.next_batch()?;
            let lost = self.spool.take_lost();
            if batch.is_none() && lost.is_empty() {
                return Ok(());
            }
            let done = ledger::take_over(&mut self.connection, batch.as_ref(), &lost);
            match done {
                Ok(applied) => {
                    if let Some(batch) = batch {
                        self.spool.applied(&batch, applied)?;
                    }
                }
                Err(fault) => {
                    self.spool.put_back_lost(lost);
                    return Err(fault.in_file(&self.path));
                }
            }
            self.leave_a_gap();
        }
    }

    fn leave_a_gap(&mut self) {
        if self.contended.swap(false, Ordering::Relaxed) {
            self.others_until = Some(Instant::now() + MEMORY);
        }
        match self.others_until {
            Some(until) if until > Instant::now() => std::thread::sleep(GAP),
            _ => self.others_until = None,
        }
    }
}

/// What has come in since the last look.
#[derive(Default)]
struct Orders {
    writes: Vec<Box<dyn Work>>,
    settles: Vec<Sender<Result<(), StoreError>>>,
    closing: bool,
}

impl Orders {
    fn take(&mut self, message: Message) {
        match message {
            Message::Write(write) => self.writes.push(write),
            Message::Settle(reply) => self.settles.push(reply),
            Message::Nudge => {}
            Message::Close => self.closing = true,
        }
    }
}

fn next(inbox: &Receiver<Message>, due: Option<Instant>) -> Result<Message, RecvTimeoutError> {
    match due {
        Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
