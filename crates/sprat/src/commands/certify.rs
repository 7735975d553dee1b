//! `sprat certify`: another look for a release, on more rows.

use std::path::PathBuf;

use serde_json::json;
use sprat_cascade::Rung;
use sprat_learn::relook::{Relook, look_again};
use sprat_learn::rows::read_labelled;
use sprat_learn::savings::costs;
use sprat_task::{Judge, Money, Status};

use crate::app::App;
use crate::columns::ColumnNames;
use crate::commands::learn::failure;
use crate::evidence;
use crate::failure::Failure;
use crate::judge::Opening;
use crate::live::{Reaching, VERSION, live, nothing_live};
use crate::models::Models;
use crate::workspace::shown;

/// Certify a release again, on more labelled rows, without training anything
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat certify tickets more.csv
  sprat certify tickets fresh.csv --fresh          on these rows alone, if no look has seen them
  sprat certify tickets more.csv --release 2

Each look at a grown sample spends less of the confidence than the one before (60.8%, 15.2%, 6.8%
…), so that any number of looks together keeps the promise; one is offered when the sample has
grown by 1.3 times. The result is a release of its own: the same models, other thresholds and
another certificate. Exit code 1 unless it is certified.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Files of labelled rows; `-` is standard input
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    /// A release instead of the live one (or, where none is live, the newest)
    #[arg(long, value_name = "VERSION")]
    release: Option<u32>,
    /// Test on these rows alone
    #[arg(long)]
    fresh: bool,
    /// Put the new release live if it is certified
    #[arg(long)]
    promote: bool,
    #[command(flatten)]
    columns: ColumnNames,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?.clone();
    let models = Models::open(&workspace)?;
    let store = workspace.store()?;
    let newest =
        || Ok::<_, Failure>(store.registry().releases(&task.name)?.first().map(|release| release.id.version));
    let version = match (args.release, store.registry().live(&task.name)?) {
        (Some(version), _) => Some(version),
        (None, Some(deployment)) => Some(deployment.live.version),
        (None, None) => newest()?,
    };
    let Some(version) = version else { return Err(nothing_live(&task).into()) };
    let live =
        app.block_on(live(app, &workspace, &models, &store, &task, Some(version), Reaching::SmallOnly))??;
    let release = live.released(&task)?;
    if live.ladder.rungs.len() != release.rungs.len() {
        return Err(Failure::ours_with_hint(
            format!("{} can't be loaded: {}", release.id, live.stale.join("; ")),
            format!("`sprat learn {} ROWS` makes a new release", task.name),
        ));
    }
    let rows = read_labelled(&args.rows, &task, &args.columns.options())?.rows;
    let charged = rung_costs(&live.ladder.rungs, release);
    let charges = costs(&task, &charged, live.large_cost.as_ref());
    let opening = Opening { app, workspace: &workspace, models: &models, store: &store, task: &task };
    let judge = opening.judge_of_rows(&rows, release.rungs.len(), None)?;
    let learned = app.block_on(look_again(Relook {
        task: &task,
        release,
        rungs: &live.ladder.rungs,
        costs: &charges,
        large: live.large_cost.as_ref(),
        judge: judge.as_ref().map(|judge| judge as &dyn Judge),
        rows: &rows,
        fresh_only: args.fresh,
        now_unix_ms: app.now_unix_ms(),
        code_version: VERSION,
        releases: &workspace.releases(),
        store: &store,
    }))?;
    let learned = learned.map_err(failure)?;
    let id = learned.release.id.clone();
    let certified = learned.release.certificate.status == Status::Certified;
    if args.promote && certified {
        store.registry().promote(&id, "sprat certify --promote", app.now_unix_ms())?;
    }
    let report = evidence::write_report(&workspace, &learned.evidence)?;
    let json = json!({
        "release": id.to_string(), "live": args.promote && certified, "report": shown(&report), "evidence": learned.evidence,
    });
    app.out().show(&json, |out| {
        evidence::show(out, &learned.evidence);
        out.heading("Release");
        out.sentence(match (certified, args.promote) {
            (true, true) => format!("{id} is live"),
            (true, false) => {
                format!("{id} is ready; `sprat promote {} {}` puts it live", id.task, id.version)
            }
            (false, _) => format!("{id} is kept, and not live: it is not certified"),
        });
        out.sentence(format!("report: {}", shown(&report)));
        out.sentence(format!("next: {}", learned.evidence.next));
    });
    if certified { Ok(()) } else { Err(Failure::Told) }
}

/// What each rung cost when the release was made.
fn rung_costs(rungs: &[Rung], release: &sprat_task::Release) -> Vec<Option<Money>> {
    let evidence: Option<sprat_learn::evidence::Evidence> =
        serde_json::from_value(release.evidence.clone()).ok();
    let cost = |rung: &Rung| {
        evidence.as_ref()?.rungs.iter().find(|found| found.model == *rung.model.id())?.cost_micro_usd
    };
    rungs.iter().map(cost).collect()
}
