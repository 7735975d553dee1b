//! Which decoders does this process run, and how are their engines started?

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sprat_models::decoder::chat::ChatModel;
use sprat_models::decoder::{DecoderTrainer, Engines, Settings};
use sprat_models::hub::ModelSource;
use sprat_task::ModelId;

use crate::config::Decoder;
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
    let trainer = DecoderTrainer::new(id.clone(), settings(workspace, decoder)?, engines().clone());
    trainer.check()?;
    Ok(trainer)
}

/// A decoder that holds conversations.
///
/// # Errors
/// As [`trainer`].
pub fn chat(workspace: &Workspace, id: &ModelId, decoder: &Decoder) -> Result<ChatModel, String> {
    ChatModel::open(id.clone(), &settings(workspace, decoder)?, engines())
}

fn settings(workspace: &Workspace, decoder: &Decoder) -> Result<Settings, String> {
    if !ARE_BUILT_IN {
        return Err("this build runs no decoders; build sprat with its feature `decoder`".to_owned());
    }
    let file = match &decoder.source {
        ModelSource::Path(path) => workspace.root.join(path),
        ModelSource::Hub(repository) => {
            return Err(format!(
                "decoders are not pulled yet: fetch a GGUF file of {repository} and write source = \"path:FILE.gguf\""
            ));
        }
    };
    let engine = program().map_err(|error| format!("where this program lies can't be found out: {error}"))?;
    Ok(Settings {
        engine: (engine, vec!["engine".to_owned()]),
        file,
        context: decoder.context,
        threads: decoder.threads.unwrap_or(0),
    })
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
