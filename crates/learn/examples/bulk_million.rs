//! How fast a bulk run is when answering takes no time, and how much memory it takes:
//!
//! ```text
//! cargo run --release -p sprat-learn --example bulk_million -- FOLDER [csv|jsonl|parquet]
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use futures::executor::block_on;
use futures::future::BoxFuture;
use sprat_learn::bulk::{Answered, Answerer, Done, Job, run};
use sprat_task::{Answer, Input, ModelId, Money};
use tokio_util::sync::CancellationToken;

const ROWS: u64 = 1_000_000;

struct Instant;

impl Answerer for Instant {
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let answered = |input: &Input| Answered {
                answer: Some(Answer::label(if input.text.len().is_multiple_of(2) { "even" } else { "odd" })),
                answered_by: Some(ModelId::from("linear")),
                confidence: Some(0.97),
                escalated: Some(false),
                cost_micro_usd: Some(Money::ZERO),
                error: None,
            };
            done(inputs.iter().map(answered).enumerate().collect());
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder to write into")?);
    let format = arguments.next().unwrap_or_else(|| "csv".to_owned());
    let input = folder.join("million.csv");
    let mut file = BufWriter::new(File::create(&input)?);
    writeln!(file, "id,text")?;
    for id in 0..ROWS {
        writeln!(
            file,
            "{id},\"Where is my order number {}, I bought it {} days ago?\"",
            id * 7919 % 100_003,
            id % 30
        )?;
    }
    file.into_inner()?.sync_all()?;
    let output = folder.join(format!("answered.{format}"));
    let job = Job { batch_rows: 256, force: true, ..Job::new(&input, &output, "nobody") };
    let summary = block_on(run(&job, &Instant, &mut |_| {}, &CancellationToken::new()))?;
    println!(
        "{} rows in {:.2} s: {:.0} rows/s",
        summary.progress.rows,
        summary.progress.elapsed.as_secs_f64(),
        summary.progress.rows_per_second()
    );
    // Linux says how much memory the process ever held.
    for line in fs::read_to_string("/proc/self/status").unwrap_or_default().lines() {
        if line.starts_with("VmHWM") {
            println!("most memory held: {}", line.trim_start_matches("VmHWM:").trim());
        }
    }
    Ok(())
}
