//! The engine's work: many requests at once over one network, a batch at a time.
//!
//! | question | file |
//! |---|---|
//! | What must a network be able to do? | `network.rs` |
//! | Whose turn is it? | `schedule.rs` |
//! | Is there room? | `schedule/room.rs` |
//! | What is the same for many texts? | `prompt.rs` |
//! | What did an earlier text begin with, too? | `earlier.rs` |
//! | How well does each label fit? | `score.rs` |
//! | What follows a text? | `generate.rs`, `sample.rs`, `speech.rs` |
//! | What is read before a hole is filled? | `fill.rs` |
//! | What keeps an answer to its schema? | `constrain.rs` |
//! | How do orders come in, and reports go out? | `serve.rs` |
//!
//! All of it is Rust that knows nothing of llama.cpp, and is tested over a network that can be reckoned by hand.

mod constrain;
mod earlier;
mod fill;
mod generate;
mod network;
mod prompt;
mod sample;
mod schedule;
mod score;
mod serve;
mod speech;
#[cfg(test)]
mod tests;

pub use network::{Network, Piece, Sequence, Token};
pub use schedule::Scheduler;
pub use serve::serve;
