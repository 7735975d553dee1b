//! What shape does the network have? `config.json`, as the makers of BERT-family models write it.

use std::path::Path;

use serde::Deserialize;
use sprat_task::Problem;
use sprat_task::problem::list;

use super::read::json_if_there;

/// The values of `model_type` that this encoder computes. MiniLM, bge, e5 and gte say `bert`; the multilingual e5 and
/// their like say `xlm-roberta`, the same network with positions counted from another number.
const MODEL_TYPES: [&str; 3] = ["bert", "roberta", "xlm-roberta"];

/// Larger than any encoder that is published; a file that says more is damaged or means harm.
const MOST: usize = 1 << 20;

/// The shape of a BERT-family encoder: how many of everything.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Transformer layers.
    pub layers: usize,
    /// Numbers in the vector of a token.
    pub hidden: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    /// Numbers between the two matrices of the feed-forward network.
    pub intermediate: usize,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// Rows of the table of segments; a single text is segment 0.
    pub segments: usize,
    /// The row of the first token in the table of positions: 0, or one after the padding token's in RoBERTa's.
    pub first_position: usize,
    /// What layer normalisation adds to the variance.
    pub norm_epsilon: f32,
    /// The feed-forward network's non-linearity.
    pub activation: Activation,
}

/// The non-linearity of the feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, by the error function.
    Gelu,
    /// The same, by its approximation with a hyperbolic tangent.
    GeluTanh,
    /// What is above zero.
    Relu,
}

#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two_segments")]
    type_vocab_size: usize,
    pad_token_id: Option<usize>,
    #[serde(default = "usual_epsilon")]
    layer_norm_eps: f32,
    hidden_act: String,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn two_segments() -> usize {
    2
}

fn usual_epsilon() -> f32 {
    1e-12
}

impl EncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// No such file; another architecture; numbers that no network of this family has.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let file: File = json_if_there(path)?.ok_or_else(|| {
            Problem::in_file(path.display(), "the file is missing: it says what shape the model has")
                .hint("fetch the model again, with its config.json, model.safetensors and tokenizer.json")
        })?;
        Self::check(&file).map_err(|problem| problem.at(path.display(), 0))
    }

    fn check(file: &File) -> Result<Self, Problem> {
        let model_type = file.model_type.as_deref().unwrap_or("bert");
        if !MODEL_TYPES.contains(&model_type) || file.is_decoder {
            let what = if file.is_decoder { "a decoder".into() } else { format!("of type `{model_type}`") };
            return Err(Problem::new(format!("the model is {what}, not an encoder of the BERT family"))
                .allowed(format!("\"model_type\": {}", list(MODEL_TYPES)))
                .hint("all-MiniLM-L6-v2, bge-small-en-v1.5, e5-small-v2 and gte-small are such encoders"));
        }
        if let Some(kind) = file.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(Problem::new(format!("the model's positions are `{kind}`"))
                .allowed("\"position_embedding_type\": \"absolute\""));
        }
        let config = Self {
            layers: size("num_hidden_layers", file.num_hidden_layers)?,
            hidden: size("hidden_size", file.hidden_size)?,
            heads: size("num_attention_heads", file.num_attention_heads)?,
            intermediate: size("intermediate_size", file.intermediate_size)?,
            vocabulary: size("vocab_size", file.vocab_size)?,
            positions: size("max_position_embeddings", file.max_position_embeddings)?,
            segments: size("type_vocab_size", file.type_vocab_size)?,
            first_position: if model_type == "bert" {
                0
            } else {
                file.pad_token_id.unwrap_or(1).saturating_add(1)
            },
            norm_epsilon: file.layer_norm_eps,
            activation: activation(&file.hidden_act)?,
        };
        if !config.hidden.is_multiple_of(config.heads) {
            return Err(Problem::new(format!(
                "`hidden_size` = {} can't be shared among `num_attention_heads` = {}",
                config.hidden, config.heads
            )));
        }
        if config.most_tokens() < 2 {
            return Err(Problem::new(format!(
                "`max_position_embeddings` = {} leaves no room for a text",
                config.positions
            )));
        }
        if !(config.norm_epsilon >= 0.0 && config.norm_epsilon < 1.0) {
            return Err(Problem::new(format!("`layer_norm_eps` = {} is out of range", config.norm_epsilon))
                .allowed("0 to 1, such as 1e-12"));
        }
        Ok(config)
    }

    /// Numbers in the vector of a token that one head looks at.
    pub fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// The most tokens that a text can have, those around it included.
    pub fn most_tokens(&self) -> usize {
        self.positions.saturating_sub(self.first_position)
    }
}

fn size(key: &str, value: usize) -> Result<usize, Problem> {
    match value {
        1..=MOST => Ok(value),
        _ => Err(Problem::new(format!("`{key}` = {value} is out of range")).allowed(format!("1 to {MOST}"))),
    }
}

fn activation(name: &str) -> Result<Activation, Problem> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => {
            Err(Problem::new(format!("`hidden_act` = \"{other}\" is not one that this encoder computes"))
                .allowed("gelu, gelu_new, gelu_pytorch_tanh, relu"))
        }
    }
}
