//! `sprat run`: every row of a file answered, every column of it kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::json;
use sprat_cascade::{Climbed, End, Pace, Reach};
use sprat_learn::bulk::{Answered, Answerer, BulkError, Done, Job, Progress, Summary, run as run_bulk};
use sprat_learn::rows::columns::Columns;
use sprat_store::{Source, Store, StoreError};
use sprat_task::{Context, Input, Money, Outcome, Task};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::evidence::qualified;
use crate::failure::Failure;
use crate::live::{Live, Reaching, live};
use crate::models::Models;
use crate::output::{Output, words};
use crate::workspace::shown;

/// Answer every row of a file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat run tickets mails.csv -o answered.csv
  sprat run tickets mails.parquet -o answered.jsonl --text-column body
  sprat run tickets mails.csv -o answered.csv --small-only    never asks the large model

CSV, TSV, JSON lines and Parquet, in and out; every column stays and `answer`, `answered_by`,
`confidence`, `escalated`, `cost_micro_usd` and `error` are added. Interrupted by Ctrl-C, kill -9
or a power cut, the same command goes on where it stopped and pays for no row twice. A row that
can't be answered stays, with its error.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// The file to read; `-` is standard input
    input: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A release instead of the live one
    #[arg(long, value_name = "VERSION")]
    release: Option<u32>,
    /// Never ask the large model: rows that would climb to it stay without an answer
    #[arg(long)]
    small_only: bool,
    /// The column that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// What the added columns' names begin with
    #[arg(long)]
    prefix: Option<String>,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    /// Forget what an interrupted run has answered
    #[arg(long)]
    restart: bool,
}

/// Rows climbed together: many enough to share a call's overhead, few enough to lose little.
const BATCH_ROWS: usize = 256;

/// Rows of a batch for which the large model is being asked at the same time, by as many calls as it allows: what Ctrl-C
/// waits for. Each answer is kept by itself.
const LARGE_AT_ONCE: usize = 16;

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?.clone();
    let models = Models::open(&workspace)?;
    let store = workspace.store()?;
    let reaching = if args.small_only { Reaching::SmallOnly } else { Reaching::Large };
    let live = app.block_on(live(app, &workspace, &models, &store, &task, args.release, reaching))??;
    live.explain(app, &task);
    let bar = app.out().progress("rows", None);
    let summary = {
        let climber = Climber { app, live: &live, task: &task, store: &store, reach: reach(args.small_only) };
        let mut on_progress = |progress: &Progress| bar.set(progress.rows);
        app.block_on(run_bulk(&job(&args, &live, &task), &climber, &mut on_progress, app.cancel()))?
    };
    drop(bar);
    let settled = store.ledger().settle();
    let summary = summary.map_err(|error| failure(error, &args))?;
    settled?;
    tell(app, &live, &summary, &args);
    if !summary.finished {
        return Err(Failure::Stopped);
    }
    Ok(())
}

fn reach(small_only: bool) -> Reach {
    if small_only { Reach::SmallOnly } else { Reach::Whole }
}

fn job(args: &Args, live: &Live, task: &Task) -> Job {
    let release =
        live.release.as_ref().map_or_else(|| "no release".to_owned(), |release| release.id.to_string());
    let identity =
        format!("{} {release} {}", task.name, if args.small_only { "small only" } else { "whole ladder" });
    Job {
        columns: Columns { text: args.text_column.clone(), ..Columns::default() },
        prefix: args.prefix.clone(),
        force: args.force,
        restart: args.restart,
        batch_rows: BATCH_ROWS,
        ..Job::new(&args.input, &args.output, identity)
    }
}

/// Sends batches up the ladder and charges them.
struct Climber<'a> {
    app: &'a App,
    live: &'a Live,
    task: &'a Task,
    store: &'a Store,
    reach: Reach,
}

impl Answerer for Climber<'_> {
    fn answer<'a>(&'a self, inputs: &'a [Input], done: &'a Done<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let cx = Context {
                deadline: Instant::now() + Duration::from_secs(3_600),
                // What has been asked for is waited for: an answer that is paid for should be kept.
                cancel: CancellationToken::new(),
                request: "run".into(),
            };
            let told = |ended: Vec<(usize, Climbed)>| {
                let now = self.app.now_unix_ms();
                for (_, climbed) in &ended {
                    let entry = self.live.entry(self.task, climbed, self.app.new_request(), Source::Run, now);
                    // A record that can't be kept is counted by the ledger itself; the row's answer is worth more.
                    let _: Result<(), StoreError> = self.store.ledger().append(&entry);
                }
                done(ended.iter().map(|(row, climbed)| (*row, answered(climbed))).collect());
            };
            let pace = Pace { at_once: LARGE_AT_ONCE, stop: self.app.cancel() };
            self.live.ladder.climb_telling(&cx, self.task, inputs, self.reach, pace, &told).await;
        })
    }
}

fn answered(climbed: &Climbed) -> Answered {
    let error = match climbed.end {
        End::Failed => climbed.steps.last().and_then(|step| match &step.outcome {
            Outcome::Failed(error) => Some(error.to_string()),
            _ => None,
        }),
        End::Small | End::Large | End::People | End::NoAnswer | End::Stopped => None,
    };
    let costs: Option<Vec<Money>> = climbed.steps.iter().map(|step| step.usage.cost).collect();
    Answered {
        answer: climbed.answer.clone(),
        answered_by: climbed.answered_by.clone(),
        confidence: climbed.confidence().map(|confidence| confidence.get()),
        escalated: Some(climbed.escalated()),
        cost_micro_usd: costs.map(|costs| costs.into_iter().sum()),
        error,
    }
}

fn failure(error: BulkError, args: &Args) -> Failure {
    match error {
        BulkError::Problem(problem) => problem.into(),
        BulkError::GaveUp { .. } => Failure::ours_with_hint(
            error.to_string(),
            "what was answered is kept; the same command goes on from there",
        ),
        BulkError::Write { .. } => Failure::ours_with_hint(
            error.to_string(),
            format!(
                "make room and run the same command again: it goes on where {} stopped",
                shown(&args.output)
            ),
        ),
        BulkError::Broken(_) => Failure::ours(error.to_string()),
    }
}

fn tell(app: &App, live: &Live, summary: &Summary, args: &Args) {
    let progress = &summary.progress;
    let small = progress.rows - progress.escalated - progress.failed.min(progress.rows - progress.escalated);
    let baseline = live.large_cost.as_ref().map(|large| large.cost.times(progress.rows));
    let cost = (progress.cost_unknown == 0).then_some(progress.cost_micro_usd);
    let json = json!({
        "output": shown(&args.output),
        "finished": summary.finished,
        "rows": progress.rows,
        "resumed_rows": progress.replayed,
        "failed": progress.failed,
        "escalated": progress.escalated,
        "answered_small": small,
        "cost_micro_usd": cost,
        "cost_unknown_rows": progress.cost_unknown,
        "baseline_micro_usd": baseline,
        "provenance": live.provenance(),
        "seconds": progress.elapsed.as_secs_f64(),
        "rows_per_second": progress.rows_per_second(),
        "notices": summary.notices,
    });
    for notice in &summary.notices {
        app.out().notice(notice);
    }
    app.out().show(&json, |out| show(out, live, summary, small, cost, baseline, args));
}

fn show(
    out: &Output,
    live: &Live,
    summary: &Summary,
    small: u64,
    cost: Option<Money>,
    baseline: Option<Money>,
    args: &Args,
) {
    let progress = &summary.progress;
    let of_all = |rows: u64| words::share(rows as f64 / progress.rows.max(1) as f64);
    if summary.finished {
        out.line(format!(
            "{}: {} in {}",
            shown(&args.output),
            words::counted(progress.rows, "row"),
            words::duration_us(progress.elapsed.as_micros() as u64)
        ));
    }
    out.line(format!("answered small  {} ({})", words::count(small), of_all(small)));
    out.line(format!(
        "escalated       {} ({})",
        words::count(progress.escalated),
        of_all(progress.escalated)
    ));
    if progress.failed > 0 {
        out.line(format!(
            "failed          {} ({}); see the column `error`",
            words::count(progress.failed),
            of_all(progress.failed)
        ));
    }
    if progress.replayed > 0 {
        out.line(format!("from before     {}", words::count(progress.replayed)));
    }
    out.line(format!(
        "cost            {}; everything to the large model: {}{}",
        words::money(cost),
        words::money(baseline),
        qualified(live.provenance())
    ));
}
