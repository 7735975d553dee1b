//! `sprat demo`: the whole loop on examples/tickets, offline. Each step is a command that anybody can type again.

mod day;
mod encoder;
mod log;
mod provider;
mod traffic;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use serde::Deserialize;
use serde_json::json;
use sprat_learn::evidence::Evidence;
use sprat_stats::paired::{Pairs, paired_difference};
use sprat_task::{Money, Problem, TaskName};

use crate::app::App;
use crate::args::Cli;
use crate::failure::Failure;
use crate::output::{Output, Table, words};
use crate::workspace::shown;

/// See the whole loop on invented customer mail, offline, in about a minute
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat demo
  sprat demo --dir /tmp/try
  sprat demo --keep             the server goes on; look at its dashboard
  sprat demo --encoder DIR      with a sentence encoder as a second rung

It makes a workspace with an invented shop's mail: imports a log of calls to a large model, finds
the task in it, learns and certifies it on labels that people gave, serves it, and sends 1,000 new
tickets through HTTP. Then one kind of ticket changes its meaning: the audits notice, that kind
goes to the large model, and comes back once it has proved itself again. At the end the ledger is
held against the large model's own bill. Where a sentence encoder has been pulled
(sprat models pull hf:sentence-transformers/all-MiniLM-L6-v2), it is the ladder's second rung. The mail and the large model's answers were authored for
this, and every saving says so. The workspace and the report stay for you to look at.")]
pub struct Args {
    /// The folder of the workspace; replaced if an earlier demo made it
    #[arg(long, default_value = "sprat-demo")]
    dir: PathBuf,
    /// Go on serving, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// The folder of a sentence encoder for the ladder's second rung; found by itself where one was pulled
    #[arg(long, value_name = "DIR")]
    encoder: Option<PathBuf>,
}

const ROWS: &str = include_str!("../../../../examples/tickets/rows.jsonl");
const STREAM: &str = include_str!("../../../../examples/tickets/stream.jsonl");
const ANSWERS: &str = include_str!("../../../../examples/tickets/answers.jsonl");
const TASK: &str = include_str!("../../../../examples/tickets/tasks/tickets.toml");

/// Says that a folder is a demo's, so that another may replace it.
const MARK: &str = ".sprat/demo";
/// The task's name, and the candidate's that `discover` finds it under.
const NAME: &str = "tickets";

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let began = std::time::Instant::now();
    let encoder = encoder::find(args.encoder.as_deref())?;
    let models = encoder.as_deref().map(encoder::declared).unwrap_or_default();
    let folder = prepare(&args.dir)?;
    std::env::set_current_dir(&folder)
        .map_err(|error| Failure::ours(format!("{} can't be entered: {error}", shown(&folder))))?;
    // The workspace is where we are now.
    let here = app.in_folder(None);
    if !app.out().is_json() {
        let dir = args.dir.display();
        app.out().sentence(format!("A workspace in {dir}: an invented shop's log and mail. Each step is a command to type again there."));
    }
    write("sprat.toml", &format!("{}{models}", include_str!("demo/sprat.toml")))?;
    step(&here, &["import", "log.jsonl"])?;
    step(&here, &["discover"])?;
    let candidate = crate::commands::discover::first_with_labels(&here)?;
    step(&here, &["discover", "--write", &candidate, "--as", NAME])?;
    match &encoder {
        Some(source) => add_rung(app, source)?,
        None if !app.out().is_json() => app.out().sentence(encoder::missing()),
        None => {}
    }
    // The drafted rows carry the large model's answers. People have labelled these messages too: with both, `learn` proves
    // what is right, and what agrees, apart.
    step(&here, &["learn", NAME, "labelled.jsonl"])?;
    let mut day = serve(&here.muted_where_json(), args.keep, &models)?;
    step(&here, &["cost"])?;
    let running = day.running.take();
    let summary = add_up(&here, day, began.elapsed().as_secs_f64())?;
    tell(app, &summary, &args.dir, running.is_some());
    let served = running.map_or(Ok(()), day::Running::wait);
    // From here on the large model is played from the file, so that the workspace works without this program.
    write("sprat.toml", &format!("{}{models}", include_str!("demo/sprat.toml")))?;
    served
}

/// Puts the encoder into the drafted task's ladder.
fn add_rung(app: &App, source: &str) -> Result<(), Failure> {
    const DRAFTED: &str = "rungs = [\"linear\"]";
    let task = format!("tasks/{NAME}.toml");
    let written = std::fs::read_to_string(&task)
        .map_err(|error| Failure::ours(format!("{task} can't be read back: {error}")))?;
    if !written.contains(DRAFTED) {
        return Err(Failure::ours(format!("{task} was not drafted with {DRAFTED}")));
    }
    write(&task, &written.replace(DRAFTED, "rungs = [\"linear\", \"encoder\"]"))?;
    if !app.out().is_json() {
        app.out().sentence(format!("An encoder is here ({source}): it becomes the ladder's second rung."));
    }
    Ok(())
}

/// Serves the task, and lives through a day.
fn serve(app: &App, keep: bool, models: &str) -> Result<day::Day, Failure> {
    let broken = |error: serde_json::Error| Failure::ours(format!("the demo's rows can't be read: {error}"));
    let provider = Arc::new(provider::Provider::new(ANSWERS, day::DRIFT).map_err(broken)?);
    let tickets: Vec<day::Ticket> =
        STREAM.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(broken)?;
    let task = format!("tasks/{NAME}.toml");
    let written = std::fs::read_to_string(&task)
        .map_err(|error| Failure::ours(format!("{task} can't be read back: {error}")))?;
    write(&task, &format!("{written}{AUDIT}"))?;
    let configure = |large: std::net::SocketAddr| {
        let serving = include_str!("demo/serving.toml").replace("ADDRESS", &large.to_string());
        write("sprat.toml", &format!("{serving}{models}"))
    };
    day::live(app, provider, &tickets, &TaskName::from(NAME), keep, configure)
}

/// What the demo adds to the drafted task.
const AUDIT: &str = "
# A quarter of the small answers is checked, so that the demo takes a minute; \"auto\" checks 1 to 10%.
[audit]
rate = 0.25
";

fn write(file: &str, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::ours(format!("{file} can't be written: {error}")))
}

/// A fresh workspace. What is there is replaced only if an earlier demo made it.
fn prepare(dir: &Path) -> Result<PathBuf, Failure> {
    let cant = |path: &Path| {
        let path = shown(path);
        move |error: std::io::Error| Failure::ours(format!("{path} can't be written: {error}"))
    };
    if dir.exists() {
        if !dir.join(MARK).exists() {
            return Err(Problem::in_file(shown(dir), "this folder exists already, and no demo made it")
                .hint("sprat demo --dir ANOTHER")
                .into());
        }
        std::fs::remove_dir_all(dir).map_err(cant(dir))?;
    }
    std::fs::create_dir_all(dir.join(".sprat")).map_err(cant(dir))?;
    let labels = labels()?;
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let made = log::files(ROWS, ANSWERS, &labels)
        .map_err(|error| Failure::ours(format!("the demo's rows can't be read: {error}")))?;
    let files: [(&str, &str); 6] = [
        (MARK, ""),
        ("log.jsonl", &made.log),
        ("labelled.jsonl", &made.labelled),
        ("answers.jsonl", ANSWERS),
        ("stream.jsonl", STREAM),
        (".gitignore", ".sprat/\n"),
    ];
    for (file, text) in files {
        let path = dir.join(file);
        std::fs::write(&path, text).map_err(cant(&path))?;
    }
    Ok(dir.to_owned())
}

/// The labels of examples/tickets, as its task file has them.
fn labels() -> Result<Vec<String>, Failure> {
    let source = sprat_task::Source::new("task.toml", TASK);
    let task = sprat_task::read_task(NAME, &source, |_| Err("the demo has no such file".to_owned()))?;
    Ok(task.labels.iter().map(ToString::to_string).collect())
}

/// Runs a command as if it had been typed.
fn step(app: &App, line: &[&str]) -> Result<(), Failure> {
    app.out().command(&format!("sprat {}", line.join(" ")));
    let words = std::iter::once("sprat").chain(line.iter().copied());
    let cli = Cli::try_parse_from(words)
        .map_err(|error| Failure::ours(format!("the demo's command can't be read: {error}")))?;
    cli.command.run(&app.muted_where_json())
}

/// What the stream came to, held against gold labels that neither model saw.
#[derive(serde::Serialize)]
struct Summary {
    provenance: sprat_task::Provenance,
    rows: u64,
    answered_small: u64,
    coverage: f64,
    /// Of the answers given small, those that people say are right.
    selective_accuracy: Option<f64>,
    /// Of the answers given small, those that agree with the large model's: what the certificate is about.
    selective_agreement: Option<f64>,
    escalated: u64,
    cascade_accuracy: f64,
    large_accuracy: f64,
    difference: f64,
    difference_interval: (f64, f64),
    cost_micro_usd: Option<Money>,
    all_large_micro_usd: Option<Money>,
    cheapest_single: Option<String>,
    saving: Option<f64>,
    certificate: String,
    drift: day::Drift,
    books: day::Books,
    dashboard: String,
    report: String,
    seconds: f64,
}

/// A ticket of the stream, and what became of it.
struct AnsweredRow<'a> {
    text: &'a str,
    label: &'a str,
    answer: Option<&'a str>,
    escalated: bool,
}

#[derive(Deserialize)]
struct LargeRow {
    text: String,
    answer: String,
}

fn add_up(app: &App, day: day::Day, seconds: f64) -> Result<Summary, Failure> {
    let broken = |what: &str, error: &dyn std::fmt::Display| {
        Failure::ours(format!("{what} can't be read back: {error}"))
    };
    let tickets: Vec<day::Ticket> = STREAM
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| broken("stream.jsonl", &error))?;
    let row = |reply| {
        let traffic::Reply { ticket, answer, escalated, .. }: &traffic::Reply = reply;
        let ticket = &tickets[*ticket];
        AnsweredRow {
            text: &ticket.text,
            label: &ticket.label,
            answer: answer.as_deref(),
            escalated: *escalated,
        }
    };
    let rows: Vec<AnsweredRow<'_>> = day.replies.iter().map(row).collect();
    let large: Vec<LargeRow> = ANSWERS
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| broken("answers.jsonl", &error))?;
    let large: HashMap<&str, &str> =
        large.iter().map(|row| (row.text.as_str(), row.answer.as_str())).collect();
    let small: Vec<&AnsweredRow> = rows.iter().filter(|row| !row.escalated).collect();
    let is_right = |row: &AnsweredRow| row.answer == Some(row.label);
    let of_large = |row: &AnsweredRow| large.get(row.text).copied();
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let pairs: Vec<(bool, bool)> =
        rows.iter().map(|row| (is_right(row), of_large(row) == Some(row.label))).collect();
    let difference = paired_difference(Pairs::count(pairs.iter().copied()), 0.95);
    let workspace = app.workspace()?;
    let store = workspace.store()?;
    let task = TaskName::from(NAME);
    let release =
        store.registry().releases(&task)?.pop().ok_or_else(|| Failure::ours("the demo made no release"))?;
    let evidence: Option<Evidence> = serde_json::from_value(release.evidence.clone()).ok();
    // The large model's price is that of the authored calls, so that an escalated ticket cost what its call did.
    let cost: Option<Money> =
        rows.iter().filter(|row| row.escalated).map(|row| large_cost(row.text)).sum::<Option<Money>>();
    let all_large: Option<Money> = rows.iter().map(|row| large_cost(row.text)).sum::<Option<Money>>();
    let saving = cost
        .zip(all_large)
        .filter(|(_, all)| all.micro() > 0)
        .map(|(cost, all)| 1.0 - cost.units() / all.units());
    Ok(Summary {
        provenance: sprat_task::Provenance::Authored,
        rows: rows.len() as u64,
        answered_small: small.len() as u64,
        coverage: share(small.len(), rows.len()).unwrap_or(0.0),
        selective_accuracy: share(small.iter().filter(|row| is_right(row)).count(), small.len()),
        selective_agreement: share(
            small.iter().filter(|row| row.answer == of_large(row)).count(),
            small.len(),
        ),
        escalated: rows.iter().filter(|row| row.escalated).count() as u64,
        cascade_accuracy: share(pairs.iter().filter(|pair| pair.0).count(), pairs.len()).unwrap_or(0.0),
        large_accuracy: share(pairs.iter().filter(|pair| pair.1).count(), pairs.len()).unwrap_or(0.0),
        difference: difference.value,
        difference_interval: (difference.interval.lower, difference.interval.upper),
        cost_micro_usd: cost,
        all_large_micro_usd: all_large,
        cheapest_single: evidence
            .and_then(|evidence| evidence.savings?.cheapest_single)
            .map(|(model, cost)| format!("{model}: {cost} for 1,000")),
        saving,
        certificate: release.certificate.sentence(),
        drift: day.drift,
        books: day.books,
        dashboard: day.dashboard,
        report: format!(".sprat/reports/{}-{}.html", release.id.task, release.id.version),
        seconds,
    })
}

/// What the authored call for this text cost.
fn large_cost(text: &str) -> Option<Money> {
    #[derive(Deserialize)]
    struct Cost {
        text: String,
        cost_micro_usd: i64,
    }
    static COSTS: std::sync::OnceLock<HashMap<String, i64>> = std::sync::OnceLock::new();
    let costs = COSTS.get_or_init(|| {
        let rows = ANSWERS.lines().filter_map(|line| serde_json::from_str::<Cost>(line).ok());
        rows.map(|row| (row.text, row.cost_micro_usd)).collect()
    });
    costs.get(text).copied().map(Money::from_micro)
}

fn tell(app: &App, summary: &Summary, dir: &Path, keeps: bool) {
    let json = json!({ "workspace": dir.display().to_string(), "summary": summary });
    app.out().show(&json, |out| {
        out.heading(format!("{} new tickets, held against labels that no model saw", words::count(summary.rows)));
        let mut table = Table::new(["", ">"]);
        let or_unknown = |share: Option<f64>| share.map_or_else(|| "unknown".to_owned(), words::share);
        table.row(["answered small (coverage)".to_owned(), words::share(summary.coverage)]);
        table.row(["  of these, as the large model would have".to_owned(), or_unknown(summary.selective_agreement)]);
        table.row(["  of these, right".to_owned(), or_unknown(summary.selective_accuracy)]);
        table.row(["escalated to the large model".to_owned(), words::count(summary.escalated)]);
        table.row(["right end to end".to_owned(), words::share(summary.cascade_accuracy)]);
        table.row(["right if the large model answered everything".to_owned(), words::share(summary.large_accuracy)]);
        let (low, high) = summary.difference_interval;
        table.row(["  difference, in points".to_owned(), format!("{:+.1} ({:+.1} to {:+.1})", summary.difference * 100.0, low * 100.0, high * 100.0)]);
        table.row(["cost".to_owned(), words::money(summary.cost_micro_usd)]);
        table.row(["cost if the large model answered everything".to_owned(), words::money(summary.all_large_micro_usd)]);
        table.row(["  saved".to_owned(), or_unknown(summary.saving)]);
        table.row(["cheapest single model that meets the target".to_owned(), summary.cheapest_single.clone().unwrap_or_else(|| "none proved".to_owned())]);
        out.table(&table);
        out.sentence("The mail, the large model's answers, their prices and latencies are authored: the saving shows how the ledger works, not what you would save.");
        out.heading("The promise");
        out.sentence(&summary.certificate);
        out.heading("When tickets changed their meaning");
        tell_drift(out, &summary.drift);
        out.heading("The books");
        tell_books(out, &summary.books);
        out.heading("Look around");
        if keeps {
            out.line(format!("dashboard: {}   (Ctrl-C ends it)", summary.dashboard));
        } else {
            out.line("sprat demo --keep   goes on serving, with a dashboard to look at");
        }
        out.line(format!("cd {}", dir.display()));
        out.line("sprat ask tickets \"where is my parcel? tracking says nothing since monday\"");
        out.line("sprat status tickets");
        out.line(format!("open {}/{} in a browser", dir.display(), summary.report));
        out.line(format!("took {:.0} s", summary.seconds));
    });
}

fn tell_drift(out: &Output, drift: &day::Drift) {
    let Some(alarm) = &drift.alarm else {
        out.sentence("The audits saw nothing: too few of these tickets came.");
        return;
    };
    out.sentence(format!(
        "After {} the audits had seen enough ({alarm}); until then there were {} that the large model would no longer have given.",
        words::counted(drift.tickets_until_step_back, "ticket"),
        words::counted(drift.stale_answers, "small answer")
    ));
    out.sentence(format!(
        "From then on `{}` mail went to the large model: {} of the old kind after that.",
        drift.label,
        words::counted(drift.stale_after, "small answer")
    ));
    match drift.tickets_until_restored {
        Some(tickets) => out.sentence(format!(
            "Turned back, it proved itself again by {} of labels from after the alarm, and came back in stages ({}) within {}.",
            words::counted(u64::from(drift.looks), "test"),
            drift.shares.iter().map(|share| words::share(*share)).collect::<Vec<_>>().join(", "),
            words::counted(tickets, "ticket")
        )),
        None => out.sentence("It had not proved itself again when the demo ended."),
    }
}

fn tell_books(out: &Output, books: &day::Books) {
    let mut table = Table::new(["", ">"]);
    table.row([
        format!("the large model's own bill, {}", words::counted(books.bill.calls, "call")),
        words::money(Some(books.bill.cost)),
    ]);
    table.row(["the ledger".to_owned(), words::money(books.ledger_micro_usd)]);
    table.row(["  of this, audits".to_owned(), words::money(Some(books.audits_micro_usd))]);
    out.table(&table);
    out.sentence(if books.equal {
        "They are equal."
    } else {
        "They differ: that is a fault of this program."
    });
}
