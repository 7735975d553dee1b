//! What has been answered already, so that nothing is paid for twice.
//!
//! A line a record: CRC-32 in eight hexadecimal digits, a space, JSON. The first line says what the run is about;
//! each run (the first, and each that resumes it) begins with a session record; then come answers, in nearly the order
//! of the rows: never further apart than the session's window. So replaying needs the memory of a window, not of the
//! file. A torn last line is cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sprat_task::Problem;

use super::Answered;
use super::input::Row;
use super::plan::Plan;
use crate::rows::lines::Lines;

/// A power cut loses at most the answers of this time; a killed process none.
const SYNC_EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// What the run is about.
    Run { input: String, identity: String },
    /// A run begins; its answers are never further apart than this many rows.
    Session { window: u64 },
    /// Answers: the row's number, its text's CRC-32, the answer.
    Rows(Vec<(u64, u32, Answered)>),
    /// The output is complete.
    Finished,
}

/// The journal of a run, open for appending and locked against a second process.
pub struct Journal {
    file: File,
    path: PathBuf,
    synced: Instant,
    line: Vec<u8>,
}

impl Journal {
    /// Opens or begins the journal, and gives what earlier sessions have answered. Refuses a journal of another
    /// input or identity, or one that another process writes.
    pub fn open(
        path: &Path,
        plan: &Plan,
        identity: &str,
        window: u64,
        restart: bool,
    ) -> Result<(Self, Replay), Problem> {
        let fault = |error: io::Error| Problem::in_file(path.display(), format!("can't be opened: {error}"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Problem::in_file(path.display(), "another run is writing this output")
                    .hint("wait for it, or write to another file"));
            }
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
        let mut known = scan(&mut file).map_err(fault)?;
        let partial = path.with_extension("partial");
        if restart || known.finished && !partial.exists() {
            // Finished, and only taking the journal away was missing: what comes now is another run.
            known = Scanned::default();
        } else if known.about.is_none() && file.metadata().map_err(fault)?.len() > 0 {
            return Err(Problem::in_file(
                path.display(),
                "this is not the journal of a run, or its beginning is lost",
            )
            .hint("move the file away; or --restart overwrites it"));
        }
        if let Some((input, whose)) = &known.about {
            check_same(path, plan, (input, whose), identity, known.rows)?;
        }
        file.set_len(known.length).map_err(fault)?;
        file.seek(SeekFrom::Start(known.length)).map_err(fault)?;
        let replay = Replay::open(path, &known.sessions, known.length, &plan.name).map_err(fault)?;
        let mut journal = Self { file, path: path.to_owned(), synced: Instant::now(), line: Vec::new() };
        if known.about.is_none() {
            let (input, identity) = (plan.fingerprint.clone(), identity.to_owned());
            journal.write(&Entry::Run { input, identity }).map_err(fault)?;
        }
        journal.write(&Entry::Session { window }).map_err(fault)?;
        journal.sync().map_err(fault)?;
        Ok((journal, replay))
    }

    /// Keeps answers: row number, the text's CRC-32, answer. What was appended survives the process.
    pub fn append<'a>(&mut self, rows: impl Iterator<Item = (u64, u32, &'a Answered)>) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Borrowed<'a> {
            Rows(Vec<(u64, u32, &'a Answered)>),
        }
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.write(&Borrowed::Rows(rows))?;
        if self.synced.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Makes what was appended survive a power cut too.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = Instant::now();
        Ok(())
    }

    /// Says that the output is complete.
    pub fn finish(&mut self) -> io::Result<()> {
        self.write(&Entry::Finished)?;
        self.sync()
    }

    /// Takes the journal away.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn write(&mut self, entry: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(b"00000000 ");
        serde_json::to_writer(&mut self.line, entry)?;
        let crc = format!("{:08x}", crc32fast::hash(&self.line[9..]));
        self.line[..8].copy_from_slice(crc.as_bytes());
        self.line.push(b'\n');
        // In one call: a process that is killed has written it or not.
        self.file.write_all(&self.line)
    }
}

fn check_same(
    path: &Path,
    plan: &Plan,
    (input, whose): (&str, &str),
    identity: &str,
    rows: u64,
) -> Result<(), Problem> {
    let problem = if input != plan.fingerprint {
        Problem::in_file(&plan.name, "the input has changed since the run that was interrupted")
    } else if whose != identity {
        Problem::in_file(path.display(), format!("the run that was interrupted was another one's: {whose}"))
            .allowed(identity)
    } else {
        return Ok(());
    };
    Err(problem.hint(format!(
        "--restart forgets its {rows} answers and asks again; or write to another file to keep them"
    )))
}

#[derive(Default)]
struct Scanned {
    about: Option<(String, String)>,
    /// Where each session begins, and its window.
    sessions: Vec<(u64, u64)>,
    rows: u64,
    finished: bool,
    /// Up to where every line is whole.
    length: u64,
}

fn scan(file: &mut File) -> io::Result<Scanned> {
    let mut known = Scanned::default();
    let mut lines = Lines::new(BufReader::with_capacity(1 << 18, file))?;
    while let Some(line) = lines.read()? {
        // What comes after a torn line was written later, and can't be trusted to be complete either.
        let Some(entry) = entry_of(line.bytes) else { break };
        let end = line.offset + line.bytes.len() as u64;
        match entry {
            Entry::Run { input, identity } => known.about = Some((input, identity)),
            Entry::Session { window } => known.sessions.push((end, window)),
            Entry::Rows(rows) => known.rows += rows.len() as u64,
            Entry::Finished => known.finished = true,
        }
        if known.about.is_none() {
            break; // another program's file, or a first line that was torn
        }
        known.length = end;
    }
    Ok(known)
}

fn entry_of(line: &[u8]) -> Option<Entry> {
    let line = line.strip_suffix(b"\n")?;
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (crc32fast::hash(json) == crc).then(|| serde_json::from_slice(json).ok())?
}

/// What earlier sessions have answered, given out in the order of the rows.
pub struct Replay {
    sessions: Vec<Session>,
    input: String,
}

struct Session {
    lines: Option<Lines<BufReader<io::Take<File>>>>,
    window: u64,
    /// One past the furthest row read.
    furthest: u64,
    waiting: BTreeMap<u64, (u32, Answered)>,
}

impl Replay {
    fn open(path: &Path, sessions: &[(u64, u64)], length: u64, input: &str) -> io::Result<Self> {
        let ends = sessions.iter().skip(1).map(|(start, _)| *start).chain([length]);
        let sessions: io::Result<Vec<Session>> = sessions
            .iter()
            .zip(ends)
            .map(|((start, window), end)| {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(*start))?;
                let lines = Lines::new(BufReader::new(file.take(end.saturating_sub(*start))))?;
                Ok(Session { lines: Some(lines), window: *window, furthest: 0, waiting: BTreeMap::new() })
            })
            .collect();
        Ok(Self { sessions: sessions?, input: input.to_owned() })
    }

    /// What is known of some rows; to be called in the order of the rows. An answer is only good for the text it was
    /// given to. Of several sessions' answers the last without an error counts.
    pub fn take(&mut self, first: u64, rows: &[Row]) -> Result<Vec<Option<Answered>>, Problem> {
        let mut known: Vec<Option<Answered>> = vec![None; rows.len()];
        let end = first + rows.len() as u64;
        for session in &mut self.sessions {
            session.read_to(end).map_err(|error| {
                Problem::in_file(
                    &self.input,
                    format!("the journal of the interrupted run can't be read: {error}"),
                )
            })?;
            let later = session.waiting.split_off(&end);
            for (row, (crc, answered)) in std::mem::replace(&mut session.waiting, later) {
                let Some(index) = row.checked_sub(first).and_then(|index| usize::try_from(index).ok()) else {
                    continue;
                };
                if rows[index].text_crc != crc {
                    return Err(Problem::in_file(
                        &self.input,
                        format!("row {} is not the one that the interrupted run answered", row + 1),
                    )
                    .hint(
                        "--restart forgets its answers and asks again; or write to another file to keep them",
                    ));
                }
                let before = &mut known[index];
                // A later failure doesn't undo an answer, but its cost includes the earlier failures'.
                if !answered.failed() || before.as_ref().is_none_or(Answered::failed) {
                    *before = Some(answered);
                }
            }
        }
        Ok(known)
    }
}

impl Session {
    /// Reads on until no answer to a row before `end` can come any more.
    fn read_to(&mut self, end: u64) -> io::Result<()> {
        while self.furthest < end + self.window {
            let Some(lines) = &mut self.lines else { return Ok(()) };
            match lines.read()?.and_then(|line| entry_of(line.bytes)) {
                Some(Entry::Rows(rows)) => {
                    for (row, crc, answered) in rows {
                        self.furthest = self.furthest.max(row + 1);
                        self.waiting.insert(row, (crc, answered));
                    }
                }
                Some(_) => {}
                None => self.lines = None,
            }
        }
        Ok(())
    }
}
