//! Which decoders does this process run, and how are their engines started?

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[cfg(feature = "decoder")]
use sprat_engine::gguf::Gguf;
use sprat_models::decoder::chat::ChatModel;
use sprat_models::decoder::{DecoderTrainer, Engines, Settings};
use sprat_models::hub::ModelSource;
use sprat_task::ModelId;

use crate::config::{Decoder, ModelConfig};
use crate::workspace::Workspace;

/// Whether this build runs any.
pub const ARE_BUILT_IN: bool = cfg!(all(feature = "decoder", unix));

/// Tokens computed at once, which memory is reckoned with.
pub use sprat_models::decoder::BATCH;

/// Share of the machine's memory that models may take together.
const SHARE: f64 = 0.8;

/// The trainer of a decoder.
///
/// # Errors
/// A sentence: where its file should be, or what is wrong with it.
pub fn trainer(workspace: &Workspace, id: &ModelId, decoder: &Decoder) -> Result<DecoderTrainer, String> {
    let trainer = DecoderTrainer::new(id.clone(), settings(workspace, id, decoder)?, engines().clone());
    trainer.check()?;
    Ok(trainer)
}

/// A decoder that holds conversations.
///
/// # Errors
/// As [`trainer`].
pub fn chat(workspace: &Workspace, id: &ModelId, decoder: &Decoder) -> Result<ChatModel, String> {
    ChatModel::open(id.clone(), &settings(workspace, id, decoder)?, engines())
}

fn settings(workspace: &Workspace, id: &ModelId, decoder: &Decoder) -> Result<Settings, String> {
    if !ARE_BUILT_IN {
        return Err("this build runs no decoders; build sprat with its feature `decoder`".to_owned());
    }
    let file = file(workspace, decoder)?;
    let (adapters, adapter) = adapters(workspace, id, decoder, &file)?;
    let engine = program().map_err(|error| format!("where this program lies can't be found out: {error}"))?;
    Ok(Settings {
        engine: (engine, vec!["engine".to_owned()]),
        file,
        context: decoder.context,
        threads: decoder.threads.unwrap_or(0),
        adapters,
        adapter,
    })
}

fn file(workspace: &Workspace, decoder: &Decoder) -> Result<PathBuf, String> {
    match &decoder.source {
        ModelSource::Path(path) => Ok(workspace.root.join(path)),
        ModelSource::Hub(repository) => Err(format!(
            "decoders are not pulled yet: fetch a GGUF file of {repository} and write source = \"path:FILE.gguf\""
        )),
    }
}

/// The adapters of all models that are run as this one is but for that, as far as they fit, and the place of its own among
/// them. One that doesn't fit is its own model's trouble and nobody else's.
fn adapters(
    workspace: &Workspace,
    id: &ModelId,
    decoder: &Decoder,
    file: &Path,
) -> Result<(Vec<PathBuf>, Option<u32>), String> {
    let is_same = |other: &Decoder| {
        (&other.source, other.context, other.threads) == (&decoder.source, decoder.context, decoder.threads)
    };
    let (mut all, mut own) = (Vec::new(), None);
    for (name, model) in &workspace.config.models {
        let ModelConfig::Decoder(other) = model else { continue };
        let Some(path) = other.adapter.as_ref().filter(|_| is_same(other)) else { continue };
        let path = workspace.root.join(path);
        match fits(&path, file) {
            Err(why) if name == id => return Err(why),
            Err(_) => continue,
            Ok(()) => {}
        }
        let place = all.iter().position(|known| *known == path).unwrap_or_else(|| {
            all.push(path);
            all.len() - 1
        });
        if name == id {
            own = u32::try_from(place).ok();
        }
    }
    Ok((all, own))
}

/// Whether an adapter fits a model's file.
#[cfg(feature = "decoder")]
fn fits(adapter: &Path, file: &Path) -> Result<(), String> {
    let base = Gguf::open(file).map_err(|error| format!("{} {error}", file.display()))?;
    let opened = sprat_engine::adapter::Adapter::open(adapter, &base);
    opened.map(|_| ()).map_err(|error| format!("{} {error}", adapter.display()))
}

#[cfg(not(feature = "decoder"))]
fn fits(_: &Path, _: &Path) -> Result<(), String> {
    Ok(())
}

/// This very program: an engine is `sprat engine`.
fn program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The engines of this process. A model has one, whichever tasks and releases ask it.
fn engines() -> &'static Arc<Engines> {
    static ENGINES: OnceLock<Arc<Engines>> = OnceLock::new();
    ENGINES.get_or_init(|| Engines::new(may_take().unwrap_or(u64::MAX)))
}

/// Bytes that all models together may take, where it can be found out how many there are.
pub fn may_take() -> Option<u64> {
    memory().map(|bytes| (bytes as f64 * SHARE) as u64)
}

/// Bytes of memory that the machine has, where that can be found out.
fn memory() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
