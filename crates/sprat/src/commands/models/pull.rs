//! `sprat models pull`: files from the hub, once, checked.

use std::sync::OnceLock;

use serde_json::json;
use sprat_models::hub::source::is_file;
use sprat_models::hub::{Fetched, Hub, Repository, Snapshot};
use sprat_task::{ModelId, Problem};

use super::{Meant, Pulled, failed, find, hub, repository};
use crate::app::App;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Progress, words};
use crate::workspace::shown;

/// What to fetch.
#[derive(clap::Args)]
pub struct Args {
    /// A model of sprat.toml, or hf:OWNER/NAME[@REVISION]; without it every model of sprat.toml
    #[arg(value_name = "MODEL|SOURCE")]
    model: Option<String>,
    /// Which of its GGUF files, by its name
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with = "quantization")]
    file: Option<String>,
    /// Which of its GGUF files, by the quantization that its name says: q4_k_m, q8_0, ...
    #[arg(long, value_name = "NAME", requires = "model", alias = "quantisation")]
    quantization: Option<String>,
    /// Ask nobody: only see whether it is on this machine
    #[arg(long)]
    offline: bool,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let wanted = match &args.model {
        Some(written) => {
            let file = args.file.as_ref().or(args.quantization.as_ref());
            vec![with_file(one(&workspace.config, written)?, file)?]
        }
        None => all(&workspace.config)?,
    };
    let hub = hub(args.offline)?;
    let mut pulled = Vec::with_capacity(wanted.len());
    for repository in &wanted {
        pulled.push(pull(app, &hub, repository)?);
    }
    let models: Vec<Pulled> = pulled.iter().map(Pulled::from).collect();
    app.out().show(&json!({ "models": models }), |out| {
        for (repository, snapshot) in wanted.iter().zip(&pulled) {
            out.line(format!(
                "hf:{repository}: commit {}, {}, {}",
                &snapshot.commit[..12],
                words::counted(snapshot.files.len() as u64, "file"),
                words::bytes(snapshot.size())
            ));
            out.line(format!("  in {}", shown(&snapshot.folder)));
        }
    });
    Ok(())
}

/// The repository of one model.
fn one(config: &Config, written: &str) -> Result<Repository, Problem> {
    let nothing = |what: String| Problem::new(what).allowed("a model with source = \"hf:OWNER/NAME\"");
    match find(config, written)? {
        Meant::Declared(id, model) => repository(model).cloned().ok_or_else(|| {
            nothing(format!("model `{id}` (kind \"{}\") has no files at the hub", model.kind()))
        }),
        Meant::Source(sprat_models::hub::ModelSource::Hub(repository)) => Ok(repository),
        Meant::Source(path) => Err(nothing(format!("`{path}` is a folder: there is nothing to fetch"))),
    }
}

/// The repository, with the file that was asked for by a flag.
fn with_file(repository: Repository, file: Option<&String>) -> Result<Repository, Problem> {
    let Some(file) = file else { return Ok(repository) };
    match &repository.file {
        _ if !is_file(file) => Err(Problem::new(format!("`{file}` can't be a file of a repository"))
            .allowed("a file's name, or a quantization such as q4_k_m")),
        Some(named) if named != file => Err(Problem::new(format!(
            "`{file}` is asked for, and hf:{repository} says which file is meant already"
        ))
        .hint("leave the flag out, or change the source")),
        _ => Ok(Repository { file: Some(file.clone()), ..repository }),
    }
}

/// Every declared model's repository, once each.
fn all(config: &Config) -> Result<Vec<Repository>, Problem> {
    let mut wanted: Vec<Repository> = Vec::new();
    for repository in config.models.values().filter_map(repository) {
        if !wanted.contains(repository) {
            wanted.push(repository.clone());
        }
    }
    if wanted.is_empty() {
        let names = config.models.keys().map(ModelId::as_str).collect::<Vec<_>>().join(", ");
        return Err(Problem::new(format!("no declared model comes from the hub (there are: {names})"))
            .hint("name one: sprat models pull hf:sentence-transformers/all-MiniLM-L6-v2"));
    }
    Ok(wanted)
}

/// Fetches one, with a bar; Ctrl-C stops it where it can go on.
fn pull(app: &App, hub: &Hub, repository: &Repository) -> Result<Snapshot, Failure> {
    let bar: OnceLock<Progress> = OnceLock::new();
    let told = |fetched: Fetched| {
        let what = format!("hf:{repository}");
        bar.get_or_init(|| app.out().download(&what, fetched.total)).set(fetched.done);
    };
    let pulled = app.block_on(async {
        tokio::select! {
            pulled = hub.pull(repository, &told) => Some(pulled),
            () = app.cancel().cancelled() => None,
        }
    })?;
    drop(bar);
    pulled.ok_or(Failure::Stopped)?.map_err(failed)
}
