//! `POST /v1/embeddings`.

use serde::{Deserialize, Serialize};

use super::chat::Usage;
use crate::Object;

/// Texts to be turned into vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingRequest {
    /// The model's name.
    pub model: String,
    /// One text, or several.
    pub input: EmbeddingInput,
    /// `float` or `base64`; `None` is float.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<String>,
    /// How long the vectors are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// The end user, as the caller names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What is to be turned into vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// A text a vector.
    Texts(Vec<String>),
    /// One text, as the model's own tokens.
    Tokens(Vec<u32>),
    /// A text a vector, as the model's own tokens.
    TokenLists(Vec<Vec<u32>>),
}

/// The vectors, in the order of the texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingResponse {
    /// `list`.
    pub object: String,
    /// A vector a text.
    pub data: Vec<Embedding>,
    /// The model that made them.
    pub model: String,
    /// The tokens it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// One vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// `embedding`.
    pub object: String,
    /// Which of the texts.
    pub index: u32,
    /// Its numbers.
    pub embedding: Vector,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A vector as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Vector {
    /// As JSON numbers.
    Floats(Vec<f32>),
    /// As little-endian 32-bit floats in base64, which the Python client asks for unless told otherwise.
    Base64(String),
}
