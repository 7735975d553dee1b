//! What is asked of the process that makes a smaller file, and what does it say? One job a process, in the frames of
//! [`protocol`](crate::protocol): it may abort, and nothing else ends with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Quantization;

/// The one thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Find out which numbers matter.
    Weigh(Weigh),
    /// Make the smaller file.
    Quantize(Quantize),
}

/// Find out which numbers of a model matter for some texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weigh {
    /// [`HELLO`](crate::protocol::HELLO) of who asks.
    pub hello: String,
    /// The GGUF file.
    pub file: PathBuf,
    /// Tokens that are looked back on.
    pub context: u32,
    /// Threads to compute on; 0 means as many as the machine has.
    pub threads: u32,
    /// What stands before every text. It is read once, and counts once.
    pub before: String,
    /// The texts, each with what follows it.
    pub texts: Vec<String>,
    /// Where the importance matrix is written.
    pub out: PathBuf,
}

/// Make a smaller file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// [`HELLO`](crate::protocol::HELLO) of who asks.
    pub hello: String,
    /// The GGUF file, its numbers in 16 or 32 bits.
    pub file: PathBuf,
    /// What it becomes.
    pub to: Quantization,
    /// Which numbers matter, where that is known: an importance matrix.
    pub importance: Option<PathBuf>,
    /// Threads to compute on; 0 means as many as the machine has.
    pub threads: u32,
    /// Where the smaller file is written.
    pub out: PathBuf,
}

/// What the process says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// How many texts were read.
    Read {
        /// So many,
        texts: u64,
        /// and so many of them were too long to be.
        too_long: u64,
    },
    /// It is done.
    Done,
    /// It can't be done, in a sentence.
    Failed(String),
}
