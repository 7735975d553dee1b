//! Small language models on this machine: what is said between the process that runs one and the process that asks it.
//!
//! | question | module |
//! |---|---|
//! | What is asked and answered, and in which bytes? | [`protocol`] |
//! | Is a file a model that can be run, and what does it need? | [`gguf`] |
//! | Is a file an adapter of a model? | `adapter`, with the feature `work` |
//! | What runs a model? | `llama`, with the feature of that name |
//! | How is a smaller file of a model made, and what is in it? | [`quantize`] |
//! | How large are the public models that run here? | [`published`] |
//! | How does one network serve many requests at once? | `work`, with the feature of that name |
//! | Is there a model small enough for a test? | [`tiny`] |

#[cfg(feature = "work")]
pub mod adapter;
pub mod gguf;
#[cfg(feature = "llama")]
pub mod llama;
pub mod protocol;
pub mod published;
pub mod quantize;
pub mod tiny;
#[cfg(feature = "work")]
pub mod work;
