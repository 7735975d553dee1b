//! A smaller file of the same model: its numbers in fewer bits, chosen so that those that matter for a task keep the most.
//!
//! | question | file |
//! |---|---|
//! | What does each tensor become, and how large is the file then? | `plan.rs` |
//! | Which numbers matter? | `importance.rs` |
//! | What is asked of the process that makes it, and what does it say? | `job.rs` |
//!
//! The work itself is llama.cpp's, in `llama/quantize.rs` and `llama/importance.rs`.

mod importance;
mod job;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gguf::TensorKind;

pub use importance::{Importance, Weighed};
pub use job::{Job, Quantize, Told, Weigh};
pub use plan::{Plan, Planned};

/// How a model's numbers are stored in a smaller file, by the names that everybody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// 8 bits and a half: what it says is as good as unchanged.
    Q8_0,
    /// About six and a half bits.
    Q6K,
    /// About five and a half bits, the touchier tensors more.
    Q5KM,
    /// About five bits, the touchier tensors more: the usual one.
    Q4KM,
    /// Four and a half bits, and the fastest to read.
    Q4_0,
}

impl Quantization {
    /// All of them, the largest first.
    pub const ALL: [Self; 5] = [Self::Q8_0, Self::Q6K, Self::Q5KM, Self::Q4KM, Self::Q4_0];

    /// Its name, such as `q4_k_m`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5KM => "q5_k_m",
            Self::Q4KM => "q4_k_m",
            Self::Q4_0 => "q4_0",
        }
    }

    /// What most tensors become.
    pub fn usual_kind(self) -> TensorKind {
        match self {
            Self::Q8_0 => TensorKind::Q8_0,
            Self::Q6K => TensorKind::Q6_K,
            Self::Q5KM => TensorKind::Q5_K,
            Self::Q4KM => TensorKind::Q4_K,
            Self::Q4_0 => TensorKind::Q4_0,
        }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In small or capital letters.
impl FromStr for Quantization {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| Self::ALL.map(Self::name).join(", "))
    }
}
