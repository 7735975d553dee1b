//! What does PEFT call the model's matrices, and how does it order their rows? PEFT has transformers' names and order, GGUF
//! those of llama.cpp's `convert_hf_to_gguf.py`.

/// Architectures whose names are known, as GGUF has them.
pub const ARCHITECTURES: [&str; 8] =
    ["llama", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3", "phi2", "phi3"];

/// Those whose queries and keys GGUF orders anew: llama.cpp turns neighbouring numbers together, transformers those that are
/// half a head apart.
const TURNED: [&str; 2] = ["llama", "smollm3"];

/// A module of a layer, with GGUF's name for its matrix.
const MODULES: [(&str, &str); 12] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.dense", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.fc2", "ffn_down"),
];

/// One of the model's matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its layer.
    pub layer: usize,
    /// Its name in the layer, as GGUF has it.
    pub name: &'static str,
}

impl Matrix {
    /// What transformers calls `model.layers.LAYER.MODULE`; `None` of what is no matrix of a layer.
    pub fn of(module: &str) -> Option<Self> {
        let (layer, module) = module.strip_prefix("model.layers.")?.split_once('.')?;
        let (_, name) = MODULES.iter().find(|(theirs, _)| *theirs == module)?;
        Some(Self { layer: layer.parse().ok()?, name })
    }

    /// The name of its tensor.
    pub fn tensor(&self) -> String {
        format!("blk.{}.{}.weight", self.layer, self.name)
    }

    /// Whose heads its rows belong to, where GGUF orders them anew.
    pub fn turned(&self, architecture: &str) -> Option<Heads> {
        match self.name {
            _ if !TURNED.contains(&architecture) => None,
            "attn_q" => Some(Heads::Queries),
            "attn_k" => Some(Heads::Keys),
            _ => None,
        }
    }
}

/// Which heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Those of queries.
    Queries,
    /// Those of keys, which queries may share.
    Keys,
}

/// Rows of `row` bytes each in GGUF's order; `None` where they are no whole number of pairs for each of the heads.
pub fn turn(rows: &[u8], row: usize, heads: usize) -> Option<Vec<u8>> {
    let count = rows.len().checked_div(row)?;
    let width = count.checked_div(heads)?;
    if !rows.len().is_multiple_of(row) || count % heads != 0 || width % 2 != 0 {
        return None;
    }
    let (half, mut turned) = (width / 2, Vec::with_capacity(rows.len()));
    for head in 0..heads {
        for pair in 0..half {
            for side in 0..2 {
                let from = (head * width + side * half + pair) * row;
                turned.extend_from_slice(&rows[from..from + row]);
            }
        }
    }
    Some(turned)
}
