//! `sprat shadow`: a release watches the traffic and answers nothing.

use serde_json::json;
use sprat_store::Registry;
use sprat_task::{ReleaseId, Task};

use crate::app::App;
use crate::commands::canary::newest;
use crate::commands::promote::why_silent;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;

/// Let a release watch the traffic without answering, to see how it would do
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat shadow tickets 4
  sprat shadow tickets --end

A running `sprat serve` takes it up within two seconds. The release is asked about every request of
the task after the reply has gone out, and `sprat status` shows how much it would have answered, and
how often the same. Nothing else changes: one release watches beside the live one. Another thing is
`sprat serve --shadow`: there everything goes to the large model.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// The release's number; the newest unless given
    version: Option<u32>,
    /// End it: nothing watches any more
    #[arg(long, conflicts_with = "version")]
    end: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "sprat shadow")]
    reason: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?;
    let store = workspace.store()?;
    let registry = store.registry();
    if args.end {
        return end(app, registry, task, &args.reason);
    }
    let release = match args.version {
        Some(version) => registry.release(&ReleaseId { task: task.name.clone(), version })?,
        None => newest(registry, task)?,
    };
    let models = Models::open(&workspace)?;
    let version = Some(release.id.version);
    let loaded =
        app.block_on(live(app, &workspace, &models, &store, task, version, Reaching::SmallOnly))??;
    let silent = why_silent(task, &release, &loaded.stale);
    let beside = registry.shadow(&release.id, &args.reason, app.now_unix_ms())?;
    let live = registry.live(&task.name)?.map(|deployment| deployment.live);
    let result = json!({ "live": live, "canary": beside.canary, "shadow": beside.shadow, "answers_nothing_small": silent });
    app.out().show(&result, |out| {
        out.line(format!("{} watches {} and answers nothing", release.id, task.name));
        out.line(format!("next: sprat status {} shows how it would do", task.name));
    });
    if let Some(why) = silent {
        app.out().notice(format!("{why}; its own answers are compared all the same"));
    }
    Ok(())
}

fn end(app: &App, registry: Registry<'_>, task: &Task, reason: &str) -> Result<(), Failure> {
    let ended = registry.end_shadow(&task.name, reason, app.now_unix_ms())?;
    app.out().show(&json!({ "ended": ended }), |out| {
        out.line(match &ended {
            Some(release) => format!("{release} watches no more"),
            None => format!("no release of {} watches", task.name),
        });
    });
    Ok(())
}
