//! What can be imported: a file, or a text in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sprat_task::Problem;

/// A log that can be read from its beginning, and at a place it was read before.
pub trait Log {
    /// What messages call it.
    fn name(&self) -> &str;

    /// Reads it from its beginning.
    fn open(&self) -> io::Result<Box<dyn BufRead + '_>>;

    /// `length` bytes from `start` on.
    fn read_at(&self, start: u64, length: u64) -> io::Result<Vec<u8>>;
}

/// A log in a file.
pub struct LogFile {
    path: PathBuf,
    name: String,
}

impl LogFile {
    /// The log at a path.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self { path: path.to_owned(), name: path.display().to_string() }
    }
}

impl Log for LogFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        let file = File::open(&self.path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::other("it is a folder; name the files in it"));
        }
        Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
    }

    fn read_at(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A log in memory, as standard input read to its end.
pub struct LogText {
    name: String,
    bytes: Vec<u8>,
}

impl LogText {
    /// These bytes under this name.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl Log for LogText {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(Cursor::new(&self.bytes)))
    }

    fn read_at(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut reader = Cursor::new(&self.bytes);
        reader.set_position(start);
        let mut bytes = Vec::new();
        reader.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

pub(super) fn unreadable(log: &dyn Log, error: &io::Error) -> Problem {
    Problem::new(format!("`{}` can't be read: {error}", log.name()))
}
