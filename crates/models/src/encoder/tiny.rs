//! Is there an encoder small enough for a test? A whole model folder whose numbers were drawn by lot: it has learned
//! nothing, and computes like any other. `tests/golden.py` draws the same numbers.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use sprat_task::Problem;

use super::weights::shapes;
use super::{Activation, EncoderConfig, Parameter, Weights};

/// The shape of the tiny encoder: nothing in it is a multiple of a vector register.
pub const CONFIG: EncoderConfig = EncoderConfig {
    layers: 2,
    hidden: 30,
    heads: 3,
    intermediate: 52,
    vocabulary: 64,
    positions: 40,
    segments: 2,
    first_position: 0,
    norm_epsilon: 1e-12,
    activation: Activation::Gelu,
};

/// The words it knows besides single letters.
const WORDS: [&str; 7] = ["card", "refund", "where", "is", "my", "the", "lost"];

/// Writes the tiny encoder into a folder, its weights drawn from `seed`.
///
/// # Errors
/// What the operating system says.
pub fn write(folder: &Path, seed: u64) -> Result<(), Problem> {
    let pooling = json!({"word_embedding_dimension": CONFIG.hidden, "pooling_mode": "mean"});
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    ]);
    let files = [
        ("config.json", config_file()),
        ("tokenizer.json", tokenizer_file()),
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", json!({"max_seq_length": 24, "do_lower_case": false})),
    ];
    let written = fs::create_dir_all(folder.join("1_Pooling"))
        .and_then(|()| files.iter().try_for_each(|(name, content)| write_json(&folder.join(name), content)));
    written.map_err(|error| {
        Problem::in_file(folder.display(), format!("the tiny encoder can't be written: {error}"))
    })?;
    weights(&CONFIG, seed).save(&folder.join("model.safetensors"))
}

/// Weights of any shape, drawn from `seed`: gains of layer normalisations around 1, everything else around 0, large
/// enough that a wrong one shows.
pub fn weights(config: &EncoderConfig, seed: u64) -> Weights {
    let mut drawn = (0_u64..).map(|place| uniform(seed.wrapping_add(place)));
    let parameters = shapes(config).map(|(name, shape)| {
        let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let count = shape.iter().product();
        let data = drawn.by_ref().take(count).map(|number| centre + number / 4.0).collect();
        Parameter { name, shape, data }
    });
    Weights::new(config, parameters.collect()).unwrap_or_else(|_| unreachable!("the shapes are the config's"))
}

/// SplitMix64's output for one state, as a number from -1 up to 1.
fn uniform(state: u64) -> f32 {
    let mut bits = state.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

fn write_json(path: &Path, content: &Value) -> io::Result<()> {
    fs::write(path, content.to_string())
}

fn config_file() -> Value {
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": CONFIG.hidden,
        "intermediate_size": CONFIG.intermediate,
        "layer_norm_eps": CONFIG.norm_epsilon,
        "max_position_embeddings": CONFIG.positions,
        "num_attention_heads": CONFIG.heads,
        "num_hidden_layers": CONFIG.layers,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": CONFIG.segments,
        "vocab_size": CONFIG.vocabulary,
    })
}

/// WordPiece over the words above and single letters, as BERT's tokenizers are written down.
fn tokenizer_file() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let letters: Vec<String> = letters.take(CONFIG.vocabulary - special.len() - WORDS.len()).collect();
    let tokens = special.iter().chain(&WORDS).map(|token| (*token).to_owned()).chain(letters);
    let vocabulary: Map<String, Value> =
        tokens.zip(0..).map(|(token, id)| (token, Value::from(id))).collect();
    let added: Vec<Value> = special
        .iter()
        .zip(0..)
        .map(|(token, id)| {
            json!({"id": id, "content": token, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    let around = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [around("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, around("[SEP]")],
            "pair": [around("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, around("[SEP]"),
                     {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}
            }
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary}
    })
}
