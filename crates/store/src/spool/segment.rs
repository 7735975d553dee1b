//! One file of the spool: made and locked, adopted after a crash, read, removed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, Found};
use crate::error::StoreError;

/// The ending of a segment's name. It changes when the format of its records does.
const ENDING: &str = "spool1";

/// A file that this store holds.
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Held locked: who has the lock takes the records over.
    pub(super) file: Arc<File>,
    /// Its length, of whole records.
    pub(super) appended: u64,
    /// How much of it has been taken over.
    pub(super) applied: u64,
    /// How much of it has been forced to the disk.
    pub(super) synced: u64,
    /// Nothing is appended any more.
    pub(super) sealed: bool,
    /// Set where its end isn't records: it is kept for a person to look at.
    pub(super) damaged: bool,
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

/// Removes the files of finished segments; of those that ended with something else than records, only out of the way.
/// A file that stays behind is removed by the next store that opens.
pub(super) fn remove(finished: Vec<Segment>) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    for segment in finished {
        let removed = if segment.damaged {
            std::fs::rename(&segment.path, segment.path.with_extension("damaged"))
        } else {
            std::fs::remove_file(&segment.path)
        };
        if let Err(error) = removed {
            outcome = Err(StoreError::io(&segment.path, &error));
        }
    }
    outcome
}

/// Begins a segment under a name nobody had before: an old name would bring its old offset with it.
pub(super) fn new_segment(folder: &Path) -> Result<Segment, StoreError> {
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

/// Syncs a file and the folder that has its name: a new file's bytes are of no use without it.
pub(super) fn sync_with_name(file: &File, folder: &Path) -> std::io::Result<()> {
    file.sync_data()?;
    File::open(folder)?.sync_all()
}

/// 64 random bits: the standard library seeds every hash map with some from the operating system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Takes charge of a segment; `None` where a living store holds it.
pub(super) fn adopt(path: PathBuf, applied: &HashMap<String, u64>) -> Result<Option<Segment>, StoreError> {
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
pub(super) fn lock_folder(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let told = |error: std::io::Error| StoreError::io(&path, &error);
    let file = OpenOptions::new().append(true).create(true).open(&path).map_err(told)?;
    file.lock().map_err(told)?;
    Ok(file)
}

/// The segments in a folder, whoever holds them.
pub(super) fn segment_files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
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

/// A segment's name: its file's, without the ending.
pub(super) fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Some bytes of a segment; fewer where it ends before.
pub(super) fn read_from(path: &Path, from: u64, length: u64) -> Result<Vec<u8>, StoreError> {
    let told = |error: std::io::Error| StoreError::io(path, &error);
    let mut file = File::open(path).map_err(told)?;
    file.seek(SeekFrom::Start(from)).map_err(told)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}

/// The records in some bytes of a segment. Where `to_the_end` they reach to its end, so that a record cut off there is
/// torn; otherwise it is left for the next batch.
pub(super) fn split(segment: String, from: u64, bytes: &[u8], to_the_end: bool) -> Batch {
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
