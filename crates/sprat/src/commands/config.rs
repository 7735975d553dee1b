//! `sprat config`: what is in force and where it comes from; what is wrong.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use sprat_task::Source;

use crate::app::App;
use crate::config::settings::{self, Setting};
use crate::failure::Failure;
use crate::output::{Output, Table, words};
use crate::workspace::{Workspace, shown};

/// Show what is configured, or check it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat config show
  sprat config check")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every value in force and where it comes from: a line of a file, or a default
    #[command(after_help = "\
Example:
  sprat config show

Keys are never shown: only the variable or file they come from, and whether there is one.")]
    Show,
    /// Everything that is wrong in sprat.toml and in tasks/*.toml
    #[command(after_help = "\
Example:
  sprat config check && sprat learn tickets rows.csv

Exit code 1 where anything is wrong.")]
    Check,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    match args.what {
        What::Show => show(app),
        What::Check => check(app),
    }
}

/// The values of one file.
#[derive(Serialize)]
struct FileSettings {
    file: String,
    settings: Vec<Setting>,
}

fn show(app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let of = |source: &Source, settings| FileSettings { file: source.file().to_owned(), settings };
    let config = settings::of_config(&workspace.config, &workspace.source, &workspace.root);
    let mut files = vec![of(&workspace.source, config)];
    for (task, source) in workspace.tasks.values() {
        files.push(of(source, settings::of_task(task, source)));
    }
    let result = json!({ "workspace": shown(&workspace.root), "files": files });
    app.out().show(&result, |out| {
        for file in &files {
            out.heading(&file.file);
            let mut table = Table::new(["key", "value", "from"]);
            for setting in &file.settings {
                table.row([setting.key.clone(), value(setting), setting.origin()]);
            }
            out.table(&table);
        }
    });
    Ok(())
}

/// The value as a cell, shortened where it would fill the screen; `--json` has all of it.
fn value(setting: &Setting) -> String {
    const LONGEST: usize = 60;
    let text = match (&setting.value, &setting.note) {
        (Value::Null, Some(note)) => return format!("({note})"),
        (value, _) => as_toml(value),
    };
    let mut shortened: String = text.chars().take(LONGEST).collect();
    if shortened.len() < text.len() {
        shortened.push('…');
        if let Value::Array(items) = &setting.value {
            shortened = format!("{shortened} ({} in all)", items.len());
        }
    }
    match &setting.note {
        Some(note) => format!("{shortened} ({note})"),
        None => shortened,
    }
}

fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(as_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(table) if table.is_empty() => "{}".to_owned(),
        Value::Object(table) => {
            let pairs = table.iter().filter(|(_, value)| !value.is_null());
            let pairs = pairs.map(|(key, value)| format!("{key} = {}", as_toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn check(app: &App) -> Result<(), Failure> {
    match Workspace::read(&app.folder()?) {
        Ok(workspace) => {
            let tasks = workspace.tasks.len() as u64;
            app.out().show(&json!({ "ok": true, "tasks": tasks, "problems": [] }), |out| {
                out.line(format!("ok: {} and {}", workspace.source.file(), words::counted(tasks, "task")));
                if tasks == 0 {
                    out.notice("there are no tasks yet: declare one in tasks/NAME.toml");
                }
            });
            Ok(())
        }
        Err(problems) => {
            app.out().show(&json!({ "ok": false, "problems": Output::shown(&problems) }), |out| {
                for problem in &problems {
                    out.problem(problem);
                }
                out.aside(&format!("{}\n", words::counted(problems.len() as u64, "problem")));
            });
            Err(Failure::Told)
        }
    }
}
