//! Small language models on this machine. Each runs in a process of its own, which may end at any moment: then a step has
//! failed, the request goes on upwards, and the process begins anew.
//!
//! | question | file |
//! |---|---|
//! | How is a decoder made a rung, and what is kept of that? | `train.rs`, `artifact.rs` |
//! | What is it told? | `prompt.rs` |
//! | What does it answer, with which signs of being sure? | `answer.rs`, `rung.rs` |
//! | Which engines run, and is there memory for another? | `engines.rs` |
//! | Is an engine up, down or resting, and how often did it crash? | `engine.rs` |
//! | How does one process live and end? | `process.rs` |

mod answer;
mod artifact;
mod engine;
mod engines;
mod process;
mod prompt;
mod rung;
#[cfg(all(test, unix))]
mod tests;
mod train;

pub use engine::{Engine, EngineConfig, Standing};
pub use engines::Engines;
pub use rung::DecoderRung;
pub use train::{BATCH, DecoderTrainer, Settings};
