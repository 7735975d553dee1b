//! How the parts of a bulk run work together.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::{StreamExt, stream};
use sprat_task::{Money, Problem};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::input::{self, Batch};
use super::journal::{Journal, Replay};
use super::output::Output;
use super::plan::{Plan, plan};
use super::shape::Shape;
use super::{Answered, Answerer, BulkError, Job, Progress, Summary};

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
    let plan = plan(&input, job)?;
    let shape = Shape::new(&plan, job)?;
    let partial = job.beside(".partial");
    let window = (job.concurrency.max(1) * job.batch_rows.max(1)) as u64;
    let (journal, mut replay) =
        Journal::open(&job.beside(".journal"), &plan, &job.identity, window, job.restart)?;
    let notices = shape.notices();
    let output = Output::create(&partial, shape).map_err(|error| cannot_write(&partial, error))?;

    let mut progress = Progress { bytes_total: plan.bytes, ..Progress::default() };
    let (batches, reading) = read_in_thread(plan, job, cancel);
    let (to_writer, written) = write_in_thread(output);
    let shared = Shared { answerer, journal: Mutex::new(journal), fault: Mutex::new(None) };
    let outcome = {
        let answered = stream::unfold((batches, cancel.clone()), next_batch)
            // Replayed here, not in the future: here the batches come in order, whoever is polled first.
            .map(|batch| answer_batch(&shared, batch.and_then(|batch| with_earlier(batch, &mut replay))))
            .buffered(job.concurrency.max(1));
        let mut answered = std::pin::pin!(answered);
        let (mut failures, mut all) = (0, true);
        loop {
            let Some(next) = answered.next().await else { break Ok(all) };
            let finished = match next {
                Ok(finished) => finished,
                Err(error) => break Err(error),
            };
            if let Some(error) = lock(&shared.fault).take() {
                break Err(cannot_write(&job.beside(".journal"), error));
            }
            let complete = finished.answers.iter().all(Option::is_some);
            all &= complete || !cancel.is_cancelled();
            if !all {
                // The output ends before this batch. What later ones have asked for is still waited for, and kept.
                continue;
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

/// A batch, and what an earlier run knows of each of its rows.
type Prepared = (Batch, Vec<Option<Answered>>);

fn with_earlier(batch: Batch, replay: &mut Replay) -> Result<Prepared, Problem> {
    let earlier = replay.take(batch.first, &batch.rows)?;
    Ok((batch, earlier))
}

async fn answer_batch(
    shared: &Shared<'_>,
    prepared: Result<Prepared, Problem>,
) -> Result<Finished, BulkError> {
    let (mut batch, earlier) = prepared?;
    let mut answers: Vec<Option<Answered>> = Vec::with_capacity(batch.rows.len());
    let mut asked: Vec<Asked> = Vec::new();
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
                let row_number = batch.first + index as u64;
                asked.push(Asked { index, row: row_number, text_crc: row.text_crc, before });
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
        let news: Vec<(&Asked, Answered)> = news
            .into_iter()
            .filter_map(|(position, mut answered)| {
                let asked = asked.get(position)?;
                let costs = answered.cost_micro_usd.zip(asked.before);
                answered.cost_micro_usd = costs.map(|(now, before)| now + before);
                Some((asked, answered))
            })
            .collect();
        let rows = news.iter().map(|(asked, answered)| (asked.row, asked.text_crc, answered));
        if let Err(error) = lock(&shared.journal).append(rows) {
            lock(&shared.fault).get_or_insert(error);
        }
        lock(&told).extend(news.into_iter().map(|(asked, answered)| (asked.index, answered)));
    };
    shared.answerer.answer(&inputs, &done).await;
    for (index, answered) in told.into_inner().unwrap_or_else(PoisonError::into_inner) {
        answers[index] = Some(answered);
    }
    Ok(Finished { batch, answers })
}

/// A row that is being asked.
struct Asked {
    /// Its place in the batch.
    index: usize,
    /// Its number in the input.
    row: u64,
    text_crc: u32,
    /// What failed attempts of earlier runs have cost; `None` where unknown.
    before: Option<Money>,
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

type ToWriter = mpsc::Sender<(Batch, Vec<Answered>)>;

fn write_in_thread(mut output: Output) -> (ToWriter, Thread<io::Result<()>>) {
    let (send, mut batches): (ToWriter, _) = mpsc::channel(2);
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
