//! `sprat promote`: makes a release live.

use serde_json::json;
use sprat_task::{Problem, Release, ReleaseId, Status, Task};

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;

/// Make a release live
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat promote tickets
  sprat promote tickets 2 --reason \"3 mixes up refunds\"

A running `sprat serve` takes it up within two seconds. A canary or shadow that is promoted is one
no longer. A release that isn't certified, or no longer is, can be live too: then everything goes
to the end of the ladder.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// The release's number; the newest unless given
    version: Option<u32>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "sprat promote")]
    reason: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?;
    let store = workspace.store()?;
    let registry = store.registry();
    let release = match args.version {
        Some(version) => registry.release(&ReleaseId { task: task.name.clone(), version })?,
        None => registry.releases(&task.name)?.into_iter().next().ok_or_else(|| {
            Problem::new(format!("task `{}` has no release to promote", task.name))
                .hint(format!("`sprat learn {} ROWS` makes one", task.name))
        })?,
    };
    let deployment = registry.promote(&release.id, &args.reason, app.now_unix_ms())?;
    let models = Models::open(&workspace)?;
    let version = Some(release.id.version);
    let loaded = app.block_on(live(app, &workspace, &models, &store, task, version, Reaching::SmallOnly))?;
    let silent = match loaded {
        Ok(loaded) => why_silent(task, &release, &loaded.stale),
        Err(failure) => Some(format!("{} can't be loaded: {failure}", release.id)),
    };
    let result = json!({ "deployment": deployment, "certificate": release.certificate, "answers_nothing_small": silent });
    app.out().show(&result, |out| {
        out.line(match &deployment.previous {
            Some(previous) => format!("{} is live; before it {previous} was", deployment.live),
            None => format!("{} is live", deployment.live),
        });
        out.sentence(format!("{}: {}", release.certificate.status, release.certificate.sentence()));
    });
    if let Some(why) = silent {
        app.out().warning(why);
    }
    Ok(())
}

/// Why a release answers nothing itself, where it doesn't.
pub fn why_silent(task: &Task, release: &Release, stale: &[String]) -> Option<String> {
    let id = &release.id;
    if !stale.is_empty() {
        return Some(format!("{id} answers nothing small: {}; certify it again", stale.join("; ")));
    }
    (release.certificate.status != Status::Certified).then(|| {
        let next = sprat_learn::advice::next_step(task, &release.certificate);
        format!("{id} is not certified and answers nothing small; next: {next}")
    })
}
