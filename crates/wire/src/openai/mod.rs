//! OpenAI's protocol, which most model servers speak.

pub mod batch;
pub mod chat;
pub mod embeddings;
pub mod error;
pub mod models;
pub mod moderations;
