//! The network that llama.cpp runs.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod golden;
mod importance;
mod job;
mod library;
mod mapped;
mod processor;
mod quantize;
#[cfg(test)]
mod smaller;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vocabularies;

use std::path::PathBuf;
use std::time::Instant;

use crate::adapter::Adapter;
use crate::gguf::{Gguf, HoleTokens, Shape};
use crate::protocol::{HELLO, Load, Loaded};
use crate::work::{Network, Piece, Sequence, Token};
use library::{Library, Settings};
use processor::threads;

pub use job::work;
pub use processor::{CHOICE, choose_kernels};

/// Most tokens of a batch.
const BATCH: u32 = 512;
/// Tokens computed at once: a few hundred keep the cores busy, and more would only take memory.
pub const AT_ONCE: u32 = 256;
/// Most tokens of a batch after which something is wanted: each takes a number for every token of the vocabulary.
const ROWS: usize = 64;
/// Sequences remembered at a time: enough for twenty labels of four texts at once. llama.cpp has 256 at most, and when it begins
/// it clears a row of numbers for each.
const SEQUENCES: Sequence = 96;
/// The least context that a model can be loaded with: llama.cpp aborts where it is smaller than the sequences are many.
const LEAST_CONTEXT: u32 = 256;

/// A model that is loaded.
pub struct Llama {
    library: Library,
    /// The end that some vocabularies put behind every text, and that no beginning has.
    ends_with: Option<Token>,
    hole: Option<HoleTokens>,
}

impl Llama {
    /// Loads a model, its weights mapped into memory.
    ///
    /// # Errors
    /// A sentence for whoever declared it.
    pub fn load(wanted: &Load) -> Result<(Self, Loaded), String> {
        let start = Instant::now();
        let threads = threads(wanted.threads);
        let loaded = Self::load_as(wanted, threads, false)?;
        let told = Loaded {
            hello: HELLO.to_owned(),
            kernels: choose_kernels()?.name().to_owned(),
            context: loaded.library.settings().context,
            threads,
            took_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        Ok((loaded, told))
    }

    fn load_as(wanted: &Load, threads: u32, exact: bool) -> Result<Self, String> {
        let told = |why: String| format!("{} {why}", wanted.file.display());
        if wanted.context < LEAST_CONTEXT {
            let context = wanted.context;
            return Err(told(format!(
                "can't be run with a context of {context} tokens: {LEAST_CONTEXT} is the least"
            )));
        }
        let file = Gguf::open(&wanted.file).map_err(|error| told(error.to_string()))?;
        Shape::of(&file).map_err(|error| told(error.to_string()))?;
        let adapters: Result<Vec<Adapter>, String> = wanted
            .adapters
            .iter()
            .map(|path| Adapter::open(path, &file).map_err(|error| format!("{} {error}", path.display())))
            .collect();
        let adapters = adapters?;
        let files: Vec<PathBuf> = adapters.iter().map(|adapter| adapter.file().to_owned()).collect();
        let settings = Settings {
            context: wanted.context,
            batch: BATCH.min(wanted.context),
            at_once: AT_ONCE,
            sequences: SEQUENCES,
            threads,
            exact,
        };
        let before = mapped::own_bytes();
        let library = Library::load(&wanted.file, &files, settings).map_err(told)?;
        mapped::give_back(&wanted.file, &file, mapped::own_bytes().saturating_sub(before));
        let ends_with = library.ends_with();
        Ok(Self { library, ends_with, hole: HoleTokens::of(&file) })
    }
}

impl Network for Llama {
    fn room(&self) -> usize {
        self.library.settings().context as usize
    }

    fn reach(&self) -> usize {
        self.library.reach()
    }

    fn batch(&self) -> usize {
        self.library.settings().batch as usize
    }

    fn rows(&self) -> usize {
        ROWS
    }

    fn sequences(&self) -> Sequence {
        SEQUENCES
    }

    fn adapters(&self) -> u32 {
        self.library.adapters()
    }

    fn vocabulary(&self) -> usize {
        self.library.vocabulary()
    }

    fn tokens(&self, text: &str, begins: bool, special: bool) -> Vec<Token> {
        let mut tokens = self.library.tokens(text, begins, special);
        if begins && self.ends_with.is_some() && tokens.last().copied() == self.ends_with {
            tokens.pop();
        }
        tokens
    }

    fn bytes(&self, token: Token) -> Vec<u8> {
        self.library.bytes(token)
    }

    fn is_end(&self, token: Token) -> bool {
        self.library.is_end(token)
    }

    fn hole(&self) -> Option<HoleTokens> {
        self.hole
    }

    fn slides(&self) -> bool {
        self.library.slides()
    }

    fn fork(&mut self, from: Sequence, to: Sequence, tokens: u32) -> Result<(), String> {
        self.library.copy(from, to, tokens)
    }

    fn put_away(&mut self, sequence: Sequence) -> Result<Vec<u8>, String> {
        self.library.put_away(sequence)
    }

    fn put_back(&mut self, memory: &[u8], to: Sequence, tokens: u32) -> Result<bool, String> {
        self.library.put_back(memory, to, tokens)
    }

    fn forget(&mut self, sequence: Sequence) -> Result<(), String> {
        self.library.forget(sequence)
    }

    fn compute(
        &mut self,
        batch: &[Piece],
        adapter: Option<u32>,
        row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String> {
        self.library.adapt(adapter)?;
        self.library.compute(batch)?;
        for (place, _) in batch.iter().enumerate().filter(|(_, piece)| piece.wanted) {
            row(place, self.library.logits(place)?);
        }
        Ok(())
    }
}
