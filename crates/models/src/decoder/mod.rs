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
//! | How is a text answered that is too long, and where is it cut? | `long.rs`, `cut.rs` |
//! | How is each of many rows asked about? | `survey.rs` |
//! | How does one hold conversations in OpenAI's protocol? | [`chat`] |
//! | Which engines run, and is there memory for another? | `engines.rs` |
//! | Is an engine up, down or resting, and how often did it crash? | `engine.rs` |
//! | How does one process live and end? | `process.rs` |
//! | How is something done once, in a process of its own? | `once.rs` |
//! | Does a smaller file answer as the one it was made of? | `gate.rs` |
//! | How quickly does it write, here? | `speed.rs`, `bandwidth.rs` |

mod answer;
mod artifact;
mod bandwidth;
pub mod chat;
mod cut;
mod engine;
mod engines;
mod gate;
mod generate;
mod long;
mod once;
mod process;
mod prompt;
mod record;
mod rung;
mod settings;
mod several;
mod speed;
mod survey;
#[cfg(all(test, unix))]
mod tests;
mod text;
mod train;

pub use bandwidth::bandwidth;
pub use engine::{Engine, EngineConfig, Standing};
pub use engines::Engines;
pub use gate::{Compared, Pair, Told, compare};
pub use generate::{Answered, Said, Wanted};
pub use once::{Failed, run_job};
pub use rung::DecoderRung;
pub use settings::{BATCH, Settings};
pub use speed::{Speed, speed};
pub use train::DecoderTrainer;
