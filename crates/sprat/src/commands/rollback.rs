//! `sprat rollback`: the canary ends, else the release before is live again.

use serde_json::json;

use crate::app::App;
use crate::commands::canary::ended_line;
use crate::failure::Failure;

/// End the canary, else make the release live again that was live before the present one
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sprat rollback tickets --reason \"complaints about refunds\"

With a canary, the canary ends and what is live stays. Else two rollbacks go back two promotions,
never forth to what was just taken off. A running `sprat serve` takes it up within two seconds.")]
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
    let registry = store.registry();
    let before = registry.live(&task.name)?;
    if let Some(canary) = registry.end_canary(&task.name, &args.reason, app.now_unix_ms())? {
        let result = json!({ "deployment": before, "taken_off": canary.release, "was_canary": true });
        app.out().show(&result, |out| {
            out.line(ended_line(&canary, before.as_ref().map(|deployment| &deployment.live)));
        });
        return Ok(());
    }
    let before = before.map(|deployment| deployment.live);
    let deployment = registry.rollback(&task.name, &args.reason, app.now_unix_ms())?;
    app.out().show(&json!({ "deployment": deployment, "taken_off": before, "was_canary": false }), |out| {
        let taken_off = before.as_ref().map(|id| format!("; {id} is not any more")).unwrap_or_default();
        out.line(format!("{} is live again{taken_off}", deployment.live));
    });
    Ok(())
}
