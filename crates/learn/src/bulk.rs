//! Bulk runs: every row of a file answered, every column of it kept, nothing paid for twice.
//!
//! ```text
//! reader (thread) -> at most `concurrency` batches being answered -> writer (thread) -> OUTPUT.partial -> OUTPUT
//!                              |
//!                              +-> OUTPUT.journal: each answer, the moment it is known
//! ```
//!
//! The channels between them are bounded, so memory doesn't grow with the file. Resuming reads the input again from
//! its beginning and takes from the journal every answer that is there; only rows without one are asked. So the output
//! is always written in one go, whatever its format, and a torn tail of it can't survive: only the journal has to be
//! right. A killed process loses nothing that was journaled; a power cut may lose the journal's last second.
//!
//! | question | file |
//! |---|---|
//! | What is in the input, row by row? | [`input`] |
//! | What will the output's columns be called? | [`shape`] |
//! | How is a row written? | [`output`] |
//! | What has been answered already? | [`journal`] |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sprat_task::{Answer, Input, ModelId, Money, Problem};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::rows::columns::Columns;
use crate::rows::source::Format;

pub mod input;
pub mod journal;
pub mod output;
pub mod shape;

use input::{Batch, Plan};
use journal::{Journal, Replay};
use output::Output;

/// What a bulk run reads, writes and may do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file to read; `-` for standard input, which is copied beside the output first.
    pub input: PathBuf,
    /// The file to write. Beside it lie `OUTPUT.partial` and `OUTPUT.journal` until the run has finished.
    pub output: PathBuf,
    /// The input's format, where neither its name nor its beginning tells.
    pub input_format: Option<Format>,
    /// The output's format; by its name, else the input's.
    pub output_format: Option<Format>,
    /// Where the text is, if not in `text` or `input`.
    pub columns: Columns,
    /// What the added columns' names begin with; nothing, or `sprat_` where the input has a column of such a name.
    pub prefix: Option<String>,
    /// Replaces an output that exists.
    pub force: bool,
    /// Forgets what an interrupted run has answered.
    pub restart: bool,
    /// Whose answers these are (task, release, anything that would make them others): a run is only resumed by the
    /// same.
    pub identity: String,
    /// Rows a batch, at least 1. Memory holds about three times `concurrency` batches.
    pub batch_rows: usize,
    /// Batches being answered at once, at least 1.
    pub concurrency: usize,
    /// Stops after so many rows in a row have failed, so that an upstream that is down doesn't fail them all.
    pub give_up_after: Option<u64>,
}

impl Job {
    /// A job with everything at its default: batches of 64, 4 at once, giving up after 500 failures in a row.
    pub fn new(input: impl Into<PathBuf>, output: impl Into<PathBuf>, identity: impl Into<String>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            input_format: None,
            output_format: None,
            columns: Columns::default(),
            prefix: None,
            force: false,
            restart: false,
            identity: identity.into(),
            batch_rows: 64,
            concurrency: 4,
            give_up_after: Some(500),
        }
    }

    /// A file that lies beside the output while the run goes on.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.output.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }
}

/// One row's answer, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The answer; `None` where nobody had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<ModelId>,
    /// Estimated probability that the small models' own answer is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Whether it went past the small models; `None` where the row could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated: Option<bool>,
    /// What it cost; `None` where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<Money>,
    /// What went wrong; such a row is asked again when the run is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Answered {
    /// A row that nobody was asked about.
    pub fn unasked(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cost_micro_usd: Some(Money::ZERO), ..Self::default() }
    }

    fn failed(&self) -> bool {
        self.error.is_some()
    }
}

/// Told of answers as they become known: each with its position among the inputs. What is told is on disk before the
/// call returns.
pub type Done<'a> = dyn Fn(Vec<(usize, Answered)>) + Send + Sync + 'a;

/// Who answers rows.
pub trait Answerer: Send + Sync {
    /// Answers all inputs, telling `done` of each once, in any order, alone or several together: the sooner an answer
    /// that cost something is told, the less can be lost. Inputs it never tells of count as failed (or as not asked,
    /// after a cancellation).
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()>;
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Rows answered or failed, those of an earlier run included.
    pub rows: u64,
    /// Of these, answered by an earlier run.
    pub replayed: u64,
    /// Of these, with an error.
    pub failed: u64,
    /// Of these, past the small models.
    pub escalated: u64,
    /// What is known to have been spent, earlier runs included.
    pub cost_micro_usd: Money,
    /// Rows of which the cost is unknown.
    pub cost_unknown: u64,
    /// Of the input, in bytes (for Parquet by the share of its rows).
    pub bytes_read: u64,
    /// The input's length in bytes.
    pub bytes_total: u64,
    /// Since this run began.
    pub elapsed: Duration,
}

impl Progress {
    /// Rows of this run a second, those of an earlier one not counted.
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { (self.rows - self.replayed) as f64 / seconds } else { 0.0 }
    }

    fn count(&mut self, answered: &[Answered], replayed: u64, bytes_read: u64, elapsed: Duration) {
        self.rows += answered.len() as u64;
        self.replayed += replayed;
        self.failed += answered.iter().filter(|row| row.failed()).count() as u64;
        self.escalated += answered.iter().filter(|row| row.escalated == Some(true)).count() as u64;
        self.cost_micro_usd += answered.iter().filter_map(|row| row.cost_micro_usd).sum();
        self.cost_unknown += answered.iter().filter(|row| row.cost_micro_usd.is_none()).count() as u64;
        (self.bytes_read, self.elapsed) = (bytes_read, elapsed);
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How far it came.
    pub progress: Progress,
    /// Whether the output is there; `false` after a cancellation, and the same command goes on.
    pub finished: bool,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
}

/// Why a run stopped. What has been answered stays in the journal, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The user's input, output or an earlier run stands in the way.
    #[error("{0}")]
    Problem(#[from] Problem),
    /// A file could not be written (a full disk, say).
    #[error("{path} can't be written: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Too many rows failed in a row.
    #[error("{rows} rows in a row failed, the last with: {last}")]
    GaveUp {
        /// How many.
        rows: u64,
        /// The last error.
        last: String,
    },
    /// Our fault.
    #[error("the run broke off: {0}")]
    Broken(&'static str),
}

/// Answers every row of a file. Ends early, with what was being answered finished and kept, when `cancel` is
/// cancelled. `on_progress` is called after every batch.
pub async fn run(
    job: &Job,
    answerer: &dyn Answerer,
    on_progress: &mut (dyn FnMut(&Progress) + Send),
    cancel: &CancellationToken,
) -> Result<Summary, BulkError> {
    let began = Instant::now();
    check_output(job)?;
    let input = input_file(job)?;
    let plan = input::plan(&input, job)?;
    let shape = shape::Shape::new(&plan, job)?;
    let partial = job.beside(".partial");
    let window = (job.concurrency.max(1) * job.batch_rows.max(1)) as u64;
    let (journal, replay) =
        Journal::open(&job.beside(".journal"), &plan, &job.identity, window, job.restart)?;
    let notices = shape.notices();
    let output = Output::create(&partial, shape).map_err(|error| cannot_write(&partial, error))?;

    let mut progress = Progress { bytes_total: plan.bytes, ..Progress::default() };
    let (batches, reading) = read_in_thread(plan, job, cancel);
    let (to_writer, written) = write_in_thread(output);
    let shared = Shared {
        answerer,
        journal: Mutex::new(journal),
        replay: Mutex::new(replay),
        fault: Mutex::new(None),
    };
    let outcome = {
        let answered = stream::unfold((batches, cancel.clone()), next_batch)
            .map(|batch| answer_batch(&shared, batch))
            .buffered(job.concurrency.max(1));
        let mut answered = std::pin::pin!(answered);
        let mut failures = 0;
        loop {
            let Some(next) = answered.next().await else { break Ok(true) };
            let finished = match next {
                Ok(finished) => finished,
                Err(error) => break Err(error),
            };
            if let Some(error) = lock(&shared.fault).take() {
                break Err(cannot_write(&job.beside(".journal"), error));
            }
            let complete = finished.answers.iter().all(Option::is_some);
            if !complete && cancel.is_cancelled() {
                break Ok(false);
            }
            let (batch, answers) = finished.settle();
            progress.count(&answers, batch.replayed, batch.bytes_read, began.elapsed());
            failures = failures_in_a_row(failures, &batch, &answers);
            on_progress(&progress);
            let last = answers.iter().rev().find_map(|row| row.error.clone()).unwrap_or_default();
            if to_writer.send((batch, answers)).await.is_err() {
                break Ok(false); // the writer has stopped, and says why when joined
            }
            if job.give_up_after.is_some_and(|most| failures >= most) {
                break Err(BulkError::GaveUp { rows: failures, last });
            }
        }
    };
    drop(to_writer);
    let read_to_the_end = join(reading)?;
    let written = join(written)?;
    let mut journal = shared.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
    journal.sync().map_err(|error| cannot_write(&job.beside(".journal"), error))?;
    let all_answered = outcome?;
    written.map_err(|error| cannot_write(&partial, error))?;
    let finished = all_answered && !cancel.is_cancelled();
    if finished && !read_to_the_end {
        return Err(BulkError::Broken("the input's reader stopped before its end"));
    }
    if finished {
        put_in_place(job, journal, &partial)?;
        if input != job.input {
            let _ = fs::remove_file(&input); // the copy of standard input; nothing depends on it any more
        }
    }
    progress.elapsed = began.elapsed();
    Ok(Summary { progress, finished, notices })
}

struct Shared<'a> {
    answerer: &'a dyn Answerer,
    journal: Mutex<Journal>,
    replay: Mutex<Replay>,
    /// What went wrong with the journal while an answer was being told.
    fault: Mutex<Option<io::Error>>,
}

/// A batch with what is known of each of its rows.
struct Finished {
    batch: Batch,
    answers: Vec<Option<Answered>>,
}

impl Finished {
    fn settle(self) -> (Batch, Vec<Answered>) {
        let never =
            || Answered { escalated: None, error: Some("no answer was given".into()), ..Answered::default() };
        (self.batch, self.answers.into_iter().map(|answer| answer.unwrap_or_else(never)).collect())
    }
}

async fn answer_batch(shared: &Shared<'_>, batch: Result<Batch, Problem>) -> Result<Finished, BulkError> {
    let mut batch = batch?;
    let earlier = lock(&shared.replay).take(batch.first, &batch.rows)?;
    let mut answers: Vec<Option<Answered>> = Vec::with_capacity(batch.rows.len());
    let mut spent: Vec<(usize, u64, u32, Option<Money>)> = Vec::new();
    let mut inputs = Vec::new();
    for (index, (row, earlier)) in batch.rows.iter_mut().zip(earlier).enumerate() {
        answers.push(match (&mut row.asked, earlier) {
            (Err(why), _) => Some(Answered::unasked(why.clone())),
            (Ok(_), Some(earlier)) if !earlier.failed() => {
                batch.replayed += 1;
                Some(earlier)
            }
            (Ok(input), earlier) => {
                // What a failed attempt of an earlier run cost is not forgotten.
                let before = earlier.map_or(Some(Money::ZERO), |earlier| earlier.cost_micro_usd);
                spent.push((index, batch.first + index as u64, row.text_crc, before));
                inputs.push(std::mem::take(input));
                None
            }
        });
    }
    if inputs.is_empty() {
        return Ok(Finished { batch, answers });
    }
    let told: Mutex<Vec<(usize, Answered)>> = Mutex::new(Vec::with_capacity(inputs.len()));
    let done = |news: Vec<(usize, Answered)>| {
        let news: Vec<(usize, u64, u32, Answered)> = news
            .into_iter()
            .filter_map(|(position, mut answered)| {
                let (index, row, crc, before) = *spent.get(position)?;
                answered.cost_micro_usd =
                    answered.cost_micro_usd.zip(before).map(|(now, before)| now + before);
                Some((index, row, crc, answered))
            })
            .collect();
        let rows = news.iter().map(|(_, row, crc, answered)| (*row, *crc, answered));
        if let Err(error) = lock(&shared.journal).append(rows) {
            lock(&shared.fault).get_or_insert(error);
        }
        lock(&told).extend(news.into_iter().map(|(index, _, _, answered)| (index, answered)));
    };
    shared.answerer.answer(&inputs, &done).await;
    for (index, answered) in told.into_inner().unwrap_or_else(PoisonError::into_inner) {
        answers[index] = Some(answered);
    }
    Ok(Finished { batch, answers })
}

fn failures_in_a_row(before: u64, batch: &Batch, answers: &[Answered]) -> u64 {
    // Rows that can't be asked say nothing about whoever answers.
    let asked = answers.iter().zip(&batch.rows).filter(|(_, row)| row.asked.is_ok());
    asked.fold(before, |failures, (answered, _)| if answered.failed() { failures + 1 } else { 0 })
}

type Batches = mpsc::Receiver<Result<Batch, Problem>>;
type Thread<T> = io::Result<std::thread::JoinHandle<T>>;

async fn next_batch(
    (mut batches, cancel): (Batches, CancellationToken),
) -> Option<(Result<Batch, Problem>, (Batches, CancellationToken))> {
    if cancel.is_cancelled() {
        return None;
    }
    let batch = batches.recv().await?;
    Some((batch, (batches, cancel)))
}

/// The thread ends with whether it came to the input's end.
fn read_in_thread(plan: Plan, job: &Job, cancel: &CancellationToken) -> (Batches, Thread<bool>) {
    let (send, batches) = mpsc::channel(job.concurrency.max(1));
    let (batch_rows, cancel) = (job.batch_rows.max(1), cancel.clone());
    let reading = std::thread::Builder::new().name("sprat-read".into()).spawn(move || {
        input::read(plan, batch_rows, &mut |batch| {
            !cancel.is_cancelled() && send.blocking_send(batch).is_ok()
        })
    });
    (batches, reading)
}

fn write_in_thread(mut output: Output) -> (mpsc::Sender<(Batch, Vec<Answered>)>, Thread<io::Result<()>>) {
    let (send, mut batches) = mpsc::channel::<(Batch, Vec<Answered>)>(2);
    let writing = std::thread::Builder::new().name("sprat-write".into()).spawn(move || {
        while let Some((batch, answers)) = batches.blocking_recv() {
            output.write(&batch, &answers)?;
        }
        output.finish()
    });
    (send, writing)
}

fn join<T>(thread: Thread<T>) -> Result<T, BulkError> {
    let handle = thread.map_err(|_| BulkError::Broken("the system gave no thread"))?;
    handle.join().map_err(|_| BulkError::Broken("a thread panicked"))
}

fn check_output(job: &Job) -> Result<(), Problem> {
    let name = job.output.display();
    let same = |one: &Path, other: &Path| matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&job.input, &job.output) {
        return Err(Problem::in_file(name, "the output is the input").hint("write to another file with -o"));
    }
    if job.output.is_dir() {
        return Err(Problem::in_file(name, "the output is a directory").hint("name a file in it"));
    }
    if job.output.exists() && !job.force {
        return Err(Problem::in_file(name, "the output exists already")
            .hint("replace it with --force, or write to another file"));
    }
    Ok(())
}

/// The input as a file: standard input is copied, since it is read twice and may have to be read again.
fn input_file(job: &Job) -> Result<PathBuf, BulkError> {
    if job.input.as_os_str() != "-" {
        return Ok(job.input.clone());
    }
    let copy = job.beside(".stdin");
    let mut file = File::create(&copy).map_err(|error| cannot_write(&copy, error))?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(|error| cannot_write(&copy, error))?;
    Ok(copy)
}

/// The finished output under its own name, then the journal away: in this order nothing is ever missing.
fn put_in_place(job: &Job, mut journal: Journal, partial: &Path) -> Result<(), BulkError> {
    journal.finish().map_err(|error| cannot_write(&job.beside(".journal"), error))?;
    fs::rename(partial, &job.output).map_err(|error| cannot_write(&job.output, error))?;
    let folder =
        job.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Not every file system lets a folder be synced; where it doesn't, the rename is as durable as it gets.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    journal.remove().map_err(|error| cannot_write(&job.beside(".journal"), error))
}

fn cannot_write(path: &Path, error: io::Error) -> BulkError {
    BulkError::Write { path: path.display().to_string(), error }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these guard is whole after every statement, so a panic elsewhere hasn't broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names shared between the threads without copying.
type Names = Arc<[String]>;

#[cfg(test)]
mod tests;
