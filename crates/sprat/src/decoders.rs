//! Which decoders does this process run, and how are their engines started?

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[cfg(feature = "decoder")]
use sprat_engine::gguf::Gguf;
use sprat_models::decoder::chat::ChatModel;
use sprat_models::decoder::{DecoderTrainer, Engine, Engines, Settings};
use sprat_models::hub::{Hub, HubConfig, ModelSource};
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
    let engine = program()?;
    let file = file(workspace, &decoder.source)?;
    let (adapters, adapter) = adapters(workspace, id, decoder, &file)?;
    Ok(Settings {
        engine,
        file,
        context: decoder.context,
        threads: decoder.threads.unwrap_or(0),
        adapters,
        adapter,
    })
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
    let (mut all, mut own, mut base) = (Vec::new(), None, Base::of(file));
    for (name, model) in &workspace.config.models {
        let ModelConfig::Decoder(other) = model else { continue };
        let Some(path) = other.adapter.as_ref().filter(|_| is_same(other)) else { continue };
        let path = workspace.root.join(path);
        match base.fits(&path) {
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

/// A model's file that adapters are held against, read when there is one.
struct Base<'a> {
    file: &'a Path,
    #[cfg(feature = "decoder")]
    read: Option<Gguf>,
}

impl<'a> Base<'a> {
    fn of(file: &'a Path) -> Self {
        Self {
            file,
            #[cfg(feature = "decoder")]
            read: None,
        }
    }

    /// Whether an adapter fits it.
    #[cfg(feature = "decoder")]
    fn fits(&mut self, adapter: &Path) -> Result<(), String> {
        let base = match &mut self.read {
            Some(base) => base,
            none => none
                .insert(Gguf::open(self.file).map_err(|error| format!("{} {error}", self.file.display()))?),
        };
        let opened = sprat_engine::adapter::Adapter::open(adapter, base);
        opened.map(|_| ()).map_err(|error| format!("{} {error}", adapter.display()))
    }

    /// This build runs none, and so holds none against it.
    #[cfg(not(feature = "decoder"))]
    fn fits(&mut self, adapter: &Path) -> Result<(), String> {
        Err(format!(
            "{} can't be run with {}: this build runs no decoders",
            self.file.display(),
            adapter.display()
        ))
    }
}

/// The engine of a file, whether or not it is declared: it is started when it is first asked.
///
/// # Errors
/// A sentence: what is wrong with the file, or that it doesn't fit.
pub fn engine(file: PathBuf, context: u32, threads: u32) -> Result<Arc<Engine>, String> {
    let settings =
        Settings { engine: program()?, file, context, threads, adapters: Vec::new(), adapter: None };
    settings.open(engines()).map(|(engine, _)| engine)
}

/// Where the GGUF file of a source is; one of the hub, where it was pulled.
///
/// # Errors
/// It isn't on this machine, with what fetches it.
pub fn file(workspace: &Workspace, source: &ModelSource) -> Result<PathBuf, String> {
    let repository = match source {
        ModelSource::Path(path) => return Ok(workspace.root.join(path)),
        ModelSource::Hub(repository) => repository,
    };
    let config = HubConfig::from_env(|name| std::env::var(name).ok()).map_err(|problem| problem.message)?;
    let snapshot = Hub::new(config).cache().find(repository).ok_or_else(|| {
        format!("model {repository} is not on this machine; `sprat models pull hf:{repository}` fetches it")
    })?;
    snapshot.gguf().ok_or_else(|| {
        format!("model {repository} is no GGUF file; name one of its repository: hf:{repository}#q4_k_m")
    })
}

/// What runs an engine, with its arguments: this very program, as `sprat engine`.
///
/// # Errors
/// This build runs none, or it can't be found out where the program lies.
pub fn program() -> Result<(PathBuf, Vec<String>), String> {
    if !ARE_BUILT_IN {
        return Err("this build runs no decoders; build sprat with its feature `decoder`".to_owned());
    }
    let program = std::env::current_exe();
    let program = program.map_err(|error| format!("where this program lies can't be found out: {error}"))?;
    Ok((program, vec!["engine".to_owned()]))
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

/// Bytes of memory that nobody needs now, where that can be found out.
pub fn available() -> Option<u64> {
    meminfo("MemAvailable:")
}

/// Bytes of memory that the machine has, where that can be found out.
fn memory() -> Option<u64> {
    meminfo("MemTotal:")
}

fn meminfo(key: &str) -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
