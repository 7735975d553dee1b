//! Training all of an encoder on a task's rows: the way there and back, the optimiser, and the walk over the rows.
//!
//! | question | file |
//! |---|---|
//! | Which numbers are trained, and where do they lie? | `layout.rs` |
//! | How do texts become embeddings, and how does the gradient come back? | `network.rs`, `attention.rs`, `norm.rs`, `activation.rs`, `matrix.rs` |
//! | What is taught by labels, and what is made small? | `labelled.rs`, `objective.rs` |
//! | What is taught by pairs of rows? | `contrast.rs`, `deal.rs` |
//! | How is a step taken, and on which threads? | `adamw.rs`, `lanes.rs` |
//! | How do many rows pass through at once? | `examples.rs` |
//! | Pass after pass: when does it end? | `walk.rs` |
//! | How does it go on after it was killed? | `resume.rs` |

mod activation;
mod adamw;
mod attention;
mod contrast;
mod deal;
mod examples;
mod labelled;
mod lanes;
mod layout;
mod matrix;
mod network;
mod norm;
mod objective;
mod resume;
#[cfg(test)]
mod tests;
mod walk;

pub use contrast::Contrast;
pub use examples::Example;
pub use labelled::Labelled;
pub use layout::Layout;
pub use matrix::{Before, Matrix, multiply};
pub use network::Network;
#[cfg(test)]
pub use network::{Batch, Tape};
pub use objective::Objective;
pub use resume::Resume;
pub use walk::{CurvePoint, Settings, Stopped, Tuned, Walk, Walked};
