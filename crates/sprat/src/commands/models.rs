//! `sprat models`: the files of local models, and what every declared model is.

mod gguf;
mod gpus;
mod inspect;
mod list;
mod pull;
mod quantize;
mod remove;
mod size;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use sprat_models::hub::{Hub, HubConfig, HubError, ModelSource, Repository};
use sprat_task::problem::list;
use sprat_task::{ModelId, Problem};

use crate::app::App;
use crate::config::{Config, Decoder, Encoder, ModelConfig};
use crate::decoders;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Fetch models, and look at them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat models pull                  every model that sprat.toml takes from the hub
  sprat models list
  sprat models inspect encoder
  sprat models size                  which language model fits this machine?

Files are kept in SPRAT_MODELS, else in sprat/models of your cache folder, and shared by all
workspaces. The hub's own variables count: HF_TOKEN for private and gated models, HF_ENDPOINT for a
mirror, HF_HUB_OFFLINE=1 to fetch nothing.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fetch a model from the hub: resumable, and checked against the hub's checksums
    #[command(after_help = "\
Examples:
  sprat models pull
  sprat models pull encoder
  sprat models pull hf:sentence-transformers/all-MiniLM-L6-v2
  sprat models pull hf:intfloat/e5-small-v2@main --json
  sprat models pull hf:bartowski/Llama-3.2-1B-Instruct-GGUF --quantization q4_k_m

Only what is read is fetched: config.json, the tokenizer, and weights as safetensors; or one GGUF
file, named by --file, --quantization, or behind a # in the source. Interrupted, the same command
goes on where it stopped. Once pulled, a model stays as it is, also where its
branch moves at the hub, until it is pulled again; a whole commit after @ never moves.")]
    Pull(pull::Args),
    /// Every declared model, and every model on this machine
    #[command(after_help = "\
Example:
  sprat models list")]
    List,
    /// What a model is: architecture, size, pooling, tokenizer, hash; or provider and price
    #[command(after_help = "\
Examples:
  sprat models inspect encoder
  sprat models inspect hf:sentence-transformers/all-MiniLM-L6-v2
  sprat models inspect path:models/mine --json
  sprat models inspect path:models/small.gguf

Files are read as they lie on this machine; nothing is fetched.")]
    Inspect(Named),
    /// Make a smaller file of a language model, and see whether it still answers the same
    #[command(after_help = "\
Examples:
  sprat models quantize path:models/small-f16.gguf models/small.gguf --to q4_k_m
  sprat models quantize small models/small-q4.gguf --to q4_0 --rows rows.csv --task tickets

With rows, half of them (256 at most) are read to learn which numbers matter for the task, and
those keep the most bits. The others (1,000 at most) are answered by both files with the task's own
prompt: rows whose answer differs are flips. More of them than --most-flips, and the exit code is
1; the file is kept. The work is done by llama.cpp in a process of its own.")]
    Quantize(quantize::Args),
    /// Which model, at which quantization, fits this machine or a GPU, and how quickly it writes
    #[command(after_help = "\
Examples:
  sprat models size                                    public models, by their published shapes
  sprat models size path:models/small-f16.gguf --context 8192
  sprat models size small --check                      measured beside predicted
  sprat models size --gpu l4

Memory is reckoned: weights, the context's keys and values, and what is computed on the way.
Speed is predicted: each token that is written means reading the whole model once, so it is the
memory's speed (measured here in about half a second, or a GPU's published one) over the bytes
that are read. That is the most there can be; --check runs the file. GPUs are told of to plan
with: this build computes on the processor.")]
    Size(size::Args),
    /// Remove a model's files from this machine
    #[command(after_help = "\
Example:
  sprat models remove hf:intfloat/e5-small-v2

Only what was pulled is removed; what a `path:` leads to is yours. It can be pulled again.")]
    Remove(Named),
}

/// A model.
#[derive(clap::Args)]
struct Named {
    /// A model of sprat.toml; or hf:OWNER/NAME, hf:OWNER/NAME@REVISION, path:DIR
    #[arg(value_name = "MODEL|SOURCE")]
    model: String,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    match args.what {
        What::Pull(args) => pull::run(args, app),
        What::List => list::run(app),
        What::Inspect(named) => inspect::run(&named.model, app),
        What::Quantize(args) => quantize::run(args, app),
        What::Size(args) => size::run(args, app),
        What::Remove(named) => remove::run(&named.model, app),
    }
}

/// The hub as the environment has it.
fn hub(offline: bool) -> Result<Hub, Failure> {
    let mut config = HubConfig::from_env(|name| std::env::var(name).ok())?;
    config.offline |= offline;
    Ok(Hub::new(config))
}

/// What a person may mean by the name of a model.
enum Meant<'a> {
    /// One of `sprat.toml`.
    Declared(&'a ModelId, &'a ModelConfig),
    /// A place, wherever it is declared.
    Source(ModelSource),
}

/// Finds a model by its name in `sprat.toml`, else reads a source.
fn find<'a>(config: &'a Config, written: &str) -> Result<Meant<'a>, Problem> {
    if let Some((id, model)) = config.models.get_key_value(&ModelId::from(written)) {
        return Ok(Meant::Declared(id, model));
    }
    if written.contains([':', '/']) {
        return written.parse().map(Meant::Source);
    }
    let names = || config.models.keys().map(ModelId::as_str);
    Err(Problem::new(format!("there is no model `{written}`"))
        .allowed(format!("{}; or hf:OWNER/NAME, path:DIR", list(names())))
        .did_you_mean(written, names()))
}

/// Where the GGUF file is that a person means: a decoder of `sprat.toml`, a source, or simply a file.
fn written_file(workspace: &Workspace, written: &str) -> Result<PathBuf, Failure> {
    if written.ends_with(".gguf") && !written.contains(':') {
        return Ok(PathBuf::from(written));
    }
    match find(&workspace.config, written)? {
        Meant::Declared(_, ModelConfig::Decoder(Decoder { source, .. })) => decoder_file(workspace, source),
        Meant::Source(source) => decoder_file(workspace, &source),
        Meant::Declared(id, model) => {
            Err(Problem::new(format!("model `{id}` (kind \"{}\") is not one GGUF file", model.kind()))
                .allowed("a model with kind = \"decoder\"; or path:FILE.gguf, hf:OWNER/NAME#FILE")
                .into())
        }
    }
}

/// Where the GGUF file of a source is.
fn decoder_file(workspace: &Workspace, source: &ModelSource) -> Result<PathBuf, Failure> {
    decoders::file(workspace, source).map_err(|why| Problem::new(why).into())
}

/// The repository that a declared model's files come from.
fn repository(model: &ModelConfig) -> Option<&Repository> {
    match model {
        ModelConfig::Encoder(Encoder { source, .. }) | ModelConfig::Decoder(Decoder { source, .. }) => {
            match source {
                ModelSource::Hub(repository) => Some(repository),
                ModelSource::Path(_) => None,
            }
        }
        ModelConfig::Linear(_) | ModelConfig::Tagger(_) | ModelConfig::Remote(_) => None,
    }
}

/// An error of the hub, as the user's or as the world's.
fn failed(error: HubError) -> Failure {
    let hint = error.hint();
    match error.is_the_user_s() {
        true => Problem::new(error.to_string()).hint(hint).into(),
        false => Failure::ours_with_hint(error.to_string(), hint),
    }
}

/// A model that was pulled, as JSON shows it.
#[derive(Serialize)]
struct Pulled {
    source: String,
    commit: String,
    revisions: Vec<String>,
    folder: String,
    size_bytes: u64,
    /// Files that are gone, or not as they came.
    damaged: Vec<String>,
}

impl From<&sprat_models::hub::Snapshot> for Pulled {
    fn from(snapshot: &sprat_models::hub::Snapshot) -> Self {
        Self {
            source: format!("hf:{}/{}", snapshot.owner, snapshot.name),
            commit: snapshot.commit.clone(),
            revisions: snapshot.revisions.clone(),
            folder: snapshot.folder.display().to_string(),
            size_bytes: snapshot.size(),
            damaged: snapshot.damaged().into_iter().map(str::to_owned).collect(),
        }
    }
}
