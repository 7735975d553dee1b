//! A linear classifier over hashed word and character n-grams: the cheapest rung that learns.
//!
//! One label a text or several; trained by dual coordinate descent; one file that is its image in memory.

mod artifact;
mod calibrate;
mod config;
pub(crate) mod corpus;
mod design;
pub(crate) mod features;
mod meaning;
mod predict;
mod rows;
mod rung;
mod solver;
#[cfg(test)]
mod tests;
mod train;

pub use artifact::{Header, OpenError};
pub use config::Config;
pub use meaning::Signals;
pub use predict::{LinearModel, Prediction, Scratch};
pub use rows::{Rows, RowsError};
pub use rung::{LinearRung, LinearTrainer};
#[cfg(feature = "encoder")]
pub(crate) use rung::{checked, target_indices};
pub(crate) use solver::shuffle;
pub use train::{Progress, TrainError, Watch};
