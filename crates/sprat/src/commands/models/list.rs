//! `sprat models list`: what is declared, and what is on this machine.

use serde::Serialize;
use serde_json::json;
use sprat_models::hub::{Cache, ModelSource};

use super::{Pulled, hub};
use crate::app::App;
use crate::config::{Decoder, Encoder, ModelConfig};
use crate::failure::Failure;
use crate::output::{Table, words};
use crate::workspace::{Workspace, shown};

/// A declared model.
#[derive(Serialize)]
struct Declared {
    name: String,
    kind: &'static str,
    /// Its source, or the provider and the model's name there; `null` for what is built in.
    from: Option<String>,
    /// Whether its files are here; `null` for models without files.
    here: Option<bool>,
    /// Tasks whose ladders have it.
    tasks: Vec<String>,
}

pub fn run(app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let hub = hub(true)?;
    let declared: Vec<Declared> = declared(&workspace, hub.cache());
    let pulled: Vec<Pulled> = hub.cache().list().iter().map(Pulled::from).collect();
    let folder = hub.cache().folder().display().to_string();
    app.out().show(&json!({ "declared": declared, "pulled": pulled, "folder": folder }), |out| {
        let mut table = Table::new(["model", "kind", "from", "files", "tasks"]);
        for model in &declared {
            let files = match model.here {
                Some(true) => "here",
                Some(false) => "missing",
                None => "-",
            };
            table.row([
                model.name.clone(),
                model.kind.to_owned(),
                model.from.clone().unwrap_or_else(|| "built in".to_owned()),
                files.to_owned(),
                model.tasks.join(", "),
            ]);
        }
        out.table(&table);
        out.heading(format!("Pulled to {}", shown(hub.cache().folder())));
        if pulled.is_empty() {
            out.line("nothing yet");
            return;
        }
        let mut table = Table::new(["source", "revision", "commit", ">size", "state"]);
        for model in &pulled {
            table.row([
                model.source.clone(),
                model.revisions.join(", "),
                model.commit[..12].to_owned(),
                words::bytes(model.size_bytes),
                if model.damaged.is_empty() { "whole" } else { "damaged: pull it again" }.to_owned(),
            ]);
        }
        out.table(&table);
    });
    Ok(())
}

fn declared(workspace: &Workspace, cache: &Cache) -> Vec<Declared> {
    let of = |(id, model): (&sprat_task::ModelId, &ModelConfig)| {
        let (from, here) = match model {
            ModelConfig::Linear(_) | ModelConfig::Tagger(_) => (None, None),
            ModelConfig::Remote(remote) => {
                let settings = &remote.settings;
                (Some(format!("{} {}", settings.provider.word(), settings.model).trim().to_owned()), None)
            }
            ModelConfig::Encoder(Encoder { source, .. }) | ModelConfig::Decoder(Decoder { source, .. }) => {
                let here = match source {
                    ModelSource::Hub(repository) => cache.find(repository).is_some(),
                    ModelSource::Path(path) => workspace.root.join(path).exists(),
                };
                (Some(source.to_string()), Some(here))
            }
        };
        let uses = |task: &&sprat_task::Task| task.rungs.contains(id) || task.large() == Some(id);
        let tasks = workspace.tasks.values().map(|(task, _)| task).filter(uses);
        Declared {
            name: id.to_string(),
            kind: model.kind(),
            from,
            here,
            tasks: tasks.map(|task| task.name.to_string()).collect(),
        }
    };
    workspace.config.models.iter().map(of).collect()
}
