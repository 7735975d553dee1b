//! `sprat ask`: one answer, with everything that led to it.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;
use sprat_cascade::{Climbed, End, Reach};
use sprat_store::Source;
use sprat_task::{Answer, Context, Input, Outcome, Prediction, Problem, Task};

use crate::app::App;
use crate::evidence::qualified;
use crate::failure::Failure;
use crate::live::{Live, Reaching, live};
use crate::models::Models;
use crate::output::{Output, Table, words};
use crate::reasons::{Reasons, nearest};

/// Answer one text, and show which rung answered, how sure it was and what it cost
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat ask tickets \"where is my parcel?\"
  echo \"where is my parcel?\" | sprat ask tickets
  sprat ask tickets \"where is my parcel?\" --small-only    never asks the large model

Exit code 1 where nobody answers: the ladder ends without a model, or the large model failed.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// The text; standard input unless given
    text: Option<String>,
    /// A release instead of the live one
    #[arg(long, value_name = "VERSION")]
    release: Option<u32>,
    /// Never ask the large model: show what the small ones say
    #[arg(long)]
    small_only: bool,
    /// How many of the nearest training rows to show
    #[arg(long, default_value_t = 3)]
    neighbours: usize,
    /// The longest to wait for an answer, in seconds
    #[arg(long, default_value_t = 60)]
    timeout_s: u64,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?.clone();
    let input = Input::new(text(&args)?);
    let models = Models::open(&workspace)?;
    let store = workspace.store()?;
    let reaching = if args.small_only { Reaching::SmallOnly } else { Reaching::Large };
    let live = app.block_on(live(app, &workspace, &models, &store, &task, args.release, reaching))??;
    live.explain(app, &task);
    let request = app.new_request();
    let cx = Context {
        deadline: Instant::now() + Duration::from_secs(args.timeout_s),
        cancel: app.cancel().clone(),
        request: request.clone(),
    };
    let reach = if args.small_only { Reach::SmallOnly } else { Reach::Whole };
    let climbs = app.block_on(live.ladder.climb(&cx, &task, std::slice::from_ref(&input), reach))?;
    let Some(climbed) = climbs.into_iter().next() else {
        return Err(Failure::ours("the ladder gave no answer"));
    };
    if !args.small_only {
        store.ledger().append(&live.entry(
            &task,
            &climbed,
            request.clone(),
            Source::Ask,
            app.now_unix_ms(),
        ))?;
        store.ledger().settle()?;
    }
    let reasons = app.block_on(nearest(&live, &store, &task, &cx, &input, args.neighbours))?;
    tell(app, &live, &climbed, &reasons, request.as_str());
    let answered = climbed.answer.is_some() || (args.small_only && climbed.own.is_some());
    if answered { Ok(()) } else { Err(unanswered(app, &task, &climbed)) }
}

fn text(args: &Args) -> Result<String, Failure> {
    if let Some(text) = &args.text {
        return Ok(text.clone());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::ours(format!("standard input can't be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::new("standard input is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Problem::new("there is no text to answer")
            .hint(format!("sprat ask {} \"the text\"", args.task))
            .into());
    }
    Ok(text.trim_end_matches('\n').to_owned())
}

fn tell(app: &App, live: &Live, climbed: &Climbed, reasons: &Reasons, request: &str) {
    let account = live.account(climbed);
    let json = json!({
        "request": request,
        "answer": climbed.answer,
        "answered_by": climbed.answered_by,
        "end": format!("{:?}", climbed.end).to_lowercase(),
        "escalated": climbed.escalated(),
        "own_answer": climbed.own.as_ref().map(|(model, prediction, confidence)| json!({
            "model": model, "answer": prediction.answer, "confidence": confidence, "alternatives": prediction.alternatives,
        })),
        "release": live.release.as_ref().map(|release| release.id.to_string()),
        "certificate": live.release.as_ref().map(|release| release.certificate.status),
        "stale": live.stale,
        "steps": climbed.steps,
        "cost_micro_usd": account.spent.exact(),
        "baseline_micro_usd": account.all_large,
        "baseline_is_estimated": account.all_large_is_estimated,
        "provenance": live.provenance(),
        "neighbours": reasons.rows,
        "neighbours_by": reasons.by,
    });
    app.out().show(&json, |out| show(out, live, climbed, reasons, request));
}

fn show(out: &Output, live: &Live, climbed: &Climbed, reasons: &Reasons, request: &str) {
    let by = |model: &sprat_task::ModelId| format!("answered by {model}");
    match (&climbed.answer, &climbed.answered_by, &climbed.own) {
        (Some(answer), Some(model), _) => out.line(format!("{}   ({})", answer.to_line(), by(model))),
        (_, _, Some((model, prediction, confidence))) => out.line(format!(
            "no answer; {model} would say {} (confidence {})",
            prediction.answer.to_line(),
            words::share(confidence.get())
        )),
        _ => out.line("no answer"),
    }
    if let Some((_, prediction, _)) = &climbed.own {
        fields(out, prediction);
    }
    out.heading("Steps");
    let mut table = Table::new(["rung", "outcome", ">confidence", ">threshold", ">took", ">cost"]);
    for step in &climbed.steps {
        let rung = live.ladder.rungs.iter().find(|rung| rung.model.id() == &step.model);
        let threshold = rung.and_then(|rung| rung.threshold.value());
        table.row([
            step.model.to_string(),
            match &step.outcome {
                Outcome::Failed(error) => format!("failed: {error}"),
                other => other.word().to_owned(),
            },
            step.outcome
                .confidence()
                .map_or_else(|| "-".to_owned(), |confidence| words::share(confidence.get())),
            threshold.map_or_else(|| "-".to_owned(), |threshold| format!(">{}", words::share(threshold))),
            words::duration_us(step.latency_us),
            words::money(step.usage.cost),
        ]);
    }
    out.table(&table);
    near(out, reasons);
    let account = live.account(climbed);
    let baseline = match (account.all_large, account.all_large_is_estimated) {
        (Some(amount), true) => format!("about {amount}"),
        (amount, _) => words::money(amount),
    };
    out.heading("Cost");
    out.line(format!(
        "{}; the large model alone: {baseline}{}",
        words::money(account.spent.exact()),
        qualified(live.provenance())
    ));
    out.line(format!("request {request}"));
}

/// The training rows nearest to what was asked.
fn near(out: &Output, reasons: &Reasons) {
    if reasons.rows.is_empty() {
        return;
    }
    out.heading(match &reasons.by {
        Some(model) => format!("Nearest training rows, as {model} sees them"),
        None => "Nearest training rows".to_owned(),
    });
    let mut table = Table::new([">similar", "label", "text"]);
    for row in &reasons.rows {
        let text = row.text.as_deref().unwrap_or("(a captured request, forgotten since)");
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(90).collect();
        let label = row.label.clone().unwrap_or_else(|| "-".to_owned());
        table.row([words::share(f64::from(row.similarity)), label, text]);
    }
    out.table(&table);
}

/// Each field that a small model looked for, and how sure it is of it; nothing where the answer is no record.
fn fields(out: &Output, prediction: &Prediction) {
    let Answer::Fields(record) = &prediction.answer else { return };
    out.heading("Fields");
    let mut table = Table::new(["field", "value", ">confidence"]);
    for (field, confidence) in &prediction.alternatives {
        let value = match record.get(field.as_str()) {
            None => "-".to_owned(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        table.row([field.to_string(), value, words::share(f64::from(confidence.0))]);
    }
    out.table(&table);
}

fn unanswered(app: &App, task: &Task, climbed: &Climbed) -> Failure {
    if climbed.end == End::Failed {
        app.out().warning(
            "the large model failed; nobody else may answer this; `sprat doctor` looks at models and keys",
        );
    } else if climbed.end != End::Stopped {
        app.out().notice(format!(
            "no rung was sure enough, and {} has no large model; `large = \"NAME\"` in its file gives it one",
            task.name
        ));
    }
    Failure::Told
}
