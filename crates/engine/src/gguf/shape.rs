//! Is it a whole language model, and of which shape? What llama.cpp would find out by aborting is found out here.

use std::collections::HashSet;

use super::{Gguf, GgufError, Tensor, Value};

/// The shape of a language model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its architecture as llama.cpp names it, such as `llama` or `qwen3`.
    pub architecture: String,
    /// What the file calls it, where it does.
    pub name: Option<String>,
    /// Layers.
    pub blocks: u64,
    /// Numbers in a token's vector.
    pub width: u64,
    /// Tokens it was trained to look back on.
    pub context: u64,
    /// Query heads of each layer.
    pub heads: Vec<u64>,
    /// Key and value heads of each layer.
    pub kv_heads: Vec<u64>,
    /// Numbers in a key.
    pub key_width: u64,
    /// Numbers in a value.
    pub value_width: u64,
    /// Feed-forwards of each layer in a mixture; 0 in a model that is none.
    pub experts: u64,
    /// How many of them each token asks.
    pub experts_used: u64,
    /// Tokens it knows.
    pub vocabulary: u64,
    /// Numbers in all tensors together.
    pub parameters: u64,
    /// How most of its numbers are stored.
    pub stored_as: &'static str,
}

/// The files of one model can be this many at most; more is damage.
const MOST_BLOCKS: u64 = 4_096;

impl Shape {
    /// Reads it from a file's metadata and table of tensors.
    ///
    /// # Errors
    /// What is missing or doesn't fit together.
    pub fn of(file: &Gguf) -> Result<Self, GgufError> {
        let kind = file.get("general.type").and_then(Value::as_text).unwrap_or("model");
        if kind != "model" {
            return Err(GgufError::Unfit(format!("it holds a model's {kind}, not a model")));
        }
        if let Some(parts) = file.get("split.count").and_then(Value::as_whole).filter(|parts| *parts > 1) {
            return Err(GgufError::Unfit(format!(
                "it is one of {parts} parts, and parts are not read; merge them with llama.cpp's gguf-split"
            )));
        }
        let architecture = file.get("general.architecture").and_then(Value::as_text);
        let architecture = architecture.ok_or_else(|| missing("general.architecture"))?.to_owned();
        let keys = Keys { file, architecture: &architecture };
        let blocks = keys.at_least_one("block_count")?;
        if blocks > MOST_BLOCKS {
            return Err(GgufError::Unfit(format!("it should have {blocks} layers")));
        }
        let width = keys.at_least_one("embedding_length")?;
        let context = keys.at_least_one("context_length")?;
        let heads = keys
            .each_layer("attention.head_count", blocks)?
            .ok_or_else(|| missing(&keys.name("attention.head_count")))?;
        let kv_heads = keys.each_layer("attention.head_count_kv", blocks)?.unwrap_or_else(|| heads.clone());
        let widest = heads.iter().copied().max().unwrap_or(0);
        if widest == 0 || (kv_heads.iter().all(|heads| *heads == 0)) {
            return Err(GgufError::Unfit("it should have no attention heads at all".to_owned()));
        }
        for (heads, kv) in heads.iter().zip(&kv_heads) {
            if *heads > 0 && (*kv == 0 || heads % kv != 0) {
                return Err(GgufError::Unfit(format!("{heads} heads can't share {kv} of keys and values")));
            }
        }
        for key in ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"] {
            keys.not_negative(key)?;
        }
        let own_width = |key: &str| match keys.whole(key)? {
            Some(width) if width > 0 => Ok(width),
            Some(_) => Err(GgufError::Unfit(format!("`{}` is 0", keys.name(key)))),
            None if width.is_multiple_of(widest) => Ok(width / widest),
            None => Err(GgufError::Unfit(format!("a width of {width} can't be shared by {widest} heads"))),
        };
        let (key_width, value_width) =
            (own_width("attention.key_length")?, own_width("attention.value_length")?);
        let experts = keys.whole("expert_count")?.unwrap_or(0);
        let experts_used = keys.whole("expert_used_count")?.unwrap_or(0);
        if experts_used > experts || (experts > 0 && experts_used == 0) {
            return Err(GgufError::Unfit(format!(
                "each token can't ask {experts_used} of {experts} experts"
            )));
        }
        let vocabulary = vocabulary(file)?;
        check_tensors(file, blocks, width, vocabulary)?;
        Ok(Self {
            name: file.get("general.name").and_then(Value::as_text).map(str::to_owned),
            blocks,
            width,
            context,
            heads,
            kv_heads,
            key_width,
            value_width,
            experts,
            experts_used,
            vocabulary,
            parameters: file.tensors.iter().filter_map(Tensor::numbers).sum(),
            stored_as: stored_as(file),
            architecture,
        })
    }
}

/// The keys of one architecture.
struct Keys<'a> {
    file: &'a Gguf,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn whole(&self, key: &str) -> Result<Option<u64>, GgufError> {
        let name = self.name(key);
        let Some(value) = self.file.get(&name) else { return Ok(None) };
        let number = value.as_whole().filter(|number| *number <= u64::from(u32::MAX));
        number.map(Some).ok_or_else(|| GgufError::Unfit(format!("`{name}` is no whole number of 32 bits")))
    }

    fn at_least_one(&self, key: &str) -> Result<u64, GgufError> {
        match self.whole(key)? {
            Some(0) => Err(GgufError::Unfit(format!("`{}` is 0", self.name(key)))),
            Some(number) => Ok(number),
            None => Err(missing(&self.name(key))),
        }
    }

    /// Where there is such a number, it is one and not below 0: llama.cpp aborts at others when it computes.
    fn not_negative(&self, key: &str) -> Result<(), GgufError> {
        let name = self.name(key);
        match self.file.get(&name) {
            None => Ok(()),
            Some(Value::F32(number)) if number.is_finite() && *number >= 0.0 => Ok(()),
            Some(_) => Err(GgufError::Unfit(format!("`{name}` is no number from 0 on"))),
        }
    }

    /// A number for all layers, or one for each.
    fn each_layer(&self, key: &str, blocks: u64) -> Result<Option<Vec<u64>>, GgufError> {
        let name = self.name(key);
        let Some(values) = self.file.get(&name).and_then(Value::as_list) else {
            return Ok(self.whole(key)?.map(|number| vec![number; blocks as usize]));
        };
        let numbers: Option<Vec<u64>> = values.iter().map(Value::as_whole).collect();
        numbers.filter(|numbers| numbers.len() as u64 == blocks).map(Some).ok_or_else(|| {
            GgufError::Unfit(format!("`{name}` should have a whole number for each of {blocks} layers"))
        })
    }
}

/// How many tokens the vocabulary has; every token that is named must be one of them.
fn vocabulary(file: &Gguf) -> Result<u64, GgufError> {
    let tokens = file.get("tokenizer.ggml.tokens").and_then(Value::as_list);
    let model = file.get("tokenizer.ggml.model").and_then(Value::as_text);
    let (Some(tokens), Some(model)) = (tokens, model) else {
        return Err(GgufError::Unfit(
            "it has no vocabulary (`tokenizer.ggml.model` and `.tokens`)".to_owned(),
        ));
    };
    if tokens.is_empty() || tokens.iter().any(|token| token.as_text().is_none()) {
        return Err(GgufError::Unfit("its vocabulary is empty, or no list of texts".to_owned()));
    }
    for beside in ["scores", "token_type"] {
        let name = format!("tokenizer.ggml.{beside}");
        if let Some(values) = file.get(&name) {
            let fits = values.as_list().is_some_and(|values| values.len() == tokens.len());
            if !fits {
                return Err(GgufError::Unfit(format!("`{name}` has not one value for each token")));
            }
        }
    }
    if ["none", "no_vocab"].contains(&model) {
        return Err(GgufError::Unfit(format!(
            "its vocabulary is of the kind `{model}`, which no text can be read with"
        )));
    }
    check_texts(tokens, model)?;
    check_ends(file, model)?;
    if model == "gpt2" && file.get("tokenizer.ggml.merges").and_then(Value::as_list).is_none() {
        return Err(missing("tokenizer.ggml.merges"));
    }
    let named = file
        .metadata
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id"));
    for (key, value) in named {
        if value.as_whole().is_none_or(|token| token >= tokens.len() as u64) {
            return Err(GgufError::Unfit(format!("`{key}` is none of the {} tokens", tokens.len())));
        }
    }
    Ok(tokens.len() as u64)
}

/// llama.cpp aborts at a token that is there twice, and where SentencePiece's vocabulary has none for a byte that comes.
fn check_texts<'a>(tokens: &'a [Value], model: &str) -> Result<(), GgufError> {
    let mut seen = HashSet::new();
    // Texts that are no UTF-8 were replaced on reading, and may only look alike; empty ones get a name of their own.
    // A text ends for it where a byte of it is 0.
    let read = |text: &'a str| text.split('\0').next().unwrap_or_default();
    let whole = |text: &&str| !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER);
    for text in tokens.iter().filter_map(Value::as_text).map(read).filter(whole) {
        if !seen.insert(text) {
            return Err(GgufError::Unfit(format!("token `{text}` stands in its vocabulary twice")));
        }
    }
    let lacks = |byte: &u8| !seen.contains(format!("<0x{byte:02X}>").as_str());
    match (0..=u8::MAX).find(lacks).filter(|_| model == "llama") {
        Some(byte) => Err(GgufError::Unfit(format!("its vocabulary has no token for the byte 0x{byte:02X}"))),
        None => Ok(()),
    }
}

/// llama.cpp aborts where a text is to have a beginning or an end that isn't named. It knows two kinds' by itself.
fn check_ends(file: &Gguf, model: &str) -> Result<(), GgufError> {
    for end in ["bos", "eos"] {
        let (adds, token) =
            (format!("tokenizer.ggml.add_{end}_token"), format!("tokenizer.ggml.{end}_token_id"));
        let is_added = matches!(file.get(&adds), Some(Value::Bool(true)));
        if is_added && file.get(&token).is_none() && !["llama", "gpt2"].contains(&model) {
            return Err(missing(&token));
        }
    }
    Ok(())
}

/// As many layers as the metadata says, and a vector for each token.
fn check_tensors(file: &Gguf, blocks: u64, width: u64, vocabulary: u64) -> Result<(), GgufError> {
    let embeddings = file.tensor("token_embd.weight").ok_or_else(|| {
        GgufError::Unfit("it has no `token_embd.weight`: is it only a vocabulary?".to_owned())
    })?;
    if embeddings.sizes != [width, vocabulary] {
        return Err(GgufError::Unfit(format!(
            "`token_embd.weight` has sizes {:?}, and {width} numbers for each of {vocabulary} tokens were expected",
            embeddings.sizes
        )));
    }
    file.tensors.iter().try_for_each(check_kind)?;
    let mut has = vec![false; blocks as usize];
    for tensor in &file.tensors {
        let Some(number) = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()) else {
            continue;
        };
        match number.parse::<usize>().ok().and_then(|number| has.get_mut(number)) {
            Some(has) => *has = true,
            None => {
                return Err(GgufError::Unfit(format!(
                    "tensor `{}` belongs to no layer: it says that it has {blocks}",
                    tensor.name
                )));
            }
        }
    }
    match has.iter().position(|has| !has) {
        Some(layer) => Err(GgufError::Unfit(format!("layer {layer} of {blocks} has no tensors"))),
        None => Ok(()),
    }
}

/// Kinds that no product is reckoned with: whole numbers, 64 bits, and what others are rounded to on the way.
const NO_WEIGHTS: [&str; 7] = ["I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"];

/// llama.cpp checks what a tensor is stored as when it computes, by ending the process.
fn check_kind(tensor: &Tensor) -> Result<(), GgufError> {
    let (name, kind) = (&tensor.name, tensor.kind.name());
    let is_added = [".bias", "_norm.weight"].iter().any(|end| name.ends_with(end));
    match NO_WEIGHTS.contains(&kind) || (is_added && kind != "F32") {
        true => {
            Err(GgufError::Unfit(format!("tensor `{name}` is stored as {kind}, which isn't computed with")))
        }
        false => Ok(()),
    }
}

/// The kind that holds most of the file's bytes.
fn stored_as(file: &Gguf) -> &'static str {
    let bytes = |name: &str| -> u64 {
        file.tensors.iter().filter(|tensor| tensor.kind.name() == name).filter_map(Tensor::bytes).sum()
    };
    file.tensors.iter().map(|tensor| tensor.kind.name()).max_by_key(|name| bytes(name)).unwrap_or("nothing")
}

fn missing(key: &str) -> GgufError {
    GgufError::Unfit(format!("its metadata lacks `{key}`"))
}
