//! An encoder that answers a task, and learns to.
//!
//! | question | file |
//! |---|---|
//! | How is it taught, and how far is that? | `train.rs`, `config.rs`, `run.rs`, `stage.rs` |
//! | In which ways is it tried? | `as_it_came.rs`, `by_pairs.rs`, `by_labels.rs` |
//! | Which of them is kept? | `choose.rs` |
//! | What is learned from? | `lessons.rs` |
//! | How is a head fitted over embeddings? | `heads.rs`, `logistic.rs`, `lbfgs.rs` |
//! | What is known of rows that a head had not seen? | `held_out.rs` |
//! | How do head and linear model speak with one voice, and when is a text out of scope? | `blend.rs`, `neighbours.rs` |
//! | What is answered, with which signs of being sure? | `answer.rs`, `rung.rs` |
//! | What does it look like on disk, and is the base model still the same? | `artifact.rs`, `base.rs` |

mod answer;
mod artifact;
mod as_it_came;
mod base;
mod blend;
mod by_labels;
mod by_pairs;
mod choose;
mod config;
mod heads;
mod held_out;
mod lbfgs;
mod lessons;
mod logistic;
mod neighbours;
mod run;
mod rung;
mod stage;
#[cfg(test)]
mod tests;
mod train;

pub use base::Place;
pub use config::{Config, FineTune};
pub use rung::EncoderRung;
pub use train::EncoderTrainer;
