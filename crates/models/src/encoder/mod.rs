//! Sentence encoders: small transformers of the BERT family that read a text into a vector.
//!
//! | question | file |
//! |---|---|
//! | What lies in a model's folder, and does it fit together? | [`checkpoint`] |
//! | What shape does the network have? | [`config`] |
//! | How do the vectors of a text's tokens become the one of the text? | [`sentence`] |
//! | Which tokens is a text? | [`tokenizer`] |
//! | Which numbers does it multiply with? | [`weights`] |
//! | What does the network make of them? | [`network`] |
//! | How is that computed quickly? | `compute` |
//! | What vector is a text? | [`encoder`](self::encoder) |
//! | How do many callers share one? | [`embedder`] |
//! | Is there one small enough for a test? | [`tiny`] |
//! | How is all of it trained on a task's rows? | `finetune` |
//! | How does it answer a task, and learn to? | [`classify`] |

pub mod checkpoint;
pub mod classify;
mod compute;
pub mod config;
pub mod embedder;
#[allow(clippy::module_inception)] // the file answers the question of the folder
pub mod encoder;
mod finetune;
pub mod network;
mod read;
pub mod sentence;
#[cfg(test)]
mod tests;
pub mod tiny;
pub mod tokenizer;
pub mod weights;

pub use checkpoint::Checkpoint;
pub use compute::Precision;
pub use config::{Activation, EncoderConfig};
pub use embedder::{Embedder, Sharing};
pub use encoder::{Encoded, Encoder};
pub use network::Network;
pub use sentence::{Pooling, SentenceConfig};
pub use tokenizer::{Tokenizer, Tokens};
pub use weights::{Parameter, Weights};
