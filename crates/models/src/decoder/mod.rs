//! Small language models on this machine. Each runs in a process of its own, which may end at any moment: then a step has
//! failed, the request goes on upwards, and the process begins anew.
//!
//! | question | file |
//! |---|---|
//! | How is a decoder made a rung, and what is kept of that? | `train.rs`, `artifact.rs` |
//! | Where is a decoder, how is it run, and is it whole? | `settings.rs` |
//! | What is it told? | `prompt.rs` |
//! | What does it answer, with which signs of being sure? | `answer.rs`, `several.rs`, `record.rs`, `text.rs`, `rung.rs` |
//! | What follows a text, piece by piece? | `generate.rs` |
//! | How does one hold conversations in OpenAI's protocol? | [`chat`] |
//! | Which engines run, and is there memory for another? | `engines.rs` |
//! | Is an engine up, down or resting, and how often did it crash? | `engine.rs` |
//! | How does one process live and end? | `process.rs` |

mod answer;
mod artifact;
pub mod chat;
mod engine;
mod engines;
mod generate;
mod process;
mod prompt;
mod record;
mod rung;
mod settings;
mod several;
#[cfg(all(test, unix))]
mod tests;
mod text;
mod train;

pub use engine::{Engine, EngineConfig, Standing};
pub use engines::Engines;
pub use generate::{Answered, Said, Wanted};
pub use rung::DecoderRung;
pub use settings::{BATCH, Settings};
pub use train::DecoderTrainer;
