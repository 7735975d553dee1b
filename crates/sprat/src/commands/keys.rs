//! `sprat keys`: who may ask the gateway, how often, and for how much.

mod made;
mod told;

use clap::{Subcommand, ValueEnum};
use sprat_store::{Key, Store};
use sprat_task::key::write_key;
use sprat_task::names::is_plain_name;
use sprat_task::problem::list;
use sprat_task::{Allowance, Budget, KeyId, ModelId, Money, Period, Problem, TaskName};

use crate::app::App;
use crate::config::ModelConfig;
use crate::failure::Failure;
use crate::key_secret;
use crate::workspace::Workspace;

/// Make keys for the gateway, with limits and budgets, and see what each has spent
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat keys create web --budget 20 --per day
  sprat keys list
  sprat keys revoke web

Once a workspace has a key, `sprat serve` answers only requests that show one, and may listen on an
address that other machines reach. A new, changed or revoked key counts within two seconds.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key; it is shown this once and kept nowhere
    #[command(after_help = "\
Examples:
  sprat keys create web
  sprat keys create batch --budget 200 --per month --concurrency 8
  sprat keys create intern --tasks tickets --requests-per-minute 60 --expires 30
  export OPENAI_API_KEY=$(sprat keys create ci --budget 1 --per day --json | jq -r .key)

Before a request goes to a large model, the most that it can cost is reserved of the budget, and
given back but for what it did cost. An answer of a small model costs what it costs, ordinarily
nothing, and is given also where the budget is spent. Days and months begin at 00:00 UTC. With
--tasks or --models everything not named is refused; a key for a task alone can't be used to ask
the large model anything else. A name is never given twice, so that the ledger says for ever whose
a request was.")]
    Create(Create),
    /// Every key with what it may and has spent
    #[command(after_help = "\
Example:
  sprat keys list

`held`: reserved for requests whose cost nobody reported; it counts as spent.")]
    List,
    /// One key: its limits, and what it has spent
    #[command(after_help = "\
Example:
  sprat keys show web")]
    Show(Named),
    /// Put a new key in the place of one that may have been seen: the same limits, the same spending
    #[command(after_help = "\
Example:
  sprat keys rotate web

The old key is refused within two seconds.")]
    Rotate(Named),
    /// Refuse a key from now on
    #[command(after_help = "\
Example:
  sprat keys revoke web

It is refused within two seconds; what is under way ends. What it has spent stays in the ledger.")]
    Revoke(Named),
}

/// A new key.
#[derive(clap::Args)]
struct Create {
    /// What to call it: in the ledger, in metrics, in `sprat cost --by-key`
    name: String,
    /// The most it may spend, in dollars
    #[arg(long, value_name = "DOLLARS")]
    budget: Option<f64>,
    /// In what time the budget may be spent
    #[arg(long, value_enum, default_value = "month", requires = "budget")]
    per: Per,
    /// How many requests it may send a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_minute: Option<u32>,
    /// How many tokens of large models a minute, in and out together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens_per_minute: Option<u32>,
    /// How many requests it may have under way at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Only these tasks
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Only these models of sprat.toml
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    models: Vec<String>,
    /// After how many days it is no longer taken
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    expires: Option<u32>,
}

/// A key that is there.
#[derive(clap::Args)]
struct Named {
    /// The key's name
    name: String,
}

/// The words of `--per`.
#[derive(Clone, Copy, ValueEnum)]
enum Per {
    Day,
    Month,
    Total,
}

impl From<Per> for Period {
    fn from(per: Per) -> Self {
        match per {
            Per::Day => Self::Day,
            Per::Month => Self::Month,
            Per::Total => Self::Total,
        }
    }
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    match args.what {
        What::Create(create) => made::create(app, &workspace, create),
        What::Rotate(named) => made::rotate(app, &workspace, &named.name.into()),
        What::List => told::list(app, &workspace),
        What::Show(named) => told::show(app, &workspace, &named.name.into()),
        What::Revoke(named) => revoke(app, &workspace, &named.name.into()),
    }
}

fn revoke(app: &App, workspace: &Workspace, id: &KeyId) -> Result<(), Failure> {
    let store = workspace.store()?;
    let before = find(&store, id)?;
    let key = store.keys().revoke(id, app.now_unix_ms())?;
    app.out().show(&key, |out| match before.revoked_unix_ms {
        Some(_) => out.line(format!("key `{id}` was revoked already")),
        None => out.line(format!("key `{id}` ({}…) is revoked: it is refused within two seconds", key.shown)),
    });
    Ok(())
}

/// The key of a name; else the nearest name there is.
fn find(store: &Store, id: &KeyId) -> Result<Key, Failure> {
    let keys = store.keys().all()?;
    if let Some(key) = keys.iter().find(|key| key.id == *id) {
        return Ok(key.clone());
    }
    let names = || keys.iter().map(|key| key.id.as_str());
    let problem = Problem::new(format!("there is no key `{id}`"));
    Err(if keys.is_empty() {
        problem.hint(format!("`sprat keys create {id}` makes it"))
    } else {
        problem.allowed(list(names())).did_you_mean(id.as_str(), names())
    }
    .into())
}
