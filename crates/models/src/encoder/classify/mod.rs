//! An encoder that answers a task, and learns to.
//!
//! | question | file |
//! |---|---|
//! | How is it taught, and who chooses between frozen and fine-tuned? | `train.rs`, `config.rs` |
//! | What is learned from? | `lessons.rs` |
//! | How is a head fitted over an encoder that stays as it is? | `frozen.rs`, `logistic.rs`, `lbfgs.rs` |
//! | What is known of rows that a head had not seen? | `held_out.rs` |
//! | How do head and linear model speak with one voice, and when is a text out of scope? | `blend.rs`, `neighbours.rs` |
//! | What is answered, with which signs of being sure? | `answer.rs`, `rung.rs` |
//! | What does it look like on disk, and is the base model still the same? | `artifact.rs`, `base.rs` |

mod answer;
mod artifact;
mod base;
mod blend;
mod config;
mod frozen;
mod held_out;
mod lbfgs;
mod lessons;
mod logistic;
mod neighbours;
mod rung;
#[cfg(test)]
mod tests;
mod train;

pub use base::Place;
pub use config::{Config, FineTune};
pub use rung::EncoderRung;
pub use train::EncoderTrainer;
