//! Where is a decoder, how is it run, and is it whole?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sprat_engine::gguf::{Gguf, Shape, memory};

use super::engine::{Engine, EngineConfig};
use super::engines::Engines;

/// Tokens computed at once, which memory is reckoned with.
pub const BATCH: u64 = 256;

/// Where a decoder is, and how it is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that runs engines, and its arguments.
    pub engine: (PathBuf, Vec<String>),
    /// The GGUF file.
    pub file: PathBuf,
    /// Tokens that all requests together can look back on.
    pub context: u32,
    /// Threads it computes on; 0 means as many as the machine has.
    pub threads: u32,
    /// The adapters of all models that share this file, each known to fit: they share its process.
    pub adapters: Vec<PathBuf>,
    /// Which of them is this model's; `None` where it has none.
    pub adapter: Option<u32>,
}

impl Settings {
    /// Its engine, not started yet, and what its file says of itself.
    ///
    /// # Errors
    /// A sentence with the file: it is no whole model, or can't fit.
    pub fn open(&self, engines: &Engines) -> Result<(Arc<Engine>, Gguf), String> {
        let Self { engine: (program, arguments), file, context, threads, adapters, .. } = self;
        let told = |why: String| format!("{} {why}", file.display());
        let read = Gguf::open(file).map_err(|error| told(error.to_string()))?;
        let shape = Shape::of(&read).map_err(|error| told(error.to_string()))?;
        let adapted: u64 = adapters.iter().map(|adapter| bytes_of(adapter)).sum();
        let needs = memory(&read, &shape, u64::from(*context), BATCH).total().saturating_add(adapted);
        let config = EngineConfig {
            program: program.clone(),
            arguments: arguments.iter().map(Into::into).collect(),
            file: file.clone(),
            context: *context,
            threads: *threads,
            adapters: adapters.clone(),
            waiting: 256,
            // A batch of a large model may take as long on few cores, and nothing is said within it.
            patience: Duration::from_secs(120),
            loading: Duration::from_secs(300),
        };
        engines.open(config, needs).map(|engine| (engine, read))
    }
}

impl Settings {
    /// This model's own adapter.
    pub fn own_adapter(&self) -> Option<&PathBuf> {
        self.adapters.get(usize::try_from(self.adapter?).ok()?)
    }
}

/// Bytes of an adapter, in one file or in a folder of them.
fn bytes_of(adapter: &Path) -> u64 {
    let of = |path: &Path| std::fs::metadata(path).map_or(0, |told| told.len());
    match std::fs::read_dir(adapter) {
        Ok(inside) => inside.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(adapter),
    }
}
