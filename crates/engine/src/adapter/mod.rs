//! Is a file an adapter of this model? An adapter (LoRA, arXiv 2106.09685) adds to a model's matrices the product of two thin
//! ones each. It comes as GGUF, or as PEFT writes it; what is wrong with it is said here, before any C++ sees it.
//!
//! | question | file |
//! |---|---|
//! | Does it fit the model? | `fit.rs` |
//! | What has PEFT written? | `peft.rs` |
//! | What does PEFT call the model's matrices, and how does it order their rows? | `names.rs` |

mod fit;
mod names;
mod peft;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::gguf::{Gguf, GgufError};
pub use fit::fits;

/// Why a file is no adapter of a model. The sentence stands after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The operating system refused.
    #[error("can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no GGUF file that can be read.
    #[error("{0}")]
    Gguf(#[from] GgufError),
    /// PEFT's files can't be understood.
    #[error("is no adapter of PEFT's that can be read: {0}")]
    Foreign(String),
    /// It is whole, and can't be used with this model.
    #[error("doesn't fit the model: {0}")]
    Unfit(String),
}

/// An adapter as a GGUF file that fits its model.
#[derive(Debug)]
pub struct Adapter {
    file: PathBuf,
    /// What was converted is gone with this.
    _converted: Option<NamedTempFile>,
}

impl Adapter {
    /// Opens a GGUF file, or a folder that PEFT has written, and holds it against the model.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn open(path: &Path, base: &Gguf) -> Result<Self, AdapterError> {
        let converted = match path.is_dir() {
            true => Some(peft::convert(path, base)?),
            false => None,
        };
        let file = converted.as_ref().map_or(path, NamedTempFile::path).to_owned();
        fits(&Gguf::open(&file)?, base)?;
        Ok(Self { file, _converted: converted })
    }

    /// The GGUF file, for as long as this lives.
    pub fn file(&self) -> &Path {
        &self.file
    }
}
