//! What is in a model's folder? Read from its small files and the headers of its weights, without loading it and
//! whatever its architecture.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use sprat_task::Problem;

use super::cache::MANIFEST;
use super::digest::sha256_of;

/// What a model's folder says of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contents {
    /// The class that its makers load it with, such as `BertModel`.
    pub architecture: Option<String>,
    /// The family, such as `bert`.
    pub model_type: Option<String>,
    /// Transformer layers.
    pub layers: Option<u64>,
    /// Numbers in a token's vector.
    pub hidden_size: Option<u64>,
    /// Attention heads.
    pub attention_heads: Option<u64>,
    /// Numbers that were trained.
    pub parameters: u64,
    /// The types of those numbers, such as `F32`, the most frequent first.
    pub dtypes: Vec<String>,
    /// How token vectors become one: `mean`, `cls`, …; `None` where the model doesn't say.
    pub pooling: Option<String>,
    /// Whether that vector is scaled to length 1.
    pub normalizes: bool,
    /// The longest text in tokens.
    pub max_tokens: Option<u64>,
    /// How text becomes tokens, such as `WordPiece`.
    pub tokenizer: Option<String>,
    /// How many tokens there are.
    pub vocabulary: Option<u64>,
    /// Bytes of all files in the folder.
    pub size_bytes: u64,
    /// The files that hold the weights.
    pub weights: Vec<WeightsFile>,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightsFile {
    /// Its name in the folder.
    pub name: String,
    /// Bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, as they are now.
    pub sha256: String,
}

/// A larger header than any model has: a file that says more is none.
const MOST_HEADER_BYTES: u64 = 100 << 20;

/// Larger than any tokenizer.
const MOST_JSON_BYTES: u64 = 64 << 20;

/// More tokens than any model takes: how some makers write "no limit".
const NO_LIMIT: u64 = 1 << 32;

impl Contents {
    /// Looks into a folder. The files of weights are read through once, for their hash.
    ///
    /// # Errors
    /// A folder without `config.json` or weights in safetensors; JSON that is none; weights that are cut off.
    pub fn read(folder: &Path) -> Result<Self, Problem> {
        let config = json(folder, "config.json")?.ok_or_else(|| {
            Problem::in_file(folder.display(), "there is no config.json: this is not the folder of a model")
        })?;
        let number = |key: &str| config.get(key).and_then(Value::as_u64);
        let (parameters, dtypes, weights) = read_weights(folder)?;
        let tokenizer = json(folder, "tokenizer.json")?;
        Ok(Self {
            architecture: word(config.get("architectures").and_then(|all| all.get(0))),
            model_type: word(config.get("model_type")),
            layers: number("num_hidden_layers"),
            hidden_size: number("hidden_size"),
            attention_heads: number("num_attention_heads"),
            parameters,
            dtypes,
            pooling: pooling(folder)?,
            normalizes: normalizes(folder)?,
            max_tokens: max_tokens(folder, &config)?,
            tokenizer: word(tokenizer.as_ref().and_then(|file| file.get("model")?.get("type"))),
            vocabulary: tokenizer.as_ref().and_then(vocabulary).or(number("vocab_size")),
            size_bytes: size(folder),
            weights,
        })
    }
}

fn word(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

/// A JSON object; `None` where there is no such file.
fn json(folder: &Path, name: &str) -> Result<Option<Map<String, Value>>, Problem> {
    let path = folder.join(name);
    match value(&path)? {
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Problem::in_file(path.display(), "the file is not a JSON object")),
        None => Ok(None),
    }
}

fn value(path: &Path) -> Result<Option<Value>, Problem> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut text = Vec::new();
    let read = file.take(MOST_JSON_BYTES).read_to_end(&mut text);
    read.map_err(|error| Problem::in_file(path.display(), format!("the file can't be read: {error}")))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        Problem::in_file(path.display(), format!("the file is not JSON: {error}"))
            .hint("fetch the model again")
    })
}

fn pooling(folder: &Path) -> Result<Option<String>, Problem> {
    let Some(config) = json(folder, "1_Pooling/config.json")? else { return Ok(None) };
    let said = word(config.get("pooling_mode"));
    let flags = config.iter().filter(|(_, on)| **on == Value::Bool(true));
    let modes = flags.filter_map(|(key, _)| key.strip_prefix("pooling_mode_"));
    let modes: Vec<&str> =
        modes.map(|mode| mode.trim_end_matches("_tokens").trim_end_matches("_token")).collect();
    Ok(said.or_else(|| (!modes.is_empty()).then(|| modes.join(" + "))))
}

/// Whether `modules.json` ends with the module that scales vectors to length 1.
fn normalizes(folder: &Path) -> Result<bool, Problem> {
    let modules = value(&folder.join("modules.json"))?;
    let modules = modules.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kinds = modules.iter().filter_map(|module| module.get("type")?.as_str());
    Ok(kinds.into_iter().any(|kind| kind.ends_with(".Normalize")))
}

fn max_tokens(folder: &Path, config: &Map<String, Value>) -> Result<Option<u64>, Problem> {
    let sentence = json(folder, "sentence_bert_config.json")?;
    let tokenizer = json(folder, "tokenizer_config.json")?;
    let said = |file: &Option<Map<String, Value>>, key: &str| file.as_ref()?.get(key)?.as_u64();
    Ok(said(&sentence, "max_seq_length")
        .or_else(|| said(&tokenizer, "model_max_length").filter(|most| *most < NO_LIMIT))
        .or_else(|| config.get("max_position_embeddings").and_then(Value::as_u64)))
}

fn vocabulary(tokenizer: &Map<String, Value>) -> Option<u64> {
    match tokenizer.get("model")?.get("vocab")? {
        Value::Object(tokens) => Some(tokens.len() as u64),
        Value::Array(tokens) => Some(tokens.len() as u64),
        _ => None,
    }
}

type Weights = (u64, Vec<String>, Vec<WeightsFile>);

fn read_weights(folder: &Path) -> Result<Weights, Problem> {
    let mut names: Vec<String> = names(folder);
    names.retain(|name| name.ends_with(".safetensors"));
    // Where the whole is there, shards beside it are the same numbers again.
    if names.iter().any(|name| name == "model.safetensors") {
        names.retain(|name| name == "model.safetensors");
    }
    if names.is_empty() {
        return Err(Problem::in_file(folder.display(), "there are no weights here")
            .allowed("model.safetensors, or its shards"));
    }
    let (mut of_dtype, mut files) = (BTreeMap::<String, u64>::new(), Vec::new());
    for name in names {
        let path = folder.join(&name);
        let size_bytes = header(&path, &mut of_dtype)?;
        let hash = sha256_of(&path)
            .map_err(|error| Problem::in_file(path.display(), format!("the file can't be read: {error}")))?;
        files.push(WeightsFile { name, size_bytes, sha256: hash.to_string().replace("sha256:", "") });
    }
    let parameters = of_dtype.values().sum();
    let mut dtypes: Vec<(String, u64)> = of_dtype.into_iter().collect();
    dtypes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok((parameters, dtypes.into_iter().map(|(dtype, _)| dtype).collect(), files))
}

/// Counts the numbers of each type by the header of a safetensors file; gives the file's length. The header is a length
/// in 8 bytes and then JSON (the format's own description).
fn header(path: &Path, of_dtype: &mut BTreeMap<String, u64>) -> Result<u64, Problem> {
    let damaged = |why: String| {
        Problem::in_file(path.display(), why)
            .allowed("a whole safetensors file")
            .hint("fetch the model again")
    };
    let unreadable = |error: std::io::Error| damaged(format!("the file can't be read: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| damaged(format!("the file is cut off after {size} bytes")))?;
    let length = u64::from_le_bytes(length);
    if length > MOST_HEADER_BYTES || length > size.saturating_sub(8) {
        return Err(damaged(format!(
            "the file is cut off or damaged: {size} bytes, of which {length} are its header"
        )));
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(unreadable)?;
    let tensors: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("its header can't be read: {error}")))?;
    let mut end = 0;
    for (name, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__") {
        let read = || {
            let shape = tensor.get("shape")?.as_array()?;
            let count = shape.iter().try_fold(1u64, |all, size| all.checked_mul(size.as_u64()?))?;
            Some((tensor.get("dtype")?.as_str()?, count, tensor.get("data_offsets")?.get(1)?.as_u64()?))
        };
        let (dtype, count, last) =
            read().ok_or_else(|| damaged(format!("its header has no sizes of tensor `{name}`")))?;
        let of_this = of_dtype.entry(dtype.to_owned()).or_default();
        *of_this = of_this.saturating_add(count);
        end = end.max(last);
    }
    let expected = end.saturating_add(8 + length);
    if size == expected {
        return Ok(size);
    }
    Err(damaged(format!("the file has {size} bytes where its header says {expected}")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Bytes of the model's files in a folder and one level below it, which is as deep as models go.
fn size(folder: &Path) -> u64 {
    let of = |path: &Path| match std::fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    let below = |name: &String| {
        let path = folder.join(name);
        of(&path) + names(&path).iter().map(|inner| of(&path.join(inner))).sum::<u64>()
    };
    names(folder).iter().filter(|name| *name != MANIFEST).map(below).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of two tensors: six numbers in f32, and four in f16.
    fn model() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("config.json", br#"{"architectures":["BertModel"],"model_type":"bert","num_hidden_layers":6,"hidden_size":384,"num_attention_heads":12,"max_position_embeddings":512}"#);
        write("tokenizer.json", br#"{"model":{"type":"WordPiece","vocab":{"a":0,"b":1}}}"#);
        write("modules.json", br#"[{"type":"sentence_transformers.models.Transformer"},{"type":"sentence_transformers.models.Normalize"}]"#);
        write("sentence_bert_config.json", br#"{"max_seq_length":256}"#);
        std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        write(
            "1_Pooling/config.json",
            br#"{"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true}"#,
        );
        write("model.safetensors", &weights());
        folder
    }

    fn weights() -> Vec<u8> {
        let header = br#"{"__metadata__":{},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 32]].concat()
    }

    #[test]
    fn a_folder_says_what_model_it_holds() {
        let folder = model();
        let contents = Contents::read(folder.path()).unwrap();
        assert_eq!(contents.architecture.as_deref(), Some("BertModel"));
        assert_eq!(
            (contents.layers, contents.hidden_size, contents.attention_heads),
            (Some(6), Some(384), Some(12))
        );
        assert_eq!((contents.parameters, contents.dtypes.join(" ")), (10, "F32 F16".to_owned()));
        assert_eq!((contents.pooling.as_deref(), contents.normalizes), (Some("mean"), true));
        assert_eq!((contents.max_tokens, contents.vocabulary), (Some(256), Some(2)));
        assert_eq!(contents.tokenizer.as_deref(), Some("WordPiece"));
        assert_eq!(contents.weights[0].size_bytes, weights().len() as u64);
        assert_eq!(contents.weights[0].sha256.len(), 64);
        assert!(contents.size_bytes > contents.weights[0].size_bytes);
    }

    #[test]
    fn weights_that_are_cut_off_anywhere_are_said_to_be() {
        let whole = weights();
        for length in 0..whole.len() {
            let folder = model();
            std::fs::write(folder.path().join("model.safetensors"), &whole[..length]).unwrap();
            let problem = Contents::read(folder.path()).expect_err("cut off").to_string();
            assert!(
                problem.contains("model.safetensors") && problem.contains("fetch the model again"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_header_that_lies_is_no_reason_to_fall_over() {
        let lies: [&[u8]; 5] = [
            br#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
            br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#,
            br#"{"a":{"dtype":"F32"}}"#,
            br#"{"a":7}"#,
            b"[]",
        ];
        for lie in lies {
            let folder = model();
            let bytes = [&(lie.len() as u64).to_le_bytes()[..], lie].concat();
            std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
            Contents::read(folder.path()).expect_err("a lie");
        }
        let folder = model();
        std::fs::write(folder.path().join("model.safetensors"), [255; 16]).unwrap();
        Contents::read(folder.path()).expect_err("a length without end");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (file, said) in [("config.json", "no config.json"), ("model.safetensors", "no weights")] {
            let folder = model();
            std::fs::remove_file(folder.path().join(file)).unwrap();
            let problem = Contents::read(folder.path()).expect_err(file).to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
