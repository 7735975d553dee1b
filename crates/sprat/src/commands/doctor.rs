//! `sprat doctor`: is everything there that is needed? Nothing is sent anywhere and nothing is changed.

mod machine;

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use sprat_learn::release;
use sprat_models::remote::{PriceTable, Provider, ReplayModel, Secret};
use sprat_store::{Deployment, Store};
use sprat_task::{ModelId, Quality, Task};

use crate::app::App;
#[cfg(feature = "encoder")]
use crate::config::Encoder;
use crate::config::{ModelConfig, Remote};
use crate::failure::Failure;
use crate::judge::find_program;
use crate::output::{Mark, words};
use crate::workspace::{Workspace, shown};

/// Check the workspace, the store, the machine and the keys
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat doctor
  sprat doctor --json

Nothing is sent anywhere and nothing is changed. Exit code 1 where a check fails.")]
pub struct Args {}

/// One thing looked at.
#[derive(Serialize)]
pub struct Check {
    what: &'static str,
    mark: Mark,
    found: String,
    /// What to do about it.
    next: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, mark: Mark::Ok, found: found.into(), next: None }
    }

    /// It works, but somebody should know.
    pub fn warn(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what, mark: Mark::Warn, found: found.into(), next: Some(next.into()) }
    }

    /// It doesn't work.
    pub fn fail(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what, mark: Mark::Fail, found: found.into(), next: Some(next.into()) }
    }
}

pub fn run(_: Args, app: &App) -> Result<(), Failure> {
    let folder = app.folder()?;
    let mut checks = vec![Check::ok("version", format!("sprat {}", env!("CARGO_PKG_VERSION")))];
    checks.extend(machine::checks(&folder));
    match Workspace::read(&folder) {
        Ok(workspace) => {
            let tasks = words::counted(workspace.tasks.len() as u64, "task");
            checks.push(Check::ok(
                "workspace",
                format!("{}, {tasks}", shown(&folder.join(crate::config::FILE))),
            ));
            checks.push(store(app, &workspace));
            checks.extend(releases(&workspace));
            checks.extend(workspace.tasks.values().filter_map(|(task, _)| tests(&workspace, task)));
            let prices = prices(&workspace, &mut checks);
            for (id, model) in &workspace.config.models {
                checks.push(usable(&workspace, id, model, &prices));
            }
        }
        Err(problems) => {
            let found = match problems.as_slice() {
                [only] => only.message.clone(),
                several => words::counted(several.len() as u64, "problem"),
            };
            let next = match problems.as_slice() {
                [only] if only.place.is_none() => only.hint.clone().unwrap_or_default(),
                _ => "`sprat config check` shows what and where".to_owned(),
            };
            checks.push(Check::fail("workspace", found, next));
        }
    }
    let worst = checks.iter().map(|check| check.mark).max().unwrap_or(Mark::Ok);
    app.out().show(&json!({ "ok": worst < Mark::Fail, "checks": checks }), |out| {
        for check in &checks {
            out.check(check.mark, format!("{}: {}", check.what, check.found), check.next.as_deref());
        }
    });
    if worst == Mark::Fail { Err(Failure::Told) } else { Ok(()) }
}

fn store(app: &App, workspace: &Workspace) -> Check {
    let url = workspace.store_url();
    if let Some(path) = url.strip_prefix("sqlite:")
        && !Path::new(path).exists()
    {
        return Check::ok(
            "store",
            format!("{} will be made when something is to be remembered", shown(Path::new(path))),
        );
    }
    let opened = Store::open(&url).and_then(|store| {
        let bar = app.out().progress("checking the store", None);
        let faults = store.check();
        drop(bar);
        Ok((faults?, store.ledger().waiting()?, store))
    });
    match opened {
        Err(error) => Check::fail("store", error.to_string(), error.hint().unwrap_or_default()),
        Ok((faults, _, store)) if !faults.is_empty() => Check::fail(
            "store",
            format!("{} is damaged: {}", shown(store.path()), faults.join("; ")),
            "put a backup in its place, or move it away to begin anew; nothing was deleted",
        ),
        Ok((_, waiting, store)) if waiting > 0 => Check::warn(
            "store",
            format!("{} wait to be taken into {}", words::counted(waiting, "record"), shown(store.path())),
            "they are taken over when the disk has space and no other process is writing",
        ),
        Ok((_, _, store)) => Check::ok("store", format!("{} is whole", shown(store.path()))),
    }
}

/// Whether the command is there that tests a task's texts.
fn tests(workspace: &Workspace, task: &Task) -> Option<Check> {
    let Some(Quality::Tested { tests }) = &task.quality else { return None };
    let command = tests.command.join(" ");
    Some(match find_program(tests.command.first()?, &workspace.tasks_folder()) {
        Ok(_) => Check::ok("tests", format!("`{command}` tests the texts of {}", task.name)),
        Err(why) => Check::fail(
            "tests",
            format!("the texts of {} can't be tested: {why}", task.name),
            format!("install it, or name another in tasks/{}.toml, under [quality] command", task.name),
        ),
    })
}

/// Whether the files of what is live are there and unchanged.
fn releases(workspace: &Workspace) -> Vec<Check> {
    let url = workspace.store_url();
    if url.strip_prefix("sqlite:").is_some_and(|path| !Path::new(path).exists()) {
        return Vec::new();
    }
    // A store that can't be opened or read has been told of already.
    let Ok(store) = Store::open(&url) else { return Vec::new() };
    let Ok(deployments) = store.registry().deployments() else { return Vec::new() };
    let look = |deployment: Deployment| {
        let id = deployment.live;
        let folder = release::folder(&workspace.releases(), &id);
        let whole = store.registry().release(&id).is_ok_and(|release| release::is_whole(&folder, &release));
        if whole {
            return Check::ok("release", format!("{id} is live and whole"));
        }
        Check::fail(
            "release",
            format!("{id} is live, and files of it in {} are missing or have changed", shown(&folder)),
            format!("`sprat learn {} ROWS`, with the rows it was made from, mends it", id.task),
        )
    };
    deployments.into_iter().map(look).collect()
}

fn prices(workspace: &Workspace, checks: &mut Vec<Check>) -> PriceTable {
    match workspace.prices() {
        Ok(prices) => {
            checks.push(Check::ok("prices", format!("as of {}", prices.as_of())));
            prices
        }
        Err(problem) => {
            let next = problem.hint.clone().unwrap_or_else(|| "mend it, or remove [prices] file".to_owned());
            checks.push(Check::fail("prices", problem.message, next));
            PriceTable::empty()
        }
    }
}

/// Whether a model can be used by this build, here and now.
fn usable(workspace: &Workspace, id: &ModelId, model: &ModelConfig, prices: &PriceTable) -> Check {
    let used_by = used_by(workspace, id);
    match model {
        ModelConfig::Remote(remote) => remote_usable(workspace, id, remote, prices, !used_by.is_empty()),
        ModelConfig::Linear(_) => Check::ok("model", format!("{id}: linear, trained here")),
        ModelConfig::Tagger(_) => Check::ok("model", format!("{id}: tagger, trained here")),
        #[cfg(feature = "encoder")]
        ModelConfig::Encoder(encoder) => encoder_usable(workspace, id, encoder, &used_by),
        _ => {
            let kind = model.kind();
            let found = format!("{id}: models of kind \"{kind}\" are not in this build");
            let next = match used_by.as_slice() {
                [] => "no task uses it; nothing is lost".to_owned(),
                tasks => format!("`learn` leaves this rung out of {}", tasks.join(", ")),
            };
            Check::warn("model", found, next)
        }
    }
}

/// Whether an encoder's base model can be read.
#[cfg(feature = "encoder")]
fn encoder_usable(workspace: &Workspace, id: &ModelId, encoder: &Encoder, used_by: &[&str]) -> Check {
    let name = format!("{id}: encoder, {}", encoder.source);
    match crate::models::place(&workspace.root, &encoder.source).open() {
        Ok((base, _)) => {
            let shape = &base.config;
            Check::ok("model", format!("{name}, {} layers of {}", shape.layers, shape.hidden))
        }
        Err(why) => {
            let next = match used_by {
                [] => "no task uses it; nothing is lost".to_owned(),
                tasks => format!("put its files there; until then `learn` can't teach {}", tasks.join(", ")),
            };
            Check::warn("model", format!("{name}: {why}"), next)
        }
    }
}

fn remote_usable(
    workspace: &Workspace,
    id: &ModelId,
    remote: &Remote,
    prices: &PriceTable,
    used: bool,
) -> Check {
    let settings = remote.resolved(&workspace.root);
    let name = format!("{id}: {} {}", settings.provider.word(), settings.model);
    let missing = |found: String, next: &str| match used {
        true => Check::fail("model", found, next),
        false => Check::warn("model", found, format!("{next} (no task uses it)")),
    };
    if let Provider::Replay { path } = &settings.provider {
        return match ReplayModel::open(id.clone(), path, settings.model.clone(), settings.price, false) {
            Ok(replay) => {
                let answers = words::counted(replay.len() as u64, "answer");
                Check::ok("model", format!("{name}, {answers}, {}", replay.provenance()))
            }
            Err(problem) => {
                let line = problem.place.as_ref().filter(|place| place.line > 0);
                let at = line.map(|place| format!(" (line {})", place.line)).unwrap_or_default();
                missing(format!("{name}: {}{at}", problem.message), &format!("look at {}", shown(path)))
            }
        };
    }
    if let Some(key) = &remote.api_key {
        let secret =
            key.read(&workspace.root).and_then(|key| Secret::new(key).map_err(|problem| problem.message));
        if let Err(why) = secret {
            return missing(format!("{name}: {why}"), "set it where Sprat is started");
        }
    }
    let key = if remote.api_key.is_some() { "key present" } else { "no key is sent" };
    match prices.price_of(&settings) {
        None if settings.hardware_cost_per_hour.is_none() => Check::warn(
            "model",
            format!("{name}, {key}; its price is unknown"),
            "costs and savings will be unknown; give it a `price` in sprat.toml",
        ),
        _ => Check::ok("model", format!("{name}, {key}, price known")),
    }
}

/// The tasks whose ladder has this model.
fn used_by<'a>(workspace: &'a Workspace, id: &ModelId) -> Vec<&'a str> {
    let uses = |task: &&Task| task.rungs.contains(id) || task.large() == Some(id);
    workspace.tasks.values().map(|(task, _)| task).filter(uses).map(|task| task.name.as_str()).collect()
}
