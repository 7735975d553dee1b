//! Which calls does a log hold? OpenAI-style request and response JSONL, and batches with their two files.
//!
//! Logs are read line by line and in constant memory, whatever their size; only what identifies a line without an id
//! is kept, a few bytes each. **What is stored:** every call with its whole text (prompt, answer, names of tools,
//! session and user), as the log has it: import blanks nothing out. Redact the log first where that matters; the
//! store can forget an import again.
//!
//! Importing twice changes nothing: a call is known by a digest of what the log says of it. A log whose lines have no
//! id may say the same thing twice and mean it, so there the digest also counts: the second of two equal lines in one
//! file is a call of its own, and the same file read again gives the same digests.

mod batch;
mod call;
mod lines;
mod log;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;

use serde::Serialize;
use sprat_task::{Price, Problem, Sha256Hex};
use sprat_wire::LogCall;
use sprat_wire::log::{LogLineError, parse_log_bytes};

use batch::{Half, Halves};
use lines::{Line, Lines};

pub use call::{Call, CostBasis};
pub use log::{Log, LogFile, LogText};
pub use store::{StoreImport, import_into, stored_calls};

/// Where the calls go.
pub trait Sink {
    /// Why it can't take a call.
    type Error;

    /// Takes a call. It may be one that was taken before: `content` tells.
    fn keep(&mut self, found: Found) -> Result<(), Self::Error>;

    /// Takes a line that could not be read, so that nothing is lost.
    fn reject(&mut self, rejected: Rejected) -> Result<(), Self::Error>;
}

/// A call and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which of the logs, from 0; of a batch, the one that completed the pair.
    pub log: usize,
    /// The line, from 1.
    pub line: u64,
    /// The call, normalised.
    pub call: Call,
    /// Identifies it: the same call found again has the same digest.
    pub content: Sha256Hex,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The log's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What was wrong with it, and what would be right.
    pub reason: String,
    /// The line as it was, without its line break; empty where it was too long to hold.
    pub bytes: Vec<u8>,
}

impl Rejected {
    /// The fault, told with its place.
    pub fn problem(&self) -> Problem {
        Problem::new(format!("this line records no call: {}", self.reason)).at(&self.file, self.line)
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Lines read so far, of all logs.
    pub lines: u64,
    /// Bytes read so far, of all logs.
    pub bytes: u64,
}

/// What an import needs besides the logs.
pub struct Importing<'a> {
    /// What a model costs; `None` where no table knows it.
    pub price: &'a dyn Fn(&str) -> Option<Price>,
    /// Called every thousand lines; [`ControlFlow::Break`] ends the import with [`ImportError::Stopped`]. What was
    /// kept stays kept: importing again goes on from there.
    pub progress: &'a dyn Fn(Progress) -> ControlFlow<()>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Lines that are not blank.
    pub lines: u64,
    /// Calls, known ones included.
    pub calls: u64,
    /// Lines that could not be read.
    pub rejected: u64,
    /// Of the calls, those made of two lines of a batch's files.
    pub from_batches: u64,
    /// Of the calls, those the log says failed.
    pub failed: u64,
    /// Of the calls, those whose answer is not in the log.
    pub unanswered: u64,
    /// Of the calls, those whose cost is unknown: neither the log nor the price table says.
    pub without_cost: u64,
    /// Models that neither the log nor the price table has a cost for, with their calls.
    pub unpriced_models: BTreeMap<String, u64>,
}

/// Why an import ended early.
#[derive(Debug)]
pub enum ImportError<E> {
    /// A log can't be read.
    Log(Problem),
    /// The sink can't take more.
    Sink(E),
    /// Somebody asked to stop.
    Stopped,
}

impl<E: fmt::Display> fmt::Display for ImportError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(problem) => problem.fmt(f),
            Self::Sink(error) => error.fmt(f),
            Self::Stopped => f.write_str("the import was stopped; importing again goes on from there"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ImportError<E> {}

/// Reads logs into a sink. A batch is found by its `custom_id`s: give its input and its output file, in any order.
pub fn import<S: Sink>(
    logs: &[&dyn Log],
    importing: &Importing<'_>,
    sink: &mut S,
) -> Result<Imported, ImportError<S::Error>> {
    let halves = Halves::default();
    let mut run = Run { logs, importing, sink, halves, equal: HashMap::new(), counts: Imported::default() };
    let mut progress = Progress { lines: 0, bytes: 0 };
    for (log, source) in logs.iter().enumerate() {
        run.equal.clear();
        let unreadable = |error| ImportError::Log(log::unreadable(*source, &error));
        let mut lines = Lines::new(source.open().map_err(unreadable)?);
        while let Some(line) = lines.next().map_err(unreadable)? {
            if progress.lines.is_multiple_of(1_000) && (importing.progress)(progress).is_break() {
                return Err(ImportError::Stopped);
            }
            progress = Progress { lines: progress.lines + 1, bytes: progress.bytes + line.length };
            run.read(log, line)?;
        }
    }
    run.reject_single_halves()?;
    let _ = (importing.progress)(progress); // it is over: there is nothing left to stop
    Ok(run.counts)
}

struct Run<'a, S: Sink> {
    logs: &'a [&'a dyn Log],
    importing: &'a Importing<'a>,
    sink: &'a mut S,
    halves: Halves,
    /// How often each call without an id stood in this log.
    equal: HashMap<Sha256Hex, u32>,
    counts: Imported,
}

impl<S: Sink> Run<'_, S> {
    fn read(&mut self, log: usize, line: Line) -> Result<(), ImportError<S::Error>> {
        if line.bytes.trim_ascii().is_empty() && !line.is_too_long {
            return Ok(());
        }
        self.counts.lines += 1;
        if line.is_too_long {
            return self.reject(log, &line, format!("it is longer than {} MiB", lines::MOST_BYTES >> 20));
        }
        if let Some(half) = Half::of(&line.bytes) {
            return self.pair(log, line, half);
        }
        match parse_log_bytes(&line.bytes) {
            Ok(call) => self.keep(log, line.number, &call, false),
            Err(LogLineError::NotJson { .. }) if !line.is_ended => {
                let reason = "the line breaks off, as when the log was still being written";
                self.reject(log, &line, reason.to_owned())
            }
            Err(error) => self.reject(log, &line, error.to_string()),
        }
    }

    /// Half of a call of a batch: waits for the other half, or completes it.
    fn pair(&mut self, log: usize, line: Line, half: Half) -> Result<(), ImportError<S::Error>> {
        match self.halves.meet(self.logs, log, &line, &half).map_err(ImportError::Log)? {
            batch::Met::Waits => Ok(()),
            batch::Met::Pair(call) => {
                self.counts.from_batches += 1;
                self.keep(log, line.number, &call, true)
            }
            batch::Met::Wrong(reason) => self.reject(log, &line, reason),
        }
    }

    fn keep(
        &mut self,
        log: usize,
        line: u64,
        logged: &LogCall,
        is_batch: bool,
    ) -> Result<(), ImportError<S::Error>> {
        let call = Call::new(logged, is_batch, self.importing.price);
        let said = call.digest();
        let content = match &call.id {
            Some(_) => said,
            None => {
                let times = self.equal.entry(said.clone()).or_default();
                *times += 1;
                Sha256Hex::of_parts([said.as_str().as_bytes(), &times.to_le_bytes()])
            }
        };
        self.count(&call);
        self.sink.keep(Found { log, line, call, content }).map_err(ImportError::Sink)
    }

    fn count(&mut self, call: &Call) {
        let counts = &mut self.counts;
        counts.calls += 1;
        counts.failed += u64::from(call.failure.is_some());
        counts.unanswered += u64::from(call.failure.is_none() && !call.is_answered());
        if call.cost.is_none() {
            counts.without_cost += 1;
            if let Some(model) = call.model.as_ref().filter(|model| (self.importing.price)(model).is_none()) {
                *counts.unpriced_models.entry(model.clone()).or_default() += 1;
            }
        }
    }

    fn reject(&mut self, log: usize, line: &Line, reason: String) -> Result<(), ImportError<S::Error>> {
        self.counts.rejected += 1;
        let file = self.logs[log].name().to_owned();
        let rejected = Rejected { file, line: line.number, reason, bytes: line.bytes.clone() };
        self.sink.reject(rejected).map_err(ImportError::Sink)
    }

    fn reject_single_halves(&mut self) -> Result<(), ImportError<S::Error>> {
        for (log, line, reason) in self.halves.single(self.logs).map_err(ImportError::Log)? {
            self.reject(log, &line, reason)?;
        }
        Ok(())
    }
}
