//! `sprat status`: what is live, what is promised, what was served, what to do next.

mod checks;

use checks::Checks;
use serde::Serialize;
use sprat_learn::advice::next_step;
use sprat_store::{Canary, Filter, Notice, Spend, Store};
use sprat_task::{Certificate, Status, Task, TaskName};

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;
use crate::output::{Mark, Output, words};
use crate::watched::Watched;
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

/// Notices that are shown, of so many that are looked through for a task's.
const SHOWN: usize = 5;
const LOOKED_THROUGH: usize = 200;

/// How one task stands.
#[derive(Serialize)]
struct Standing {
    task: String,
    live: Option<String>,
    live_since_unix_ms: Option<i64>,
    /// Answers a share of the traffic.
    canary: Option<Canary>,
    /// Watches, and what it would have answered so far.
    shadow: Option<Watched>,
    /// What the live release would have answered while everything went to the large model (`sprat serve --shadow`).
    #[serde(skip_serializing_if = "Option::is_none")]
    in_shadow: Option<Watched>,
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
    /// What the checks of small answers say; `None` before anything is live.
    checks: Option<Checks>,
    /// Rows that wait for a person's label.
    review_waiting: u64,
    captured: Captured,
    /// Requests that could not be recorded.
    not_recorded: u64,
    next: String,
}

/// What is kept of requests, and for how long.
#[derive(Serialize)]
struct Captured {
    enabled: bool,
    requests: u64,
    last_day: u64,
    retention_days: u32,
}

impl Captured {
    fn of(app: &App, store: &Store, task: &Task) -> Result<Self, Failure> {
        let yesterday = app.now_unix_ms().saturating_sub(86_400_000);
        Ok(Self {
            enabled: task.capture.enabled,
            requests: store.captured().count(&task.name)?,
            last_day: store.captured().count_since(&task.name, yesterday)?,
            retention_days: task.capture.retention_days,
        })
    }
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
    let mut notices = store.notices().latest(LOOKED_THROUGH)?;
    notices.retain(|notice| {
        args.task.is_none() || notice.notice.task.as_ref().map(TaskName::as_str) == args.task.as_deref()
    });
    notices.truncate(SHOWN);
    app.out().show(&serde_json::json!({ "tasks": standings, "notices": notices }), |out| {
        if standings.is_empty() {
            out.line("there are no tasks yet: declare one in tasks/NAME.toml");
        }
        for standing in &standings {
            show(out, standing);
        }
        show_notices(out, &notices);
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
    let beside = store.registry().beside(&task.name)?;
    let certificate = release.map(|release| release.certificate);
    let (status, sentence, mut next) = promise(store, task, certificate.as_ref(), &stale)?;
    if !whole {
        next = format!("sprat learn {} ROWS, with the rows it was made from, mends it", task.name);
    }
    let of = |spend| Filter { task: Some(task.name.clone()), spend: Some(spend), period: None };
    let served = store.ledger().totals(&of(Spend::Serving))?;
    let watches = |id| {
        let sums = store.shadow().of(&id)?;
        Ok::<_, Failure>(Watched::from((id, sums)).of_cost(&served))
    };
    let live = deployment.as_ref().map(|deployment| &deployment.live);
    let in_shadow = live.map(|id| store.shadow().of(id)).transpose()?.filter(|sums| sums.requests > 0);
    let in_shadow = live.cloned().zip(in_shadow).map(|watched| Watched::from(watched).of_cost(&served));
    let checks = live.map(|live| Checks::of(store, live, app.now_unix_ms())).transpose()?;
    if checks.as_ref().is_some_and(Checks::is_alarmed) {
        next = "see docs/guides/when-the-alarm-rings.md: it comes back by itself, or has to be learned again"
            .to_owned();
    }
    Ok(Standing {
        task: task.name.to_string(),
        live: deployment.as_ref().map(|deployment| deployment.live.to_string()),
        live_since_unix_ms: deployment.as_ref().map(|deployment| deployment.since_unix_ms),
        canary: beside.canary,
        shadow: beside.shadow.map(watches).transpose()?,
        in_shadow,
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
        checks,
        review_waiting: store.review().counts(&task.name)?.waiting,
        captured: Captured::of(app, store, task)?,
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
        let has_traffic = task.capture.enabled && store.captured().count(name)? > 0;
        let next = match store.registry().releases(name)?.first() {
            Some(newest) if newest.certificate.allows_small_answers() => {
                format!("sprat promote {name} {} makes the newest release live", newest.id.version)
            }
            Some(newest) => {
                let Certificate { status, .. } = newest.certificate;
                let step = match status {
                    Status::Underpowered if has_traffic => more_traffic(task, newest.certificate.more_labels),
                    _ => next_step(task, &newest.certificate),
                };
                format!("{} is {status}; {step}", newest.id)
            }
            None if has_traffic => format!("sprat learn {name} --from-traffic"),
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

/// Calls label themselves where they are kept: nobody need label rows by hand.
fn more_traffic(task: &Task, more: Option<u64>) -> String {
    let settles = more.map(|more| format!("about {} more calls would settle it; ", words::count(more)));
    format!(
        "{}sprat serve --shadow learns from calls as they come, sprat learn {} --from-traffic at once",
        settles.unwrap_or_default(),
        task.name
    )
}

fn show(out: &Output, standing: &Standing) {
    out.heading(&standing.task);
    match (&standing.live, standing.live_since_unix_ms) {
        (Some(live), Some(since)) => out.line(format!("live: {live}, since {}", words::time(since))),
        _ => out.line("live: nothing"),
    }
    if let Some(canary) = &standing.canary {
        out.line(format!("canary: {}, {} of the traffic", canary.release, canary.share));
    }
    if let Some(watched) = &standing.shadow {
        out.sentence(format!("shadow: {}", watched.sentence()));
    }
    if let Some(watched) = &standing.in_shadow {
        out.sentence(format!("in shadow: {}", watched.sentence()));
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

fn show_notices(out: &Output, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    out.heading("Notices");
    for Notice { notice, sent_unix_ms, .. } in notices {
        let task = notice.task.as_ref().map(|task| format!(" {task}:")).unwrap_or_default();
        let sent = if sent_unix_ms.is_some() { "" } else { " (not sent)" };
        out.sentence(format!(
            "{} {}:{task} {}{sent}",
            words::time(notice.time_unix_ms),
            notice.level.word(),
            notice.text
        ));
    }
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
    if let Some(checks) = &standing.checks {
        checks.show(out);
    }
    out.line(format!("waiting for a person's label: {}", words::counted(standing.review_waiting, "row")));
    let captured = &standing.captured;
    if captured.enabled || captured.requests > 0 {
        out.line(format!(
            "captured: {}, {} in the last day; each is kept for {}{}",
            words::counted(captured.requests, "request"),
            words::count(captured.last_day),
            words::counted(u64::from(captured.retention_days), "day"),
            if captured.enabled { "" } else { "; capture is off now" }
        ));
    }
    if standing.not_recorded > 0 {
        out.line(format!(
            "not recorded, and in none of these numbers: {}",
            words::counted(standing.not_recorded, "request")
        ));
    }
}
