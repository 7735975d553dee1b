//! `sprat init`: a commented sprat.toml and a first task.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use sprat_task::Problem;

use crate::app::App;
use crate::config;
use crate::failure::Failure;
use crate::workspace::shown;

/// Make a commented sprat.toml and a first task
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat init              in this folder
  sprat init helpdesk     in a new folder

Nothing is overwritten: where one of the files exists, nothing is written at all.")]
pub struct Args {
    /// The folder; made if it isn't there
    dir: Option<PathBuf>,
}

/// What is written, with its text.
const FILES: [(&str, &str); 2] = [
    (config::FILE, include_str!("init/sprat.toml")),
    ("tasks/tickets.toml", include_str!("init/tickets.toml")),
];

const IGNORED: &str = ".sprat/";

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let folder = match (args.dir, app.asked_folder()) {
        (Some(dir), _) => dir,
        (None, Some(asked)) => asked.to_owned(),
        (None, None) => PathBuf::from("."),
    };
    for (file, _) in FILES {
        let path = folder.join(file);
        if path.exists() {
            return Err(Problem::in_file(shown_plainly(&path), "this file exists already")
                .hint("`sprat init DIR` makes a workspace in another folder")
                .into());
        }
    }
    let mut created = Vec::new();
    for (file, text) in FILES {
        let path = folder.join(file);
        write_new(&path, text)?;
        created.push(shown_plainly(&path));
    }
    if ignore(&folder.join(".gitignore"))? {
        created.push(shown_plainly(&folder.join(".gitignore")));
    }
    let next = "name your labels in tasks/tickets.toml; `sprat config check` says whether it is right; \
                then `sprat learn tickets ROWS.csv` learns from rows with the columns text and label";
    app.out().show(&json!({ "created": created, "next": next }), |out| {
        for file in &created {
            out.line(format!("wrote {file}"));
        }
        out.sentence(format!("next: {next}"));
    });
    Ok(())
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let cant =
        |error: std::io::Error| Failure::ours(format!("{} can't be written: {error}", shown_plainly(path)));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(cant)?;
    }
    // `create_new`: a file that appeared since we looked is not overwritten either.
    let mut file = std::fs::File::create_new(path).map_err(cant)?;
    file.write_all(text.as_bytes()).map_err(cant)
}

/// Keeps the store out of git: adds a line to `.gitignore` unless it is there. Says whether it wrote.
fn ignore(path: &Path) -> Result<bool, Failure> {
    let cant =
        |error: std::io::Error| Failure::ours(format!("{} can't be written: {error}", shown_plainly(path)));
    let before = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cant(error)),
    };
    if before.lines().any(|line| line.trim().trim_start_matches('/').trim_end_matches('/') == ".sprat") {
        return Ok(false);
    }
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(cant)?;
    file.write_all(format!("{gap}{IGNORED}\n").as_bytes()).map_err(cant)?;
    Ok(true)
}

fn shown_plainly(path: &Path) -> String {
    shown(path.strip_prefix(".").unwrap_or(path))
}
