//! Whole runs with answerers that are quick, that fail, that are killed: what is asked, what is written, what is kept.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::executor::block_on;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;

/// Answers every text with its length's parity, counting how often each text was asked.
#[derive(Default)]
struct Fake {
    asked: Mutex<HashMap<String, u32>>,
    /// Cancels after so many rows, as Ctrl-C would.
    cancel_after: Option<(u64, CancellationToken)>,
    /// Says nothing more after so many rows, as a process that was killed.
    silent_after: Option<u64>,
    /// Fails every text that holds this.
    fails_on: Option<&'static str>,
    rows: AtomicU64,
}

impl Fake {
    fn asked_more_than_once(&self) -> Vec<String> {
        lock(&self.asked).iter().filter(|(_, times)| **times > 1).map(|(text, _)| text.clone()).collect()
    }

    fn asked(&self) -> u64 {
        lock(&self.asked).values().map(|times| u64::from(*times)).sum()
    }

    fn answered(&self, text: &str) -> Answered {
        *lock(&self.asked).entry(text.to_owned()).or_default() += 1;
        if self.fails_on.is_some_and(|bad| text.contains(bad)) {
            return Answered {
                error: Some("upstream is down".into()),
                cost_micro_usd: Some(Money::from_micro(1)),
                ..Answered::default()
            };
        }
        let odd = text.chars().count() % 2 == 1;
        Answered {
            answer: Some(Answer::label(if odd { "odd" } else { "even" })),
            answered_by: Some(ModelId::from(if odd { "large" } else { "linear" })),
            confidence: Some(0.123_456_789),
            escalated: Some(odd),
            cost_micro_usd: Some(Money::from_micro(if odd { 25 } else { 0 })),
            error: None,
        }
    }
}

impl Answerer for Fake {
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // Backwards and in pieces: the order of telling must not matter.
            for (position, input) in inputs.iter().enumerate().rev() {
                let row = self.rows.fetch_add(1, Ordering::SeqCst);
                if self.silent_after.is_some_and(|after| row >= after) {
                    return;
                }
                done(vec![(position, self.answered(&input.text))]);
                if let Some((after, cancel)) = &self.cancel_after
                    && row + 1 == *after
                {
                    cancel.cancel();
                }
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), bytes).expect("writes");
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).expect("the file is there")).into_owned()
    }

    fn names(&self) -> Vec<String> {
        let entries = self.0.path().read_dir().expect("a folder");
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn job(&self, input: &str, output: &str) -> Job {
        Job { batch_rows: 3, concurrency: 2, ..Job::new(self.path(input), self.path(output), "tickets@1") }
    }

    fn said(&self, error: BulkError) -> String {
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn go(job: &Job, fake: &Fake) -> Result<Summary, BulkError> {
    let cancel = fake.cancel_after.as_ref().map_or_else(CancellationToken::new, |(_, cancel)| cancel.clone());
    block_on(run(job, fake, &mut |_| {}, &cancel))
}

fn finished(job: &Job, fake: &Fake) -> Summary {
    let summary = go(job, fake).expect("runs");
    assert!(summary.finished);
    summary
}

const ADDED_HEADER: &str = "answer,answered_by,confidence,escalated,cost_micro_usd,error";

#[test]
fn csv_keeps_every_byte_of_its_columns_and_gets_six_more() {
    let folder = Folder::new();
    folder.write("in.csv", "\u{FEFF}id,\"text\",x\r\n1,abc,\" \"\"q\"\"\r\n\"\r\n007,\"ab,d\",\r\n");
    let summary = finished(&folder.job("in.csv", "out.csv"), &Fake::default());
    assert_eq!(
        folder.read("out.csv"),
        format!(
            "id,\"text\",x,{ADDED_HEADER}\n1,abc,\" \"\"q\"\"\r\n\",odd,large,0.123457,true,25,\n\
             007,\"ab,d\",,even,linear,0.123457,false,0,\n"
        )
    );
    assert_eq!(folder.names(), ["in.csv", "out.csv"], "nothing else is left");
    let progress = summary.progress;
    assert_eq!((progress.rows, progress.escalated, progress.cost_micro_usd.micro()), (2, 1, 25));
    assert_eq!((progress.bytes_read, progress.failed), (progress.bytes_total, 0));
}

#[test]
fn json_lines_stay_as_they_were_written() {
    let folder = Folder::new();
    folder.write("in.jsonl", "{ \"n\": 1.10, \"text\":\"ab\" }\n\n{\"text\":\"\\u00e4\",\"z\":{\"a\":[1]}}");
    finished(&folder.job("in.jsonl", "out.jsonl"), &Fake::default());
    assert_eq!(
        folder.read("out.jsonl"),
        concat!(
            "{ \"n\": 1.10, \"text\":\"ab\" ,\"answer\":\"even\",\"answered_by\":\"linear\",\"confidence\":0.123457,",
            "\"escalated\":false,\"cost_micro_usd\":0,\"error\":null}\n",
            "{\"text\":\"\\u00e4\",\"z\":{\"a\":[1]},\"answer\":\"odd\",\"answered_by\":\"large\",",
            "\"confidence\":0.123457,\"escalated\":true,\"cost_micro_usd\":25,\"error\":null}\n"
        )
    );
}

#[test]
fn bad_rows_stay_rows_with_an_error() {
    let folder = Folder::new();
    folder.write("in.csv", b"id,text\n1,ok\n2\n3,\n4,a,b\n5,\xFF\n6,\"open\n");
    let summary = finished(&folder.job("in.csv", "out.csv"), &Fake::default());
    let out = fs::read(folder.path("out.csv")).expect("the output");
    let out: Vec<String> =
        out.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let place = |line: u32| format!("({}:{line})", folder.path("in.csv").display());
    assert_eq!(out[1], "1,ok,even,linear,0.123457,false,0,");
    assert_eq!(out[2], format!("2,,,,,,0,\"the row has 1 field, and the header 2 {}\"", place(3)));
    assert_eq!(out[3], format!("3,,,,,,0,the text is empty {}", place(4)));
    assert_eq!(out[4], format!("4,\"a,b\",,,,,0,\"the row has 3 fields, and the header 2 {}\"", place(5)));
    assert_eq!(out[5], format!("5,\u{FFFD},,,,,0,byte 3 of the line is not UTF-8 {}", place(6)));
    assert_eq!(out[6], "6,\"open");
    assert_eq!(out[7], format!("\",,,,,0,the quote that begins here is never closed {}", place(7)));
    assert_eq!((summary.progress.rows, summary.progress.failed), (6, 5));
    assert!(
        fs::read(folder.path("out.csv")).expect("the output").contains(&0xFF),
        "also the byte that is not UTF-8"
    );

    folder.write(
        "in.jsonl",
        b"{\"text\":\"ab\"}\n{\"text\":3\nnonsense \xFF\n{\"other\":1,\"text\":null}\n{}\n",
    );
    for (output, rows) in [("out.jsonl", 5), ("as.csv", 6)] {
        let summary = finished(&folder.job("in.jsonl", output), &Fake::default());
        assert_eq!((summary.progress.rows, summary.progress.failed), (5, 4));
        assert_eq!(folder.read(output).lines().count(), rows);
        assert_eq!(summary.notices, ["lines that are not JSON are kept in `raw`"]);
    }
    let deep = format!("{{\"text\":\"ab\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for bad in ["{\"text\":\"ab\",\"x\":\"\\ud800\"}", "{\"text\":\"ab\",\"x\":1e999}", "[1]", "7", &deep] {
        folder.write("one.jsonl", format!("{{\"text\":\"ab\"}}\n{bad}"));
        finished(&Job { force: true, ..folder.job("one.jsonl", "one.out.jsonl") }, &Fake::default());
        let row: serde_json::Value =
            serde_json::from_str(folder.read("one.out.jsonl").lines().nth(1).expect("two rows"))
                .expect("JSON");
        assert_eq!((row["raw"].as_str(), row["answer"].is_null()), (Some(bad), true), "{bad}");
    }
    let lines: Vec<serde_json::Value> =
        folder.read("out.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[2]["raw"], "nonsense \u{FFFD}");
    assert_eq!(lines[1]["answer"], serde_json::Value::Null);
    assert!(lines[3]["error"].as_str().expect("an error").starts_with("the row has no text"));
}

fn parquet_file(folder: &Folder, name: &str, texts: Vec<Option<&str>>) {
    let numbers: Int64Array = (0..texts.len() as i64).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("n", Arc::new(numbers)), ("text", Arc::new(StringArray::from(texts)))];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .expect("a batch");
    let file = File::create(folder.path(name)).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
}

fn parquet_rows(folder: &Folder, name: &str) -> Vec<RecordBatch> {
    let file = File::open(folder.path(name)).expect("the file is there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
    reader.map(|batch| batch.expect("a batch")).collect()
}

#[test]
fn parquet_keeps_its_types_and_gets_six_columns() {
    let folder = Folder::new();
    parquet_file(&folder, "in.parquet", vec![Some("ab"), None, Some("abc"), Some("abcd")]);
    let summary = finished(&folder.job("in.parquet", "out.parquet"), &Fake::default());
    assert_eq!((summary.progress.rows, summary.progress.failed), (4, 1));
    assert_eq!(summary.progress.bytes_read, summary.progress.bytes_total);
    let batches = parquet_rows(&folder, "out.parquet");
    let batch = &batches[0];
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names.join(","), format!("n,text,{ADDED_HEADER}"));
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2, 3]);
    let answers: Vec<Option<&str>> = batch.column(2).as_string::<i32>().iter().collect();
    assert_eq!(answers, [Some("even"), None, Some("odd"), Some("even")]);
    assert_eq!(batch.column(4).as_primitive::<Float64Type>().value(0), 0.123457);
    assert!(batch.column(5).as_boolean().value(2));
    assert!(batch.column(7).as_string::<i32>().value(1).starts_with("the row has no text"));
}

#[test]
fn every_format_can_become_every_other() {
    let folder = Folder::new();
    folder.write("in.csv", "n,text\n1,ab\n2,\"a\"\"c\"\n");
    folder.write("in.tsv", "n\ttext\n1\tab\n2\ta\"c\n");
    folder.write("in.jsonl", "{\"n\":\"1\",\"text\":\"ab\"}\n{\"n\":\"2\",\"text\":\"a\\\"c\"}\n");
    for input in ["in.csv", "in.tsv", "in.jsonl"] {
        finished(&folder.job(input, "middle.parquet"), &Fake::default());
        for middle in ["middle.csv", "middle.tsv", "middle.jsonl"] {
            finished(&folder.job(input, middle), &Fake::default());
        }
        for middle in ["middle.csv", "middle.tsv", "middle.jsonl", "middle.parquet"] {
            let job = Job { prefix: Some("again_".into()), ..folder.job(middle, "end.jsonl") };
            finished(&job, &Fake::default());
            let rows: Vec<serde_json::Value> = folder
                .read("end.jsonl")
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let seen: Vec<[&str; 4]> = rows
                .iter()
                .map(|row| {
                    ["n", "text", "answer", "again_answer"].map(|name| row[name].as_str().expect("a text"))
                })
                .collect();
            assert_eq!(seen, [["1", "ab", "even", "even"], ["2", "a\"c", "odd", "odd"]], "{input} {middle}");
            fs::remove_file(folder.path("end.jsonl")).expect("is there");
            fs::remove_file(folder.path(middle)).expect("is there");
        }
    }
}

#[test]
fn names_that_collide_get_a_prefix() {
    let folder = Folder::new();
    folder.write("in.csv", "text,answer\nab,x\n");
    let summary = finished(&folder.job("in.csv", "out.csv"), &Fake::default());
    assert!(folder.read("out.csv").starts_with("text,answer,sprat_answer,sprat_answered_by,"));
    assert!(summary.notices[0].starts_with("the added columns are called sprat_answer, "));
    folder.write("in.csv", "text,answer,sprat_error\nab,x,y\n");
    let job = Job { force: true, ..folder.job("in.csv", "out.csv") };
    assert!(
        folder.said(go(&job, &Fake::default()).expect_err("collides")).contains("choose another beginning")
    );
}

fn numbered(rows: usize) -> String {
    (0..rows).fold("text\n".to_owned(), |text, number| text + &format!("row number {number}\n"))
}

/// The same run, never interrupted.
fn uninterrupted(folder: &Folder, input: &str) -> (String, Summary) {
    let summary = finished(&Job { force: true, ..folder.job(input, "whole.csv") }, &Fake::default());
    (folder.read("whole.csv"), summary)
}

#[test]
fn a_run_that_was_stopped_goes_on_and_asks_nobody_twice() {
    for output in ["out.csv", "out.jsonl", "out.parquet"] {
        let folder = Folder::new();
        folder.write("in.csv", numbered(100));
        let (_, whole) = uninterrupted(&folder, "in.csv");
        finished(&folder.job("in.csv", &format!("whole-{output}")), &Fake::default());
        let mut fake = Fake { cancel_after: Some((31, CancellationToken::new())), ..Fake::default() };
        let summary = go(&folder.job("in.csv", output), &fake).expect("stops in good order");
        assert!(!summary.finished && !folder.path(output).exists());
        let before = fake.asked();
        assert!((31..100).contains(&before), "{before}");
        fake.cancel_after = None;
        let summary = finished(&folder.job("in.csv", output), &fake);
        assert_eq!((fake.asked(), fake.asked_more_than_once()), (100, Vec::new()));
        assert_eq!((summary.progress.rows, summary.progress.replayed), (100, before));
        assert_eq!(summary.progress.cost_micro_usd, whole.progress.cost_micro_usd);
        let bytes = |name: &str| fs::read(folder.path(name)).expect("the output");
        assert_eq!(bytes(output), bytes(&format!("whole-{output}")));
    }
}

/// Told of each text before it is asked, in a file that survives the process; aborts after so many.
struct Mortal {
    folder: PathBuf,
    lives: AtomicU64,
}

impl Answerer for Mortal {
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            use std::io::Write;
            let log = self.folder.join("asked.log");
            let mut log = fs::OpenOptions::new().append(true).create(true).open(log).expect("a log");
            for (position, input) in inputs.iter().enumerate() {
                if self.lives.fetch_sub(1, Ordering::SeqCst) == 0 {
                    std::process::abort();
                }
                writeln!(log, "{}", input.text).expect("logs");
                done(vec![(position, Fake::default().answered(&input.text))]);
            }
        })
    }
}

#[test]
#[ignore = "the next test runs it in a process of its own, which dies"]
fn a_process_that_dies() {
    let Some(folder) = std::env::var_os("SPRAT_TEST_FOLDER").map(PathBuf::from) else { return };
    let job = Job { batch_rows: 7, ..Job::new(folder.join("in.csv"), folder.join("out.csv"), "tickets@1") };
    let mortal = Mortal { folder, lives: AtomicU64::new(150) };
    let _ = block_on(run(&job, &mortal, &mut |_| {}, &CancellationToken::new()));
}

#[test]
fn a_process_that_dies_again_and_again_loses_no_answer_and_no_row() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(500));
    let (whole, _) = uninterrupted(&folder, "in.csv");
    let mut lives = 0;
    while !folder.path("out.csv").exists() {
        lives += 1;
        assert!(lives < 10, "it never ends");
        let output = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "bulk::tests::a_process_that_dies", "--ignored"])
            .env("SPRAT_TEST_FOLDER", folder.0.path())
            .output()
            .expect("starts");
        assert_eq!(output.status.success(), folder.path("out.csv").exists(), "{output:?}");
    }
    assert_eq!(lives, 4, "150 answers a life");
    assert_eq!(folder.read("out.csv"), whole);
    let asked = folder.read("asked.log");
    let distinct: std::collections::HashSet<&str> = asked.lines().collect();
    assert_eq!((asked.lines().count(), distinct.len()), (500, 500), "each text was asked once");
}

#[test]
fn rows_that_failed_are_asked_again_and_what_they_cost_is_not_forgotten() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(60));
    let (whole, summary) = uninterrupted(&folder, "in.csv");
    let job = Job { give_up_after: Some(5), ..folder.job("in.csv", "out.csv") };
    let down = Fake { fails_on: Some("number 4"), ..Fake::default() };
    let said = folder.said(go(&job, &down).expect_err("gives up"));
    assert!(said.ends_with("rows in a row failed, the last with: upstream is down"), "{said}");
    let failed = lock(&down.asked).keys().filter(|text| text.contains("number 4")).count() as i64;
    assert!(failed >= 5);
    go(&job, &down).expect_err("gives up again");
    let failed = failed * 2;
    let again = finished(&job, &Fake::default());
    assert_eq!(folder.read("out.csv").lines().filter(|line| line.ends_with("upstream is down")).count(), 0);
    let cost = summary.progress.cost_micro_usd.micro();
    assert_eq!(again.progress.cost_micro_usd.micro(), cost + failed, "each failed attempt cost one");
    let without_cost = |text: &str| {
        text.lines().map(|line| line.rsplitn(3, ',').nth(2).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(without_cost(&folder.read("out.csv")), without_cost(&whole));
}

#[test]
fn an_answerer_that_says_nothing_leaves_an_error_and_no_hole() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(10));
    let silent = Fake { silent_after: Some(4), ..Fake::default() };
    let summary = finished(&folder.job("in.csv", "out.csv"), &silent);
    assert_eq!((summary.progress.rows, summary.progress.failed, summary.progress.cost_unknown), (10, 6, 6));
    assert_eq!(folder.read("out.csv").matches("no answer was given").count(), 6);
}

/// A run that was stopped after `rows`.
fn stopped(folder: &Folder, rows: u64) {
    let fake = Fake { cancel_after: Some((rows, CancellationToken::new())), ..Fake::default() };
    assert!(!go(&folder.job("in.csv", "out.csv"), &fake).expect("stops").finished);
}

#[test]
fn an_input_that_changed_is_not_gone_on_with() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(50));
    stopped(&folder, 20);
    folder.write("in.csv", numbered(51));
    let said = folder.said(go(&folder.job("in.csv", "out.csv"), &Fake::default()).expect_err("changed"));
    assert!(
        said.starts_with("error: the input has changed since the run that was interrupted\n  --> in.csv\n"),
        "{said}"
    );
    assert!(said.contains("hint: --restart forgets its "), "{said}");
    let fake = Fake::default();
    finished(&Job { restart: true, ..folder.job("in.csv", "out.csv") }, &fake);
    assert_eq!(fake.asked(), 51);
}

#[test]
fn a_change_in_the_middle_of_a_long_input_is_noticed_when_it_is_reached() {
    let folder = Folder::new();
    let long = numbered(20_000);
    folder.write("in.csv", &long);
    let job = Job { batch_rows: 500, ..folder.job("in.csv", "out.csv") };
    let fake = Fake { cancel_after: Some((15_000, CancellationToken::new())), ..Fake::default() };
    assert!(!go(&job, &fake).expect("stops").finished);
    folder.write("in.csv", long.replace("row number 9000\n", "row number 9OOO\n"));
    let said = folder.said(go(&job, &Fake::default()).expect_err("changed"));
    assert!(said.starts_with("error: row 9001 is not the one that the interrupted run answered"), "{said}");
}

#[test]
fn another_release_does_not_go_on_with_the_answers_of_this_one() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(50));
    stopped(&folder, 20);
    let job = Job { identity: "tickets@2".into(), ..folder.job("in.csv", "out.csv") };
    let said = folder.said(go(&job, &Fake::default()).expect_err("another's"));
    assert!(said.starts_with("error: the run that was interrupted was another one's: tickets@1"), "{said}");
}

#[test]
fn an_output_that_exists_or_is_the_input_is_not_overwritten() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(3));
    folder.write("out.csv", "precious");
    let said = |input: &str, output: &str| {
        folder.said(go(&folder.job(input, output), &Fake::default()).expect_err("refused"))
    };
    assert_eq!(
        said("in.csv", "out.csv"),
        "error: the output exists already\n  --> out.csv\nhint: replace it with --force, or write to another file"
    );
    assert_eq!(folder.read("out.csv"), "precious");
    assert!(said("in.csv", "in.csv").starts_with("error: the output is the input"));
    assert!(said("in.csv", "").starts_with("error: the output is a directory"));
    folder.write("new.csv.journal", "a diary\n");
    assert!(said("in.csv", "new.csv").starts_with("error: this is not the journal of a run"));
    assert_eq!(folder.read("new.csv.journal"), "a diary\n");
    finished(&Job { force: true, ..folder.job("in.csv", "out.csv") }, &Fake::default());
}

#[test]
fn two_runs_do_not_write_one_output() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(50));
    stopped(&folder, 20);
    let held = File::open(folder.path("out.csv.journal")).expect("the journal");
    held.lock().expect("locks");
    let said = folder.said(go(&folder.job("in.csv", "out.csv"), &Fake::default()).expect_err("locked"));
    assert!(said.starts_with("error: another run is writing this output"), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_is_told_and_the_answers_are_kept() {
    let folder = Folder::new();
    folder.write("in.csv", numbered(10));
    let said = folder
        .said(go(&folder.job("in.csv", "no/such/folder.csv"), &Fake::default()).expect_err("no folder"));
    assert!(said.contains("no/such/folder.csv.journal"), "{said}");
    // A device that is always full; the journal lies in the folder.
    if Path::new("/dev/full").exists() {
        #[cfg(unix)]
        std::os::unix::fs::symlink("/dev/full", folder.path("out.csv.partial")).expect("links");
        let fake = Fake::default();
        let said = folder.said(go(&folder.job("in.csv", "out.csv"), &fake).expect_err("full"));
        assert!(said.starts_with("out.csv.partial can't be written: No space left"), "{said}");
        fs::remove_file(folder.path("out.csv.partial")).expect("was there");
        finished(&folder.job("in.csv", "out.csv"), &fake);
        assert_eq!(fake.asked(), 10, "paid for once");
    }
}

#[test]
fn bad_inputs_are_told_before_anything_is_asked() {
    let folder = Folder::new();
    folder.write("empty.csv", "");
    folder.write("column.csv", "body\nx\n");
    folder.write("column.jsonl", "{\"body\":\"x\"}\n");
    for (input, message) in [
        ("empty.csv", "error: the file is empty"),
        ("column.csv", "error: there is no column `text`"),
        ("column.jsonl", "error: there is no column `text`"),
        ("missing.csv", "error: can't be opened: there is no such file"),
    ] {
        let said = folder.said(go(&folder.job(input, "out.csv"), &Fake::default()).expect_err(input));
        assert!(said.starts_with(message), "{input}: {said}");
        assert!(!folder.names().iter().any(|name| name.starts_with("out.csv")), "{:?}", folder.names());
    }
    folder.write("header.csv", "text\n");
    let summary = finished(&folder.job("header.csv", "out.csv"), &Fake::default());
    assert_eq!((summary.progress.rows, folder.read("out.csv")), (0, format!("text,{ADDED_HEADER}\n")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_often_and_wherever_it_is_torn_the_output_is_the_same(
        texts in prop::collection::vec("[ab\\n\", é]{0,5}", 1..80),
        tears in prop::collection::vec((1..60_u64, 0..40_u64, 1..9_usize, 1..4_usize), 0..4),
    ) {
        let folder = Folder::new();
        let mut bytes = b"text,n\n".to_vec();
        for (number, text) in texts.iter().enumerate() {
            // Every seventh row is ragged.
            let end = if number % 7 == 6 { "\n".to_owned() } else { format!(",{number}\n") };
            bytes.extend(format!("\"{}\"{end}", text.replace('"', "\"\"")).bytes());
        }
        folder.write("in.csv", bytes);
        let (whole, summary) = uninterrupted(&folder, "in.csv");
        prop_assert_eq!(summary.progress.rows, texts.len() as u64);
        let mut last = None;
        for (after, torn, batch_rows, concurrency) in tears {
            let fake = Fake { cancel_after: Some((after, CancellationToken::new())), ..Fake::default() };
            let job = Job { batch_rows, concurrency, ..folder.job("in.csv", "out.csv") };
            last = Some(go(&job, &fake).expect("runs"));
            if last.as_ref().is_some_and(|summary| summary.finished) {
                break;
            }
            // The first line is synced before anything is asked; what follows may be torn by a power cut.
            let journal = fs::read(folder.path("out.csv.journal")).expect("the journal");
            let first = journal.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
            let length = journal.len().saturating_sub(torn as usize).max(first);
            fs::write(folder.path("out.csv.journal"), &journal[..length]).expect("tears");
        }
        if !last.is_some_and(|summary| summary.finished) {
            finished(&folder.job("in.csv", "out.csv"), &Fake::default());
        }
        prop_assert_eq!(folder.read("out.csv"), whole);
        prop_assert_eq!(folder.names(), ["in.csv", "out.csv", "whole.csv"]);
    }
}
