//! `sprat rollback`: the release before is live again.

use serde_json::json;

use crate::app::App;
use crate::failure::Failure;

/// Make the release live again that was live before the present one
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sprat rollback tickets --reason \"complaints about refunds\"

Two rollbacks go back two promotions, never forth to what was just taken off.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "sprat rollback")]
    reason: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?;
    let store = workspace.store()?;
    let before = store.registry().live(&task.name)?.map(|deployment| deployment.live);
    let deployment = store.registry().rollback(&task.name, &args.reason, app.now_unix_ms())?;
    app.out().show(&json!({ "deployment": deployment, "taken_off": before }), |out| {
        let taken_off = before.as_ref().map(|id| format!("; {id} is not any more")).unwrap_or_default();
        out.line(format!("{} is live again{taken_off}", deployment.live));
    });
    Ok(())
}
