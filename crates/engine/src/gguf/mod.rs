//! A model in one file, read and written in Rust: what is wrong with it is said before any C++ sees it.
//!
//! | question | file |
//! |---|---|
//! | What stands in the file? | `read.rs`, `value.rs`, `tensor.rs` |
//! | Is it a whole language model? | `shape.rs` |
//! | What does it need in memory? | `memory.rs` |
//! | Was it taught to fill holes? | `hole.rs` |
//! | How is such a file written? | `write.rs` |
//!
//! The format is described in ggml's `docs/gguf.md`; versions 2 and 3 are the same but for big-endian files, which are
//! refused.

mod hole;
mod memory;
mod read;
mod shape;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
pub mod write;

pub use hole::HoleTokens;
pub use memory::{Memory, memory, read_for_a_token};
pub use read::{ALIGNMENT, Gguf};
pub use shape::Shape;
pub use tensor::{Tensor, TensorKind};
pub use value::{Value, WholeKind};

/// Why a file is no model that can be run. The sentence stands after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The operating system refused.
    #[error("can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is not a GGUF file, or not one of a version that is read here.
    #[error("is no GGUF file that can be read: {0}")]
    Foreign(String),
    /// It is cut off or damaged.
    #[error("is cut off or damaged: {what} (at byte {at})")]
    Broken {
        /// Where it was noticed.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It is whole, and not a language model that can be run.
    #[error("can't be run: {0}")]
    Unfit(String),
}
