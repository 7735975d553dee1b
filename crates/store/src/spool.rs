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
//!
//! **What a full disk can lose.** A record that fits neither the database nor the spool: `append` says so, and the loss is
//! counted in memory until the database can be written again. A process that dies before that takes the count with it.

mod frame;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sprat_task::TaskName;

use crate::error::StoreError;
use segment::{
    Segment, adopt, lock_folder, name_of, new_segment, read_from, remove, segment_files, split,
    sync_with_name,
};

pub(crate) use segment::{Batch, End};

/// A segment that has grown to this is sealed and a new one begun.
const SEGMENT_BYTES: u64 = 16 << 20;

/// About how much is taken over in one transaction.
const BATCH_BYTES: u64 = 512 << 10;

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
        let _ = remove(state.take_finished());
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
        let finished = state.take_finished();
        drop(state); // appends needn't wait for the file system
        remove(finished)
    }

    /// Counts a record that could not be kept. Says whether it is the first since the losses were last written down.
    pub(crate) fn lose(&self, task: TaskName, hour: i64) -> bool {
        let mut state = self.state();
        let is_first = state.lost.is_empty();
        *state.lost.entry((task, hour)).or_default() += 1;
        is_first
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
        let finished = state.take_finished();
        state.segments.clear();
        drop(state);
        let _ = remove(finished); // one that stays behind is removed by the next store that opens
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
            let is_new = segment.synced == 0;
            drop(state);
            let outcome = if is_new { sync_with_name(&file, &self.folder) } else { file.sync_data() };
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
            last.sealed = true;
        }
        if state.segments.back().is_none_or(|last| last.sealed) {
            let made = new_segment(&self.folder)?;
            if self.sync == SpoolSync::EveryAppend {
                sync_with_name(&made.file, &self.folder)
                    .map_err(|error| StoreError::io(&made.path, &error))?;
            }
            state.segments.push_back(made);
        }
        let last = state.segments.len() - 1;
        Ok(&mut state.segments[last])
    }
}

impl State {
    /// The oldest segment of which something is neither taken over nor synced, and how far it reaches.
    fn unsynced(&self) -> Option<(String, u64)> {
        let behind = |segment: &&Segment| segment.applied.max(segment.synced) < segment.appended;
        self.segments.iter().find(behind).map(|segment| (segment.name.clone(), segment.appended))
    }

    /// Gives up the segments of which all has been taken over.
    fn take_finished(&mut self) -> Vec<Segment> {
        let (finished, kept) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition::<VecDeque<_>, _>(|segment| segment.sealed && segment.applied >= segment.appended);
        self.segments = kept;
        finished.into()
    }
}
