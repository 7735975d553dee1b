//! Records on disk before the reply goes out, in an append-only file beside the database.
//!
//! Each open store appends to a segment of its own, which it holds locked; the writer thread takes the records over
//! into SQLite every 20 ms, and the offset it has reached stands in the same transaction as the rows. A segment that
//! nobody holds is what a crash left behind: the next store that opens takes it over, each record once.
//!
//! **What a crash can lose.** Nothing that [`append`](crate::Ledger::append) has returned for, where the process dies
//! (`kill -9`, a panic): the bytes are the operating system's by then. Where the machine loses power, the last 50 ms
//! at most ([`SpoolSync::Interval`]): records are on the disk platter once SQLite has committed them (20 ms plus one
//! commit, ordinarily) or, where SQLite can't, once the segment is synced every interval. [`SpoolSync::EveryAppend`]
//! syncs before `append` returns and loses nothing, at one fsync a record.

mod frame;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sprat_task::TaskName;

use crate::error::StoreError;
use frame::Found;

/// A segment that has grown to this is sealed and a new one begun.
const SEGMENT_BYTES: u64 = 16 << 20;

/// About how much is taken over in one transaction.
const BATCH_BYTES: u64 = 512 << 10;

/// The ending of a segment's name. It changes when the format of its records does.
const ENDING: &str = "spool1";

/// When appended records are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolSync {
    /// At the latest so long after they were appended.
    Interval(Duration),
    /// Before the append returns.
    EveryAppend,
}

impl Default for SpoolSync {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(50))
    }
}

/// Why so many records of a task and hour could not be kept.
pub(crate) type Lost = HashMap<(TaskName, i64), u64>;

/// The segments this store holds.
pub(crate) struct Spool {
    folder: PathBuf,
    sync: SpoolSync,
    limit_bytes: u64,
    state: Mutex<State>,
    /// Told when there is something to sync.
    appended: Condvar,
    /// Told when the store closes.
    closing: Condvar,
}

#[derive(Default)]
struct State {
    /// Oldest first. Only the last may be open for appending.
    segments: VecDeque<Segment>,
    /// Records appended since the writer last looked.
    gathered: u64,
    lost: Lost,
    trouble: Option<StoreError>,
    closed: bool,
}

struct Segment {
    name: String,
    path: PathBuf,
    /// Held locked: who has the lock takes the records over.
    file: Arc<File>,
    appended: u64,
    applied: u64,
    synced: u64,
    sealed: bool,
    /// Set where its end isn't records: it is kept for a person to look at.
    damaged: bool,
}

/// Some records of one segment.
pub(crate) struct Batch {
    pub(crate) segment: String,
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Each record's place in the segment, and its bytes.
    pub(crate) records: Vec<(u64, Vec<u8>)>,
    /// What the segment ends with, where that isn't a whole record.
    pub(crate) end: Option<End>,
}

/// How a segment ends that a crash left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In the middle of a record that was never acknowledged.
    Torn,
    /// With bytes that are no records; the file is kept.
    Damaged,
}

impl Spool {
    /// Opens the folder and takes charge of the segments that nobody holds. `applied` says how far a segment has been
    /// taken over.
    pub(crate) fn open(
        folder: PathBuf,
        sync: SpoolSync,
        limit_bytes: u64,
        applied: &HashMap<String, u64>,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&folder).map_err(|error| StoreError::io(&folder, &error))?;
        let mut state = State::default();
        {
            let _folder_lock = lock_folder(&folder)?;
            for path in segment_files(&folder)? {
                if let Some(orphan) = adopt(path, applied)? {
                    state.segments.push_back(orphan);
                }
            }
        }
        // A crash between the commit and the removal leaves a finished file; one that can't be removed does no harm.
        let _ = drop_finished(&mut state);
        Ok(Self {
            folder,
            sync,
            limit_bytes,
            state: Mutex::new(state),
            appended: Condvar::new(),
            closing: Condvar::new(),
        })
    }

    /// The names of all segments in the folder, whoever holds them.
    pub(crate) fn names(folder: &Path) -> Result<HashSet<String>, StoreError> {
        Ok(segment_files(folder)?.iter().map(|path| name_of(path)).collect())
    }

    /// Appends one record. Returns how many have come since the writer last looked, this one included.
    pub(crate) fn append(&self, payload: &[u8]) -> Result<u64, StoreError> {
        let framed = frame::frame(payload).ok_or_else(|| StoreError::Damaged {
            what: "ledger entry",
            why: format!("{} bytes can't be one record", payload.len()),
        })?;
        let length = framed.len() as u64;
        let mut state = self.state();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let kept: u64 = state.segments.iter().map(|segment| segment.appended).sum();
        if kept + length > self.limit_bytes {
            return Err(StoreError::Full { path: self.folder.display().to_string() });
        }
        let segment = self.open_segment(&mut state)?;
        let mut written = (&*segment.file).write_all(&framed);
        if written.is_ok() && self.sync == SpoolSync::EveryAppend {
            written = segment.file.sync_data();
        }
        if let Err(error) = written {
            // Half a record must not stand before whole ones.
            segment.sealed |= segment.file.set_len(segment.appended).is_err();
            return Err(StoreError::io(&segment.path, &error));
        }
        segment.appended += length;
        state.gathered += 1;
        let gathered = state.gathered;
        drop(state);
        self.appended.notify_one();
        Ok(gathered)
    }

    /// How many records have come since the writer last looked.
    pub(crate) fn gathered(&self) -> u64 {
        self.state().gathered
    }

    /// Whether there is anything to take over.
    pub(crate) fn has_waiting(&self) -> bool {
        let state = self.state();
        !state.lost.is_empty() || state.segments.iter().any(|segment| segment.applied < segment.appended)
    }

    /// How many records wait to be taken over; counted in the files.
    pub(crate) fn count_waiting(&self) -> Result<u64, StoreError> {
        let spans: Vec<(PathBuf, u64, u64)> = self
            .state()
            .segments
            .iter()
            .map(|segment| (segment.path.clone(), segment.applied, segment.appended))
            .collect();
        let mut waiting = 0;
        for (path, applied, appended) in spans {
            if applied < appended {
                let bytes = read_from(&path, applied, appended - applied)?;
                waiting += split(String::new(), applied, &bytes, true).records.len() as u64;
            }
        }
        Ok(waiting)
    }

    /// The oldest records not yet taken over; `None` where there are none.
    pub(crate) fn next_batch(&self) -> Result<Option<Batch>, StoreError> {
        let mut state = self.state();
        state.gathered = 0;
        let Some(segment) = state.segments.iter().find(|segment| segment.applied < segment.appended) else {
            return Ok(None);
        };
        let (name, path, from) = (segment.name.clone(), segment.path.clone(), segment.applied);
        let left = segment.appended - from;
        drop(state);
        let mut bytes = read_from(&path, from, left.min(BATCH_BYTES))?;
        let mut batch = split(name, from, &bytes, left <= BATCH_BYTES);
        if batch.records.is_empty() && batch.end.is_none() {
            // One record longer than a batch.
            bytes = read_from(&path, from, left)?;
            batch = split(batch.segment, from, &bytes, true);
            if batch.records.is_empty() && batch.end.is_none() {
                // Somebody cut the file while we held it.
                batch.end = Some(End::Torn);
            }
        }
        if batch.end.is_some() {
            batch.until = from + left;
        }
        Ok(Some(batch))
    }

    /// A batch has been committed, and its segment is applied up to `until`.
    pub(crate) fn applied(&self, batch: &Batch, until: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(segment) = state.segments.iter_mut().find(|segment| segment.name == batch.segment) {
            segment.applied = until;
            segment.damaged |= batch.end == Some(End::Damaged);
        }
        drop_finished(&mut state)
    }

    /// Counts a record that could not be kept.
    pub(crate) fn lose(&self, task: TaskName, hour: i64) {
        *self.state().lost.entry((task, hour)).or_default() += 1;
    }

    /// What has been lost since this was last asked, to be written down.
    pub(crate) fn take_lost(&self) -> Lost {
        std::mem::take(&mut self.state().lost)
    }

    /// It could not be written down.
    pub(crate) fn put_back_lost(&self, lost: Lost) {
        let mut state = self.state();
        for (key, count) in lost {
            *state.lost.entry(key).or_default() += count;
        }
    }

    /// Why the spool could not be taken over at the last attempt; `None` where it could.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.state().trouble.clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<StoreError>) {
        self.state().trouble = trouble;
    }

    /// Refuses further appends, and removes what has been taken over. What hasn't stays for the next to open.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for segment in &mut state.segments {
            segment.sealed = true;
        }
        // A file that can't be removed is removed by the next store that opens.
        let _ = drop_finished(&mut state);
        state.segments.clear();
        drop(state);
        self.appended.notify_all();
        self.closing.notify_all();
    }

    /// Syncs what SQLite has not taken over within the interval, until the spool closes.
    pub(crate) fn keep_synced(&self) {
        let SpoolSync::Interval(interval) = self.sync else { return };
        let mut state = self.state();
        while !state.closed {
            let Some((name, mark)) = state.unsynced() else {
                state = self.appended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state = self
                .closing
                .wait_timeout_while(state, interval, |state| !state.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let Some(segment) = state.segments.iter().find(|segment| segment.name == name) else { continue };
            if segment.applied.max(segment.synced) >= mark {
                continue;
            }
            let (file, reached) = (Arc::clone(&segment.file), segment.appended);
            drop(state);
            let outcome = file.sync_data();
            state = self.state();
            let Some(segment) = state.segments.iter_mut().find(|segment| segment.name == name) else {
                continue;
            };
            // Not synced or not: asking again at once would not help a disk that fails.
            segment.synced = reached;
            if let Err(error) = outcome {
                let path = segment.path.clone();
                state.trouble = Some(StoreError::io(&path, &error));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment to append to; a new one where there is none or it is full.
    fn open_segment<'a>(&self, state: &'a mut State) -> Result<&'a mut Segment, StoreError> {
        if let Some(last) = state.segments.back_mut()
            && !last.sealed
            && last.appended >= SEGMENT_BYTES
        {
            // Nobody syncs it once it isn't the last.
            last.file.sync_data().map_err(|error| StoreError::io(&last.path, &error))?;
            last.sealed = true;
        }
        if state.segments.back().is_none_or(|last| last.sealed) {
            let made = new_segment(&self.folder)?;
            state.segments.push_back(made);
        }
        let last = state.segments.len() - 1;
        Ok(&mut state.segments[last])
    }
}

impl State {
    /// The open segment and how far it reaches, where not all of it is on the disk.
    fn unsynced(&self) -> Option<(String, u64)> {
        let last = self.segments.back().filter(|last| !last.sealed)?;
        (last.applied.max(last.synced) < last.appended).then(|| (last.name.clone(), last.appended))
    }
}

/// Removes the segments of which all has been taken over.
fn drop_finished(state: &mut State) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    state.segments.retain(|segment| {
        let finished = segment.sealed && segment.applied >= segment.appended;
        if finished {
            let removed = if segment.damaged {
                std::fs::rename(&segment.path, segment.path.with_extension("damaged"))
            } else {
                std::fs::remove_file(&segment.path)
            };
            if let Err(error) = removed {
                outcome = Err(StoreError::io(&segment.path, &error));
            }
        }
        !finished
    });
    outcome
}

/// Begins a segment under a name nobody had before: an old name would bring its old offset with it.
fn new_segment(folder: &Path) -> Result<Segment, StoreError> {
    let _folder_lock = lock_folder(folder)?;
    let name = format!("{:016x}{:016x}", random(), random());
    let path = folder.join(&name).with_extension(ENDING);
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| StoreError::io(&path, &error))?;
    file.lock().map_err(|error| StoreError::io(&path, &error))?;
    Ok(Segment {
        name,
        path,
        file: Arc::new(file),
        appended: 0,
        applied: 0,
        synced: 0,
        sealed: false,
        damaged: false,
    })
}

/// 64 random bits: the standard library seeds every hash map with some from the operating system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Takes charge of a segment; `None` where a living store holds it.
fn adopt(path: PathBuf, applied: &HashMap<String, u64>) -> Result<Option<Segment>, StoreError> {
    let told = |error: std::io::Error| StoreError::io(&path, &error);
    let file = match OpenOptions::new().append(true).open(&path) {
        Ok(file) => file,
        // Its owner has just finished with it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(told(error)),
    }
    let appended = file.metadata().map_err(told)?.len();
    let name = name_of(&path);
    let applied = applied.get(&name).copied().unwrap_or(0);
    Ok(Some(Segment {
        name,
        path,
        file: Arc::new(file),
        appended,
        applied,
        synced: appended,
        sealed: true,
        damaged: false,
    }))
}

/// Held while segments are made and adopted, so that nobody adopts one between its making and its locking.
fn lock_folder(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let told = |error: std::io::Error| StoreError::io(&path, &error);
    let file = OpenOptions::new().append(true).create(true).open(&path).map_err(told)?;
    file.lock().map_err(told)?;
    Ok(file)
}

fn segment_files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let told = |error: std::io::Error| StoreError::io(folder, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read_from(path: &Path, from: u64, length: u64) -> Result<Vec<u8>, StoreError> {
    let told = |error: std::io::Error| StoreError::io(path, &error);
    let mut file = File::open(path).map_err(told)?;
    file.seek(SeekFrom::Start(from)).map_err(told)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}

/// The records in some bytes of a segment. Where `to_the_end` they reach to its end, so that a record cut off there is
/// torn; otherwise it is left for the next batch.
fn split(segment: String, from: u64, bytes: &[u8], to_the_end: bool) -> Batch {
    let mut batch = Batch { segment, from, until: from, records: Vec::new(), end: None };
    let mut rest = bytes;
    while !rest.is_empty() {
        match frame::read(rest) {
            Found::Record(payload, length) => {
                batch.records.push((batch.until, payload.to_vec()));
                batch.until += length as u64;
                rest = &rest[length..];
            }
            Found::CutOff if to_the_end => {
                batch.end = Some(End::Torn);
                break;
            }
            Found::CutOff => break,
            Found::Damaged => {
                batch.end = Some(End::Damaged);
                break;
            }
        }
    }
    batch
}
