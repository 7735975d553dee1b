//! Training all of an encoder on a task's rows: the way there and back, the optimiser, and the walk over the rows.
//!
//! | question | file |
//! |---|---|
//! | Which numbers are trained, and where do they lie? | `layout.rs` |
//! | How do texts become embeddings, and how does the gradient come back? | `network.rs`, `attention.rs`, `norm.rs`, `activation.rs`, `matrix.rs` |
//! | What is made small? | `objective.rs` |
//! | How is a step taken? | `adamw.rs` |
//! | In which order are the rows visited, and when does it end? | `run.rs` |
//! | How does it go on after it was killed? | `resume.rs` |

mod activation;
mod adamw;
mod attention;
mod layout;
mod matrix;
mod network;
mod norm;
mod objective;
mod resume;
mod run;
#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use matrix::{Before, Matrix, multiply};
pub use network::Network;
#[cfg(test)]
pub use network::{Batch, Tape};
pub use objective::Objective;
pub use resume::Resume;
pub use run::{CurvePoint, Example, Finetuning, Settings, Stopped, Tuned, Walked};
