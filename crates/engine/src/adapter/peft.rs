//! What has PEFT written? `adapter_config.json` says how the matrices in `adapter_model.safetensors` are meant; they are written
//! into a GGUF file as llama.cpp reads them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tempfile::NamedTempFile;

use super::AdapterError;
use super::names::{ARCHITECTURES, Heads, Matrix, turn};
use crate::gguf::write::{Stored, write};
use crate::gguf::{Gguf, Shape, TensorKind, Value};

/// The longest file that is read, in bytes: all of it is in memory for a moment.
const LONGEST: u64 = 4 << 30;
/// The same of a configuration.
const LONGEST_CONFIG: u64 = 1 << 20;

/// What is read of `adapter_config.json`. The rest says how it was trained.
#[derive(Debug, Deserialize)]
struct Config {
    peft_type: String,
    r: u32,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    lora_bias: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    init_lora_weights: Option<Json>,
    modules_to_save: Option<Vec<String>>,
    rank_pattern: Option<Map<String, Json>>,
    alpha_pattern: Option<Map<String, Json>>,
    layer_replication: Option<Vec<Json>>,
    target_parameters: Option<Vec<String>>,
    trainable_token_indices: Option<Json>,
    alora_invocation_tokens: Option<Vec<Json>>,
}

impl Config {
    fn read(file: &Path) -> Result<Self, AdapterError> {
        let config: Self = serde_json::from_slice(&read(file, LONGEST_CONFIG)?)
            .map_err(|error| AdapterError::Foreign(format!("adapter_config.json: {error}")))?;
        match config.cant() {
            Some(why) => Err(AdapterError::Unfit(why)),
            None => Ok(config),
        }
    }

    /// What GGUF can't say, or llama.cpp doesn't do.
    fn cant(&self) -> Option<String> {
        let none = |list: &Option<Vec<Json>>| list.as_ref().is_none_or(Vec::is_empty);
        let no_names = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
        let has_pattern =
            |pattern: &Option<Map<String, Json>>| pattern.as_ref().is_some_and(|map| !map.is_empty());
        // Others change the model's own weights before training begins.
        let leaves_model = match &self.init_lora_weights {
            None | Some(Json::Bool(_) | Json::Null) => true,
            Some(way) => ["gaussian", "eva", "orthogonal"].contains(&way.as_str().unwrap_or("")),
        };
        let told = |why: &str| Some(why.to_owned());
        match self {
            _ if self.peft_type != "LORA" => {
                Some(format!("`peft_type` is `{}`, and `LORA` can be used", self.peft_type))
            }
            _ if self.r == 0 => told("`r` is 0"),
            _ if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) => {
                Some(format!("`lora_alpha` is {}, and should be above 0", self.lora_alpha))
            }
            _ if self.use_dora => {
                told("it is a DoRA adapter (`use_dora`), which llama.cpp doesn't run; train it without")
            }
            _ if self.lora_bias || self.bias.as_deref().is_some_and(|bias| bias != "none") => told(
                "it adapts biases (`bias`, `lora_bias`), which GGUF doesn't hold; train it with `bias = \"none\"`",
            ),
            _ if self.fan_in_fan_out => {
                told("its matrices lie on their side (`fan_in_fan_out`), as GPT-2's do")
            }
            _ if !no_names(&self.modules_to_save) => told(
                "it brings whole modules of its own (`modules_to_save`); merge it into the model instead",
            ),
            _ if !no_names(&self.target_parameters) => {
                told("it adapts single parameters (`target_parameters`)")
            }
            _ if !none(&self.layer_replication) => told("it repeats layers (`layer_replication`)"),
            _ if !none(&self.alora_invocation_tokens) => {
                told("it is to begin in the middle of a text (aLoRA)")
            }
            _ if self.trainable_token_indices.as_ref().is_some_and(|tokens| !tokens.is_null()) => {
                told("it adapts the vectors of tokens (`trainable_token_indices`)")
            }
            _ if !leaves_model => {
                let way = self.init_lora_weights.as_ref().and_then(Json::as_str).unwrap_or("?");
                Some(format!(
                    "`init_lora_weights` is `{way}`, which changed the model too; save it converted to plain LoRA"
                ))
            }
            _ if has_pattern(&self.alpha_pattern) => {
                told("its matrices have scales of their own (`alpha_pattern`), and GGUF has one for all")
            }
            _ if self.use_rslora && has_pattern(&self.rank_pattern) => told(
                "its matrices have ranks of their own (`rank_pattern`) and are scaled by their roots (`use_rslora`): GGUF can't say that",
            ),
            _ => None,
        }
    }

    /// What GGUF divides by the rank to get the scale: rank-stabilised LoRA divides by its root instead.
    fn alpha(&self) -> f64 {
        if self.use_rslora { self.lora_alpha * f64::from(self.r).sqrt() } else { self.lora_alpha }
    }

    /// Whether a matrix may have this rank.
    fn allows(&self, rank: usize) -> bool {
        rank == self.r as usize
            || self.rank_pattern.as_ref().is_some_and(|map| map.values().any(|own| own == rank))
    }
}

/// Converts what lies in `folder`.
///
/// # Errors
/// What of it can't be converted, or is none of the model's.
pub fn convert(folder: &Path, base: &Gguf) -> Result<NamedTempFile, AdapterError> {
    let shape = Shape::of(base)?;
    let architecture = shape.architecture.as_str();
    if !ARCHITECTURES.contains(&architecture) {
        let known = ARCHITECTURES.join(", ");
        return Err(AdapterError::Unfit(format!(
            "PEFT's names are known here for {known}, and the model is a {architecture}; convert it with llama.cpp's convert_lora_to_gguf.py"
        )));
    }
    let config = Config::read(&folder.join("adapter_config.json"))?;
    let bytes = read(&folder.join("adapter_model.safetensors"), LONGEST)?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| foreign(format!("adapter_model.safetensors: {error}")))?;
    let mut stored = BTreeMap::new();
    for (name, tensor) in tensors.iter() {
        let tensor = convert_tensor(name, &tensor, &config, &shape)?;
        if let Some(twice) = stored.insert(tensor.name.clone(), tensor) {
            return Err(foreign(format!("`{}` stands there twice", twice.name)));
        }
    }
    let stored: Vec<Stored> = stored.into_values().collect();
    let metadata = [
        ("general.type", Value::text("adapter")),
        ("general.architecture", Value::text(architecture)),
        ("adapter.type", Value::text("lora")),
        ("adapter.lora.alpha", Value::F32(config.alpha() as f32)),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    let file = tempfile::Builder::new().prefix("sprat-adapter-").suffix(".gguf").tempfile()?;
    write(BufWriter::new(file.as_file()), &metadata, &stored)?;
    Ok(file)
}

/// One matrix of PEFT's, as GGUF has it.
fn convert_tensor(
    name: &str,
    tensor: &TensorView<'_>,
    config: &Config,
    shape: &Shape,
) -> Result<Stored, AdapterError> {
    let (module, side) = module(name)?;
    let Some(matrix) = Matrix::of(module) else {
        return Err(AdapterError::Unfit(format!(
            "it adapts `{module}`, and only the matrices of attention and feed-forward can be"
        )));
    };
    let &[rows, columns] = tensor.shape() else {
        return Err(foreign(format!(
            "`{name}` has the shape {:?}, and a matrix was expected",
            tensor.shape()
        )));
    };
    let (rank, end) = match side {
        Side::A => (rows, "lora_a"),
        Side::B => (columns, "lora_b"),
    };
    if !config.allows(rank) {
        return Err(foreign(format!(
            "`{name}` has the rank {rank}, and adapter_config.json says {}",
            config.r
        )));
    }
    let mut numbers = numbers(name, tensor)?;
    if let (Side::B, Some(whose)) = (side, matrix.turned(&shape.architecture)) {
        let heads = match whose {
            Heads::Queries => &shape.heads,
            Heads::Keys => &shape.kv_heads,
        };
        let heads = heads.get(matrix.layer).and_then(|heads| usize::try_from(*heads).ok());
        numbers = heads.and_then(|heads| turn(&numbers, columns * 4, heads)).ok_or_else(|| {
            AdapterError::Unfit(format!(
                "`{name}` has {rows} rows, which the heads of the model's layer can't share"
            ))
        })?;
    }
    let name = format!("{}.{end}", matrix.tensor());
    Ok(Stored { name, sizes: vec![columns as u64, rows as u64], kind: TensorKind::F32, bytes: numbers })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// The module that a tensor belongs to, and which of its two matrices it is.
fn module(name: &str) -> Result<(&str, Side), AdapterError> {
    let own = name.strip_prefix("base_model.model.").unwrap_or(name);
    let sides = [(".lora_A.weight", Side::A), (".lora_B.weight", Side::B)];
    let found = sides.iter().find_map(|(end, side)| own.strip_suffix(end).map(|module| (module, *side)));
    found.ok_or_else(|| {
        AdapterError::Unfit(format!(
            "it holds `{name}`, which is no matrix of a plain LoRA adapter (`lora_A.weight`, `lora_B.weight`)"
        ))
    })
}

/// Its numbers in 32 bits, little-endian: so a product with them is not rounded anew.
fn numbers(name: &str, tensor: &TensorView<'_>) -> Result<Vec<u8>, AdapterError> {
    let halves = |read: fn([u8; 2]) -> f32| {
        tensor.data().chunks_exact(2).flat_map(|two| read([two[0], two[1]]).to_le_bytes()).collect()
    };
    match tensor.dtype() {
        Dtype::F32 => Ok(tensor.data().to_vec()),
        Dtype::F16 => Ok(halves(|two| half::f16::from_le_bytes(two).to_f32())),
        Dtype::BF16 => Ok(halves(|two| half::bf16::from_le_bytes(two).to_f32())),
        other => Err(foreign(format!("`{name}` is stored as {other:?}, and F32, F16 and BF16 are read"))),
    }
}

fn read(file: &Path, longest: u64) -> Result<Vec<u8>, AdapterError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named = |error: std::io::Error| foreign(format!("{name}: {error}"));
    let mut bytes = Vec::new();
    let read = File::open(file).map_err(named)?.take(longest + 1).read_to_end(&mut bytes).map_err(named)?;
    match read as u64 > longest {
        true => Err(foreign(format!("{name} is longer than {longest} bytes"))),
        false => Ok(bytes),
    }
}

fn foreign(why: String) -> AdapterError {
    AdapterError::Foreign(why)
}
