//! What lies in a model's folder, and does it fit together?

use std::path::{Path, PathBuf};

use sprat_task::Problem;

use super::{EncoderConfig, SentenceConfig, Tokenizer, Weights};

/// A model's folder, read and checked: what a network is built from, and what training starts from.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where it was read.
    pub folder: PathBuf,
    /// The shape of the network.
    pub config: EncoderConfig,
    /// How a text becomes one vector.
    pub sentence: SentenceConfig,
    /// Texts to tokens.
    pub tokenizer: Tokenizer,
    /// The numbers.
    pub weights: Weights,
}

/// The files of a folder that a model is read from. The first three are never missing.
pub const FILES: [&str; 8] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

impl Checkpoint {
    /// Reads a folder with `config.json`, `model.safetensors` and `tokenizer.json`, and what sentence-transformers puts
    /// beside them.
    ///
    /// # Errors
    /// What is missing, damaged, or of another model, with its file.
    pub fn open(folder: &Path) -> Result<Self, Problem> {
        if !folder.is_dir() {
            return Err(Problem::in_file(folder.display(), "there is no such folder")
                .allowed("a folder with config.json, model.safetensors and tokenizer.json"));
        }
        // Small files first: what is wrong with them is told without reading the weights.
        let config = EncoderConfig::read(&folder.join("config.json"))?;
        let sentence = SentenceConfig::read(folder, &config)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), &config, &sentence)?;
        let weights = Weights::open(&folder.join("model.safetensors"), &config)?;
        Ok(Self { folder: folder.to_owned(), config, sentence, tokenizer, weights })
    }
}
