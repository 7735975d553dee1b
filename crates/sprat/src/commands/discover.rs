//! `sprat discover`: which routine work is in the imported log, and which of it a small model could do.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use sprat_learn::discover::{Candidate, Discovery, Period, Survey};
use sprat_learn::import::stored_calls;
use sprat_store::{CallFilter, Store};
use sprat_task::{ModelId, Money, Problem};

use crate::app::App;
use crate::config::ModelConfig;
use crate::failure::Failure;
use crate::output::{Output, Table, words};
use crate::workspace::{Workspace, shown};

/// Find the routine work in an imported log
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat discover                     candidate tasks, the dearest first
  sprat discover --write tickets     drafts tasks/tickets.toml and tasks/tickets.rows.jsonl
  sprat discover --write tickets --as support    under another name

Calls are grouped by system prompt, response schema and the template of the user's message. How
learnable a group is, is tried out on a sample with a quick linear model: an estimate, not a
promise; `sprat learn` proves it on fresh rows.")]
pub struct Args {
    /// Draft the task file and the rows of this candidate
    #[arg(long, value_name = "NAME")]
    write: Option<String>,
    /// Another name for the drafted task
    #[arg(long = "as", value_name = "TASK", requires = "write")]
    name: Option<String>,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let store = workspace.store()?;
    let discovery = survey(app, &store)?;
    match &args.write {
        None => app.out().show(&discovery, |out| tell(out, &discovery)),
        Some(name) => write(app, &workspace, &store, &discovery, name, args.name.as_deref())?,
    }
    Ok(())
}

/// The dearest candidate whose answers are labels.
pub fn first_with_labels(app: &App) -> Result<String, Failure> {
    let discovery = survey(app, &app.workspace_or_default()?.store()?)?;
    let found = discovery.candidates.into_iter().find(|candidate| candidate.kind.has_labels());
    found
        .map(|candidate| candidate.name)
        .ok_or_else(|| Problem::new("no work in the log has labels for answers").into())
}

fn survey(app: &App, store: &Store) -> Result<Discovery, Failure> {
    let filter = CallFilter::default();
    let total = store.calls().count(&filter)?;
    if total == 0 {
        return Err(Problem::new("no calls have been imported").hint("sprat import LOG.jsonl").into());
    }
    let bar = app.out().progress("calls looked at", Some(total));
    let mut survey = Survey::default();
    for (number, call) in stored_calls(store, &filter).enumerate() {
        survey.add(&call?);
        bar.set(number as u64 + 1);
        if app.cancel().is_cancelled() {
            return Err(Failure::Stopped);
        }
    }
    drop(bar);
    Ok(survey.finish())
}

fn tell(out: &Output, discovery: &Discovery) {
    let log = &discovery.log;
    out.heading(format!(
        "{} in the log, {}",
        words::counted(log.calls, "call"),
        spend(log.spend.per_month, log.spend.in_log)
    ));
    let mut table = Table::new([
        "candidate",
        "kind",
        ">calls",
        ">spend",
        ">labels",
        ">agreement",
        ">answerable",
        ">saving",
        "verdict",
    ]);
    for candidate in &discovery.candidates {
        let learnable = candidate.learnable.as_ref();
        table.row([
            candidate.name.clone(),
            candidate.kind.to_string(),
            words::count(candidate.volume.calls),
            spend(candidate.spend.per_month, candidate.spend.in_log),
            if candidate.labels.is_empty() {
                "-".to_owned()
            } else {
                words::count(candidate.labels.len() as u64)
            },
            learnable.map_or_else(|| "-".to_owned(), |found| estimate(&found.accuracy)),
            learnable.map_or_else(|| "-".to_owned(), |found| estimate(&found.answerable)),
            saving(candidate),
            candidate.verdict.advice.words().to_owned(),
        ]);
    }
    out.table(&table);
    for candidate in &discovery.candidates {
        out.sentence(format!(
            "{}: {}: {}",
            candidate.name,
            candidate.verdict.advice.words(),
            candidate.verdict.reason
        ));
        for notice in &candidate.notices {
            out.sentence(format!("  - {notice}"));
        }
    }
    if discovery.others.calls > 0 {
        out.sentence(format!(
            "{} belong to no group of at least 20",
            words::counted(discovery.others.calls, "call")
        ));
    }
    out.sentence(
        "agreement: how often a quick linear model, on calls it had not seen, says what the large model said; answerable: the share it might \
         answer with at most 5% differing. Estimates on a sample, not promises.",
    );
    if let Some(first) = discovery.candidates.iter().find(|candidate| candidate.kind.has_labels()) {
        out.sentence(format!("next: sprat discover --write {}", first.name));
    }
}

fn spend(per_month: Option<Money>, in_log: Money) -> String {
    match per_month {
        Some(amount) => format!("{amount} a month"),
        None => format!("{in_log} in this log"),
    }
}

fn estimate(estimate: &sprat_stats::interval::Estimate) -> String {
    format!(
        "{} ({} to {})",
        words::share(estimate.value),
        words::share(estimate.interval.lower),
        words::share(estimate.interval.upper)
    )
}

fn saving(candidate: &Candidate) -> String {
    match &candidate.saving {
        None => "-".to_owned(),
        Some(saving) => {
            let per = match saving.per {
                Period::Month => "a month",
                Period::Log => "in this log",
            };
            format!("{} {per} ({} to {})", saving.amount, saving.interval.0, saving.interval.1)
        }
    }
}

/// Drafts the task file and its rows. Nothing is overwritten.
fn write(
    app: &App,
    workspace: &Workspace,
    store: &Store,
    discovery: &Discovery,
    candidate: &str,
    name: Option<&str>,
) -> Result<(), Failure> {
    let draft = discovery.draft(candidate, large_model(workspace).as_ref().map(ModelId::as_str))?;
    let name = name.unwrap_or(candidate);
    if !sprat_task::names::is_plain_name(name) {
        return Err(Problem::new(format!("`{name}` can't name a task"))
            .allowed("1 to 64 letters, digits, `_`, `-` and `.`")
            .into());
    }
    let folder = workspace.root.join("tasks");
    let (task_file, rows_file) =
        (folder.join(format!("{name}.toml")), folder.join(format!("{name}.rows.jsonl")));
    for file in [&task_file, &rows_file] {
        if file.exists() {
            return Err(Problem::in_file(shown(file), "this file exists already")
                .hint("--as gives the task another name")
                .into());
        }
    }
    let cant = |path: &Path| {
        let path = shown(path);
        move |error: std::io::Error| Failure::ours(format!("{path} can't be written: {error}"))
    };
    std::fs::create_dir_all(&folder).map_err(cant(&folder))?;
    let mut rows = std::io::BufWriter::new(std::fs::File::create_new(&rows_file).map_err(cant(&rows_file))?);
    let mut written = 0_u64;
    for call in stored_calls(store, &CallFilter::default()) {
        if let Some(row) = draft.row(&call?) {
            writeln!(rows, "{row}").map_err(cant(&rows_file))?;
            written += 1;
        }
    }
    rows.flush().map_err(cant(&rows_file))?;
    // The task file comes last: with it the task exists.
    std::fs::File::create_new(&task_file)
        .and_then(|mut file| file.write_all(draft.toml.as_bytes()))
        .map_err(cant(&task_file))?;
    let next = format!("sprat learn {name} {}", shown(&rows_file));
    let json = json!({
        "task": name, "task_file": shown(&task_file), "rows_file": shown(&rows_file), "rows": written, "notices": draft.notices, "next": next,
    });
    app.out().show(&json, |out| {
        out.line(format!(
            "wrote {} and {} ({})",
            shown(&task_file),
            shown(&rows_file),
            words::counted(written, "row")
        ));
        for notice in &draft.notices {
            out.sentence(format!("- {notice}"));
        }
        out.sentence(format!("next: look at {}, then {next}", shown(&task_file)));
    });
    Ok(())
}

/// The remote model of the workspace, where there is exactly one.
fn large_model(workspace: &Workspace) -> Option<ModelId> {
    let mut remote =
        workspace.config.models.iter().filter(|(_, model)| matches!(model, ModelConfig::Remote(_)));
    match (remote.next(), remote.next()) {
        (Some((id, _)), None) => Some(id.clone()),
        _ => None,
    }
}
