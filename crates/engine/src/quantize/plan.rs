//! What does each tensor become, and how large is the file then? llama.cpp's own rules (`llama_tensor_get_type` of its
//! `llama-quant.cpp`) for the five quantizations that are made here, so that a size is known before anything is written. A
//! test holds the plan against what llama.cpp writes.

use super::Quantization;
use crate::gguf::{Gguf, Shape, Tensor, TensorKind};

/// What a file becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its tensors, in the order in which llama.cpp writes them.
    pub tensors: Vec<Planned>,
}

/// What one tensor becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The tensor as it will be, but for its place.
    pub tensor: Tensor,
    /// Whether its rows are no whole blocks of what was asked for, so that it gets another kind.
    pub fell_back: bool,
}

/// Parts of tensors' names whose numbers stay as they are.
const LEFT_ALONE: [&str; 4] =
    ["_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight"];

impl Plan {
    /// What `file` becomes. `weighed`: it is known which numbers matter.
    pub fn of(file: &Gguf, shape: &Shape, to: Quantization, weighed: bool) -> Self {
        let mut tensors: Vec<&Tensor> = file.tensors.iter().collect();
        tensors.sort_by_key(|tensor| (layer(&tensor.name).map_or(-1, |layer| layer as i64), &tensor.name));
        let touchy = tensors.iter().filter(|tensor| is_value(&tensor.name)).count() as u64;
        let mut rules = Rules {
            to,
            weighed,
            is_tied: file.tensor("output.weight").is_none(),
            experts: shape.experts,
            layers: shape.blocks,
            values: (0, touchy),
            downs: 0,
        };
        Self { tensors: tensors.into_iter().map(|tensor| rules.planned(tensor)).collect() }
    }

    /// Bytes of all tensors, each beginning at a multiple of `alignment`.
    pub fn bytes(&self, alignment: u64) -> u64 {
        let bytes = self.tensors.iter().filter_map(|planned| planned.tensor.bytes());
        bytes.map(|bytes| bytes.next_multiple_of(alignment)).fold(0, u64::saturating_add)
    }

    /// Tensors that get another kind than was asked for.
    pub fn fallbacks(&self) -> usize {
        self.tensors.iter().filter(|planned| planned.fell_back).count()
    }

    /// The table of tensors of the file there will be, to reckon its memory with. It has no metadata.
    pub fn file(&self) -> Gguf {
        let tensors = self.tensors.iter().map(|planned| planned.tensor.clone()).collect();
        let bytes = self.bytes(crate::gguf::ALIGNMENT);
        Gguf {
            version: 3,
            metadata: Vec::new(),
            tensors,
            alignment: crate::gguf::ALIGNMENT,
            data_start: 0,
            bytes,
        }
    }
}

/// What the rules look at, and count on the way.
struct Rules {
    to: Quantization,
    weighed: bool,
    /// Whether the first and the last matrix are one.
    is_tied: bool,
    experts: u64,
    layers: u64,
    /// Value projections: how many were met, and how many there are.
    values: (u64, u64),
    /// Second halves of feed-forwards that were met.
    downs: u64,
}

impl Rules {
    fn planned(&mut self, tensor: &Tensor) -> Planned {
        if !is_quantized(tensor) {
            return Planned { tensor: tensor.clone(), fell_back: false };
        }
        let row = tensor.sizes.first().copied().unwrap_or(0);
        let wanted = self.wanted(&tensor.name);
        let (kind, fell_back) = match () {
            () if is_whole(row, wanted) => (wanted, false),
            // The last matrix has a rule of its own.
            () if self.is_last(&tensor.name) => (fitting(row, TensorKind::Q8_0), true),
            () => (fitting(row, smaller_blocks(wanted)), true),
        };
        Planned { tensor: Tensor { kind, offset: 0, ..tensor.clone() }, fell_back }
    }

    /// The kind, whatever the tensor's rows are.
    fn wanted(&mut self, name: &str) -> TensorKind {
        let usual = self.to.usual_kind();
        let is_mixed = matches!(self.to, Quantization::Q4KM | Quantization::Q5KM);
        if self.is_last(name) {
            return if usual == TensorKind::Q8_0 { usual } else { TensorKind::Q6_K };
        }
        if is_value(name) {
            let (met, all) = self.values;
            self.values.0 += 1;
            return match () {
                () if self.experts == 8 => TensorKind::Q8_0,
                () if is_mixed && wants_more_bits(met, all) => TensorKind::Q6_K,
                () => usual,
            };
        }
        if name.contains("attn_k.weight") && self.experts == 8 {
            return TensorKind::Q8_0;
        }
        if name.contains("attn_output.weight") && self.experts == 8 && self.to == Quantization::Q4KM {
            return TensorKind::Q5_K;
        }
        if name.contains("ffn_down") {
            let met = if self.experts > 1 { layer(name).unwrap_or(0) } else { self.downs };
            self.downs += 1;
            return match () {
                () if is_mixed && wants_more_bits(met, self.layers) => TensorKind::Q6_K,
                () if self.to == Quantization::Q4_0 && self.weighed && met < self.layers / 8 => {
                    TensorKind::Q4_1
                }
                () => usual,
            };
        }
        usual
    }

    /// The matrix that says which token follows; where there is but one, it is also the first.
    fn is_last(&self, name: &str) -> bool {
        name == "output.weight" || (self.is_tied && name == "token_embd.weight")
    }
}

/// Whether a tensor is stored in fewer bits at all: matrices are, but for the few that are small and touchy.
fn is_quantized(tensor: &Tensor) -> bool {
    let is_matrix = tensor.sizes.iter().skip(1).any(|size| *size > 1);
    is_matrix && tensor.name.ends_with("weight") && !LEFT_ALONE.iter().any(|part| tensor.name.contains(part))
}

fn is_value(name: &str) -> bool {
    ["attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"].iter().any(|part| name.contains(part))
}

fn layer(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// The first and the last eighth of the layers, and every third between.
fn wants_more_bits(place: u64, of: u64) -> bool {
    place < of / 8 || place >= 7 * of / 8 || (place - of / 8) % 3 == 2
}

fn is_whole(row: u64, kind: TensorKind) -> bool {
    row.is_multiple_of(kind.block().0)
}

/// The kind of about as many bits whose blocks are 32 numbers.
fn smaller_blocks(kind: TensorKind) -> TensorKind {
    match kind {
        TensorKind::Q4_K => TensorKind::Q5_0,
        TensorKind::Q5_K => TensorKind::Q5_1,
        TensorKind::Q6_K => TensorKind::Q8_0,
        other => other,
    }
}

fn fitting(row: u64, kind: TensorKind) -> TensorKind {
    if is_whole(row, kind) { kind } else { TensorKind::F16 }
}
