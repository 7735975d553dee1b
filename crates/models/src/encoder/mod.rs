//! Sentence encoders: small transformers of the BERT family that read a text into a vector.
//!
//! | question | file |
//! |---|---|
//! | What lies in a model's folder, and does it fit together? | [`checkpoint`] |
//! | What shape does the network have? | [`config`] |
//! | How do the vectors of a text's tokens become the one of the text? | [`sentence`] |
//! | Which tokens is a text? | [`tokenizer`] |
//! | Which numbers does it multiply with? | [`weights`] |
//! | Is there one small enough for a test? | [`tiny`] |

pub mod checkpoint;
pub mod config;
mod read;
pub mod sentence;
#[cfg(test)]
mod tests;
pub mod tiny;
pub mod tokenizer;
pub mod weights;

pub use checkpoint::Checkpoint;
pub use config::{Activation, EncoderConfig};
pub use sentence::{Pooling, SentenceConfig};
pub use tokenizer::{Tokenizer, Tokens};
pub use weights::{Parameter, Weights};
