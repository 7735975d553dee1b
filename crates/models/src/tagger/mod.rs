//! A tagger: fields found in a text by a conditional random field over its words. The cheapest rung that extracts.
//!
//! Trained by stochastic gradients on rows whose values were found in their texts; one file.

mod artifact;
mod config;
mod crf;
mod features;
mod lexicon;
mod model;
mod rows;
mod rung;
#[cfg(test)]
mod tests;
mod train;

pub use artifact::{Header, OpenError};
pub use config::Config;
pub use model::{Scratch, Seen, Tagged, TaggerModel};
pub use rung::{TaggerRung, TaggerTrainer, record};
pub use train::{Cancelled, Row, Value, Watch, fit, fit_with_folds};
