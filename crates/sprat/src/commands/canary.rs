//! `sprat canary`: a release answers a share of the traffic.

use serde_json::json;
use sprat_store::{Canary, Registry};
use sprat_task::{Problem, Release, ReleaseId, Share, Status, Task};

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;

/// Let a release answer a share of the traffic, beside the live one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat canary tickets 4 --share 10%
  sprat canary tickets --share 50%       the canary there is, else the newest release
  sprat canary tickets --end --reason \"complaints\"

A running `sprat serve` takes it up within two seconds. Who gets the canary goes by the conversation
or the user that a request names (x-session-id, metadata.session_id, user), else by the request: the
same one stays on the same side, and a larger share takes nobody back. `sprat promote` makes it
live; `sprat rollback` ends it. A release that may answer nothing is refused: `sprat shadow` tries
it.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// The release's number; the canary's, else the newest unless given
    version: Option<u32>,
    /// How much of the traffic, such as 10% or 0.1
    #[arg(long, required_unless_present = "end", conflicts_with = "end")]
    share: Option<Share>,
    /// End it: the live release answers everything again
    #[arg(long, conflicts_with = "version")]
    end: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "sprat canary")]
    reason: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?;
    let store = workspace.store()?;
    let registry = store.registry();
    let Some(share) = args.share.filter(|_| !args.end) else { return end(app, registry, task, &args.reason) };
    let release = chosen(registry, task, args.version)?;
    let models = Models::open(&workspace)?;
    let version = Some(release.id.version);
    let loaded =
        app.block_on(live(app, &workspace, &models, &store, task, version, Reaching::SmallOnly))??;
    may_answer(&release, &loaded.stale)?;
    let beside = registry.canary(&release.id, share, &args.reason, app.now_unix_ms())?;
    let live = registry.live(&task.name)?.map(|deployment| deployment.live);
    app.out().show(&json!({ "live": live, "canary": beside.canary, "shadow": beside.shadow }), |out| {
        let rest = live.as_ref().map_or_else(|| "nothing small".to_owned(), ToString::to_string);
        out.line(format!("{} answers {share} of {}; the rest: {rest}", release.id, task.name));
        out.sentence(format!("{}: {}", release.certificate.status, release.certificate.sentence()));
        out.line(format!(
            "next: sprat promote {0} {1}, or sprat canary {0} --end",
            task.name, release.id.version
        ));
    });
    Ok(())
}

/// A canary that answers nothing would show nothing, and cost its share at the end of the ladder.
fn may_answer(release: &Release, stale: &[String]) -> Result<(), Problem> {
    let ReleaseId { task, version } = &release.id;
    let why = match release.certificate.status {
        Status::Certified if stale.is_empty() => return Ok(()),
        Status::Certified => format!("its certificate is stale: {}", stale.join("; ")),
        status => format!("it is {status}"),
    };
    Err(Problem::new(format!("{} may answer nothing small, and so is no canary: {why}", release.id))
        .allowed("a certified release")
        .hint(format!("`sprat shadow {task} {version}` tries it without letting it answer")))
}

/// The release of a number; else the canary there is, whose share changes; else the newest.
fn chosen(registry: Registry<'_>, task: &Task, version: Option<u32>) -> Result<Release, Failure> {
    let there = registry.beside(&task.name)?.canary.map(|canary| canary.release);
    let given = version.map(|version| ReleaseId { task: task.name.clone(), version });
    Ok(match given.or(there) {
        Some(id) => registry.release(&id)?,
        None => newest(registry, task)?,
    })
}

/// The newest release of a task.
pub fn newest(registry: Registry<'_>, task: &Task) -> Result<Release, Failure> {
    registry.releases(&task.name)?.into_iter().next().ok_or_else(|| {
        Problem::new(format!("task `{}` has no release", task.name))
            .hint(format!("`sprat learn {} ROWS` makes one", task.name))
            .into()
    })
}

fn end(app: &App, registry: Registry<'_>, task: &Task, reason: &str) -> Result<(), Failure> {
    let ended = registry.end_canary(&task.name, reason, app.now_unix_ms())?;
    let live = registry.live(&task.name)?.map(|deployment| deployment.live);
    app.out().show(&json!({ "live": live, "ended": ended }), |out| {
        out.line(match &ended {
            Some(canary) => ended_line(canary, live.as_ref()),
            None => format!("{} has no canary", task.name),
        });
    });
    Ok(())
}

/// That a canary has ended, and who answers now.
pub fn ended_line(canary: &Canary, live: Option<&ReleaseId>) -> String {
    let live = live.map_or_else(|| "no release".to_owned(), ToString::to_string);
    format!("{} is no canary any more (it had {}); {live} answers everything", canary.release, canary.share)
}
