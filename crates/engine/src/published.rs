//! How large are the public models that run here? Their shapes as their makers publish them (`config.json`), so that it can be
//! reckoned which of them fits before anything is fetched. None of their weights was seen here.

use crate::gguf::{ALIGNMENT, Gguf, Shape, Tensor, TensorKind};

/// When the table was last looked at.
pub const AS_OF: &str = "2026-11-21";

/// A public model's shape.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// What it is called.
    pub name: &'static str,
    /// Its architecture as llama.cpp names it.
    pub architecture: &'static str,
    /// Layers.
    pub blocks: u64,
    /// Numbers in a token's vector.
    pub width: u64,
    /// Heads of attention.
    pub heads: u64,
    /// Heads of keys and values.
    pub kv_heads: u64,
    /// Numbers in a key, and in a value.
    pub head_width: u64,
    /// Numbers inside a feed-forward.
    pub inside: u64,
    /// Tokens it knows.
    pub vocabulary: u64,
    /// Whether its first matrix is also its last.
    pub is_tied: bool,
    /// Feed-forwards of each layer in a mixture, and how many each token asks; else 0.
    pub experts: (u64, u64),
    /// Tokens it was trained to look back on.
    pub context: u64,
}

/// A row of the table: name, architecture, layers, width, heads, key and value heads, width of a head, inside, vocabulary,
/// whether it is tied, context.
type Row = (&'static str, &'static str, u64, u64, u64, u64, u64, u64, u64, bool, u64);

/// The smallest first. The one mixture among them is known by its name.
const TABLE: [Row; 26] = [
    ("SmolLM2 135M", "llama", 30, 576, 9, 3, 64, 1_536, 49_152, true, 8_192),
    ("SmolLM2 360M", "llama", 32, 960, 15, 5, 64, 2_560, 49_152, true, 8_192),
    ("Qwen 2.5 0.5B", "qwen2", 24, 896, 14, 2, 64, 4_864, 151_936, true, 32_768),
    ("Qwen 3 0.6B", "qwen3", 28, 1_024, 16, 8, 128, 3_072, 151_936, true, 40_960),
    ("Gemma 3 1B", "gemma3", 26, 1_152, 4, 1, 256, 6_912, 262_144, true, 32_768),
    ("TinyLlama 1.1B", "llama", 22, 2_048, 32, 4, 64, 5_632, 32_000, false, 2_048),
    ("Llama 3.2 1B", "llama", 16, 2_048, 32, 8, 64, 8_192, 128_256, true, 131_072),
    ("DeepSeek-Coder 1.3B", "llama", 24, 2_048, 16, 16, 128, 5_504, 32_256, false, 16_384),
    ("Qwen 2.5 1.5B", "qwen2", 28, 1_536, 12, 2, 128, 8_960, 151_936, true, 32_768),
    ("SmolLM2 1.7B", "llama", 24, 2_048, 32, 32, 64, 8_192, 49_152, true, 8_192),
    ("Qwen 3 1.7B", "qwen3", 28, 2_048, 16, 8, 128, 6_144, 151_936, true, 40_960),
    ("Gemma 2 2B", "gemma2", 26, 2_304, 8, 4, 256, 9_216, 256_000, true, 8_192),
    ("Phi-2", "phi2", 32, 2_560, 32, 32, 80, 10_240, 51_200, false, 2_048),
    ("SmolLM3 3B", "smollm3", 36, 2_048, 16, 4, 128, 11_008, 128_256, true, 65_536),
    ("Qwen 2.5 3B", "qwen2", 36, 2_048, 16, 2, 128, 11_008, 151_936, true, 32_768),
    ("Llama 3.2 3B", "llama", 28, 3_072, 24, 8, 128, 8_192, 128_256, true, 131_072),
    ("Phi-3 mini 4k", "phi3", 32, 3_072, 32, 32, 96, 8_192, 32_064, false, 4_096),
    ("Gemma 3 4B (its text)", "gemma3", 34, 2_560, 8, 4, 256, 10_240, 262_208, true, 131_072),
    ("Qwen 3 4B", "qwen3", 36, 2_560, 32, 8, 128, 9_728, 151_936, true, 40_960),
    ("DeepSeek-Coder 6.7B", "llama", 32, 4_096, 32, 32, 128, 11_008, 32_256, false, 16_384),
    ("Mistral 7B v0.3", "llama", 32, 4_096, 32, 8, 128, 14_336, 32_768, false, 32_768),
    ("Qwen 2.5 7B", "qwen2", 28, 3_584, 28, 4, 128, 18_944, 152_064, false, 32_768),
    ("Llama 3.1 8B", "llama", 32, 4_096, 32, 8, 128, 14_336, 128_256, false, 131_072),
    ("Qwen 3 8B", "qwen3", 36, 4_096, 32, 8, 128, 12_288, 151_936, false, 40_960),
    ("Gemma 2 9B", "gemma2", 42, 3_584, 16, 8, 256, 14_336, 256_000, true, 8_192),
    (MIXTURE, "llama", 32, 4_096, 32, 8, 128, 14_336, 32_000, false, 32_768),
];

const MIXTURE: &str = "Mixtral 8x7B";

/// All of them, the smallest first.
pub fn all() -> impl Iterator<Item = Published> {
    TABLE.into_iter().map(|row| {
        let (
            name,
            architecture,
            blocks,
            width,
            heads,
            kv_heads,
            head_width,
            inside,
            vocabulary,
            is_tied,
            context,
        ) = row;
        let experts = if name == MIXTURE { (8, 2) } else { (0, 0) };
        Published {
            name,
            architecture,
            blocks,
            width,
            heads,
            kv_heads,
            head_width,
            inside,
            vocabulary,
            is_tied,
            experts,
            context,
        }
    })
}

impl Published {
    /// The tensors as a file of 16-bit numbers has them, without any data, and the shape.
    pub fn file(&self) -> (Gguf, Shape) {
        let tensors = self.tensors();
        let shape = Shape {
            architecture: self.architecture.to_owned(),
            name: Some(self.name.to_owned()),
            blocks: self.blocks,
            width: self.width,
            context: self.context,
            heads: vec![self.heads; self.blocks as usize],
            kv_heads: vec![self.kv_heads; self.blocks as usize],
            key_width: self.head_width,
            value_width: self.head_width,
            experts: self.experts.0,
            experts_used: self.experts.1,
            vocabulary: self.vocabulary,
            parameters: tensors.iter().filter_map(Tensor::numbers).sum(),
            stored_as: TensorKind::F16.name(),
        };
        let bytes = tensors.iter().filter_map(Tensor::bytes).sum();
        let file =
            Gguf { version: 3, metadata: Vec::new(), tensors, alignment: ALIGNMENT, data_start: 0, bytes };
        (file, shape)
    }

    fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        let mut add = |name: String, sizes: &[u64]| {
            // Vectors stay in 32 bits: they are few.
            let kind = if sizes.len() > 1 { TensorKind::F16 } else { TensorKind::F32 };
            tensors.push(Tensor { name, sizes: sizes.to_vec(), kind, offset: 0 });
        };
        add("token_embd.weight".to_owned(), &[self.width, self.vocabulary]);
        for block in 0..self.blocks {
            for (name, sizes) in self.layer() {
                add(format!("blk.{block}.{name}"), &sizes);
            }
        }
        add("output_norm.weight".to_owned(), &[self.width]);
        if !self.is_tied {
            add("output.weight".to_owned(), &[self.width, self.vocabulary]);
        }
        if self.architecture == "phi2" {
            add("output_norm.bias".to_owned(), &[self.width]);
            add("output.bias".to_owned(), &[self.vocabulary]);
        }
        tensors
    }

    /// The tensors of one layer.
    fn layer(&self) -> Vec<(&'static str, Vec<u64>)> {
        let Self { width, heads, kv_heads, head_width, inside, experts, .. } = *self;
        let (queries, keys) = (heads * head_width, kv_heads * head_width);
        let mut layer = vec![("attn_norm.weight", vec![width])];
        layer.extend(match self.architecture {
            "phi3" => vec![("attn_qkv.weight", vec![width, queries + 2 * keys])],
            _ => vec![
                ("attn_q.weight", vec![width, queries]),
                ("attn_k.weight", vec![width, keys]),
                ("attn_v.weight", vec![width, keys]),
            ],
        });
        layer.push(("attn_output.weight", vec![queries, width]));
        layer.extend(match self.architecture {
            "phi2" => vec![("ffn_up.weight", vec![width, inside]), ("ffn_down.weight", vec![inside, width])],
            "phi3" => {
                vec![("ffn_up.weight", vec![width, 2 * inside]), ("ffn_down.weight", vec![inside, width])]
            }
            _ if experts.0 > 0 => vec![
                ("ffn_gate_inp.weight", vec![width, experts.0]),
                ("ffn_gate_exps.weight", vec![width, inside, experts.0]),
                ("ffn_up_exps.weight", vec![width, inside, experts.0]),
                ("ffn_down_exps.weight", vec![inside, width, experts.0]),
            ],
            _ => vec![
                ("ffn_gate.weight", vec![width, inside]),
                ("ffn_up.weight", vec![width, inside]),
                ("ffn_down.weight", vec![inside, width]),
            ],
        });
        // Everything else is vectors.
        let second_norm = ("ffn_norm.weight", vec![width]);
        let behind = [("post_attention_norm.weight", vec![width]), ("post_ffw_norm.weight", vec![width])];
        let of_heads = [("attn_q_norm.weight", vec![head_width]), ("attn_k_norm.weight", vec![head_width])];
        let biases =
            [("attn_q.bias", vec![queries]), ("attn_k.bias", vec![keys]), ("attn_v.bias", vec![keys])];
        match self.architecture {
            "phi2" => {
                layer.extend(biases);
                layer.extend([
                    ("attn_norm.bias", vec![width]),
                    ("attn_output.bias", vec![width]),
                    ("ffn_up.bias", vec![inside]),
                    ("ffn_down.bias", vec![width]),
                ]);
            }
            "qwen2" => layer.extend(biases.into_iter().chain([second_norm])),
            "qwen3" => layer.extend(of_heads.into_iter().chain([second_norm])),
            "gemma2" => layer.extend(behind.into_iter().chain([second_norm])),
            "gemma3" => layer.extend(behind.into_iter().chain(of_heads).chain([second_norm])),
            _ => layer.push(second_norm),
        }
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in all tensors, as the models' own pages count them (safetensors): a matrix that is there twice once, and of
    /// the one that sees as well, what it reads with.
    const COUNTED: [(&str, u64); 26] = [
        ("SmolLM2 135M", 134_515_008),
        ("SmolLM2 360M", 361_821_120),
        ("Qwen 2.5 0.5B", 494_032_768),
        ("Qwen 3 0.6B", 596_049_920),
        ("Gemma 3 1B", 999_885_952),
        ("TinyLlama 1.1B", 1_100_048_384),
        ("Llama 3.2 1B", 1_235_814_400),
        ("DeepSeek-Coder 1.3B", 1_346_471_936),
        ("Qwen 2.5 1.5B", 1_543_714_304),
        ("SmolLM2 1.7B", 1_711_376_384),
        ("Qwen 3 1.7B", 1_720_574_976),
        ("Gemma 2 2B", 2_614_341_888),
        ("Phi-2", 2_779_683_840),
        ("SmolLM3 3B", 3_075_098_624),
        ("Qwen 2.5 3B", 3_085_938_688),
        ("Llama 3.2 3B", 3_212_749_824),
        ("Phi-3 mini 4k", 3_821_079_552),
        ("Gemma 3 4B (its text)", 3_880_263_168),
        ("Qwen 3 4B", 4_022_468_096),
        ("DeepSeek-Coder 6.7B", 6_740_512_768),
        ("Mistral 7B v0.3", 7_248_023_552),
        ("Qwen 2.5 7B", 7_615_616_512),
        ("Llama 3.1 8B", 8_030_261_248),
        ("Qwen 3 8B", 8_190_735_360),
        ("Gemma 2 9B", 9_241_705_984),
        ("Mixtral 8x7B", 46_702_792_704),
    ];

    #[test]
    fn the_shapes_have_as_many_numbers_as_their_makers_count() {
        let reckoned: Vec<(&str, u64)> = all().map(|model| (model.name, model.file().1.parameters)).collect();
        assert_eq!(reckoned, COUNTED);
    }
}
