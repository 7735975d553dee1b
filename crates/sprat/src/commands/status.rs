//! `sprat status`: what is live, what is promised, what was served, what to do next.

use serde::Serialize;
use sprat_learn::advice::next_step;
use sprat_store::{Filter, Spend, Store};
use sprat_task::{Certificate, Status, Task};

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;
use crate::output::{Mark, Output, words};
use crate::workspace::Workspace;

/// Show what is live and promised, what was served, and what to do next
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat status
  sprat status tickets --json")]
pub struct Args {
    /// One task; all of them unless given
    task: Option<String>,
}

/// How one task stands.
#[derive(Serialize)]
struct Standing {
    task: String,
    live: Option<String>,
    live_since_unix_ms: Option<i64>,
    /// What the certificate is worth now: `stale` where something it is bound to has changed.
    status: Status,
    sentence: String,
    certificate: Option<Certificate>,
    /// Why it no longer holds.
    stale: Vec<String>,
    requests: u64,
    answered_small: u64,
    escalated: u64,
    failed: u64,
    latency_us_p50: Option<u64>,
    latency_us_p99: Option<u64>,
    /// Small answers that were checked.
    audits: u64,
    /// Rows that wait for a person's label.
    review_waiting: u64,
    /// Requests that could not be recorded.
    not_recorded: u64,
    next: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let tasks: Vec<&Task> = match &args.task {
        Some(name) => vec![workspace.task(name)?],
        None => workspace.tasks.values().map(|(task, _)| task).collect(),
    };
    let models = Models::open(&workspace)?;
    let store = workspace.store()?;
    let mut standings = Vec::new();
    for task in tasks {
        standings.push(standing(app, &workspace, &models, &store, task)?);
    }
    app.out().show(&serde_json::json!({ "tasks": standings }), |out| {
        if standings.is_empty() {
            out.line("there are no tasks yet: declare one in tasks/NAME.toml");
        }
        for standing in &standings {
            show(out, standing);
        }
    });
    Ok(())
}

fn standing(
    app: &App,
    workspace: &Workspace,
    models: &Models<'_>,
    store: &Store,
    task: &Task,
) -> Result<Standing, Failure> {
    let deployment = store.registry().live(&task.name)?;
    let loaded = app.block_on(live(app, workspace, models, store, task, None, Reaching::SmallOnly))?;
    let (release, stale, whole) = match loaded {
        Ok(loaded) => {
            let rungs = loaded.release.as_ref().map_or(0, |release| release.rungs.len());
            let whole = loaded.ladder.rungs.len() == rungs;
            (loaded.release, loaded.stale, whole)
        }
        // One task whose release can't be loaded must not hide how the others stand.
        Err(failure @ (Failure::Input(_) | Failure::Ours(_))) => {
            let live = deployment.as_ref().map(|deployment| store.registry().release(&deployment.live));
            (live.transpose()?, vec![failure.plainly()], true)
        }
        Err(failure) => return Err(failure),
    };
    let certificate = release.map(|release| release.certificate);
    let (status, sentence, mut next) = promise(store, task, certificate.as_ref(), &stale)?;
    if !whole {
        next = format!("sprat learn {} ROWS, with the rows it was made from, mends it", task.name);
    }
    let of = |spend| Filter { task: Some(task.name.clone()), spend: Some(spend), period: None };
    let served = store.ledger().totals(&of(Spend::Serving))?;
    Ok(Standing {
        task: task.name.to_string(),
        live: deployment.as_ref().map(|deployment| deployment.live.to_string()),
        live_since_unix_ms: deployment.as_ref().map(|deployment| deployment.since_unix_ms),
        status,
        sentence,
        certificate,
        stale,
        requests: served.requests,
        answered_small: served.small,
        escalated: served.escalated,
        failed: served.failed,
        latency_us_p50: served.latency.quantile_us(0.5),
        latency_us_p99: served.latency.quantile_us(0.99),
        audits: store.ledger().totals(&of(Spend::Audits))?.requests,
        review_waiting: store.review().counts(&task.name)?.waiting,
        not_recorded: served.lost,
        next,
    })
}

/// What the promise is worth now, in a word and a sentence, and the next step.
fn promise(
    store: &Store,
    task: &Task,
    certificate: Option<&Certificate>,
    stale: &[String],
) -> Result<(Status, String, String), Failure> {
    let name = &task.name;
    let Some(certificate) = certificate else {
        let next = match store.registry().releases(name)?.first() {
            Some(newest) => {
                format!("sprat promote {name} {} makes the newest release live", newest.id.version)
            }
            None => format!("sprat learn {name} ROWS"),
        };
        return Ok((Status::None, "nothing is live; no small model answers".to_owned(), next));
    };
    let mut now = certificate.clone();
    if !stale.is_empty() {
        now.status = Status::Stale;
    }
    Ok((now.status, now.sentence(), next_step(task, &now)))
}

fn show(out: &Output, standing: &Standing) {
    out.heading(&standing.task);
    match (&standing.live, standing.live_since_unix_ms) {
        (Some(live), Some(since)) => out.line(format!("live: {live}, since {}", words::time(since))),
        _ => out.line("live: nothing"),
    }
    let mark = if standing.status == Status::Certified { Mark::Ok } else { Mark::Warn };
    out.check(mark, format!("{}: {}", standing.status, standing.sentence), None);
    for why in &standing.stale {
        out.sentence(format!("      {why}"));
    }
    if let Some(certificate) = &standing.certificate {
        out.line(format!(
            "guarantee: {}, {} risk, look {}, on {}",
            certificate.guarantee,
            certificate.risk,
            certificate.look,
            words::counted(certificate.n, "fresh row")
        ));
    }
    served(out, standing);
    out.sentence(format!("next: {}", standing.next));
}

fn served(out: &Output, standing: &Standing) {
    if standing.requests == 0 {
        out.line("served: nothing yet");
    } else {
        let share = words::share(standing.answered_small as f64 / standing.requests as f64);
        let time = |us: Option<u64>| us.map_or_else(|| "unknown".to_owned(), words::duration_us);
        out.line(format!(
            "served: {}, {} answered small ({share}), {} escalated, {} failed; p50 {}, p99 {}",
            words::counted(standing.requests, "request"),
            words::count(standing.answered_small),
            words::count(standing.escalated),
            words::count(standing.failed),
            time(standing.latency_us_p50),
            time(standing.latency_us_p99),
        ));
    }
    out.line(format!(
        "audits: {}; waiting for a person's label: {}",
        words::count(standing.audits),
        words::counted(standing.review_waiting, "row")
    ));
    if standing.not_recorded > 0 {
        out.line(format!(
            "not recorded, and in none of these numbers: {}",
            words::counted(standing.not_recorded, "request")
        ));
    }
}
