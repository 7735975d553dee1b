//! Is there a language model small enough for a test? Whole GGUF files of the llama architecture. One has numbers that were
//! drawn by lot ([`Tiny`]): it has learned nothing, and computes like any other; larger ones are drawn for measuring speed.
//! One has numbers that were reckoned from words ([`Knowing`]): it knows what these speak for, and nothing else. One learned its
//! numbers from rows ([`Taught`]).

mod knowing;
mod taught;
pub(crate) mod vocabulary;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use crate::gguf::Value;
use crate::gguf::write::{Stored, write};
use vocabulary::Entry;

pub use knowing::Knowing;
pub use taught::Taught;

/// The shape of a model drawn by lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiny {
    /// Layers.
    pub blocks: u32,
    /// Numbers in a token's vector.
    pub width: u32,
    /// Heads of attention.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Numbers inside the feed-forward.
    pub inside: u32,
    /// Tokens it can look back on.
    pub context: u32,
    /// Tokens it knows; those that stand for nothing fill it up.
    pub vocabulary: u32,
}

impl Tiny {
    /// Two layers that can look back on 512 tokens: about 150 KB.
    pub const SMALLEST: Self =
        Self { blocks: 2, width: 32, heads: 4, kv_heads: 2, inside: 48, context: 512, vocabulary: 320 };

    /// Writes it into a file, its numbers drawn from `seed`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, file: &Path, seed: u64) -> io::Result<()> {
        write(BufWriter::new(File::create(file)?), &self.metadata(), &self.tensors(seed))
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        self.metadata_with("drawn by lot", &vocabulary::of(&PIECES, self.vocabulary as usize))
    }

    fn metadata_with(&self, name: &str, entries: &[Entry]) -> Vec<(String, Value)> {
        let numbers = [
            ("context_length", self.context),
            ("embedding_length", self.width),
            ("block_count", self.blocks),
            ("feed_forward_length", self.inside),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("rope.dimension_count", self.width / self.heads),
        ];
        let mut metadata = vec![
            ("general.architecture".to_owned(), Value::text("llama")),
            ("general.name".to_owned(), Value::text(name)),
            ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5)),
        ];
        metadata.extend(numbers.map(|(name, number)| (format!("llama.{name}"), Value::u32(number))));
        metadata.extend(vocabulary::metadata(entries));
        metadata.push(("tokenizer.chat_template".to_owned(), Value::text(CHAT_TEMPLATE)));
        metadata
    }

    /// The numbers, drawn from `seed`: gains around 1, everything else around 0, large enough that a wrong one shows.
    pub fn tensors(&self, seed: u64) -> Vec<Stored> {
        let mut draw = fastrand::Rng::with_seed(seed);
        let [width, inside, vocabulary] = [self.width, self.inside, self.vocabulary].map(u64::from);
        let keys = width / u64::from(self.heads) * u64::from(self.kv_heads);
        let mut tensors = Vec::new();
        let mut add = |name: String, sizes: &[u64]| {
            let numbers: u64 = sizes.iter().product();
            let is_gain = sizes.len() == 1;
            let spread = if is_gain { 0.2 } else { 3.0 / (sizes[0] as f32).sqrt() };
            let middle = if is_gain { 1.0 } else { 0.0 };
            let drawn: Vec<f32> = (0..numbers).map(|_| middle + spread * (draw.f32() - 0.5)).collect();
            tensors.push(Stored::f32(name, sizes, &drawn));
        };
        add("token_embd.weight".to_owned(), &[width, vocabulary]);
        for block in 0..self.blocks {
            for (name, sizes) in [
                ("attn_norm", &[width][..]),
                ("attn_q", &[width, width]),
                ("attn_k", &[width, keys]),
                ("attn_v", &[width, keys]),
                ("attn_output", &[width, width]),
                ("ffn_norm", &[width]),
                ("ffn_gate", &[width, inside]),
                ("ffn_up", &[width, inside]),
                ("ffn_down", &[inside, width]),
            ] {
                add(format!("blk.{block}.{name}.weight"), sizes);
            }
        }
        add("output_norm.weight".to_owned(), &[width]);
        add("output.weight".to_owned(), &[width, vocabulary]);
        tensors
    }
}

/// How it writes conversations.
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}\
                             {% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

/// Pieces that are merged, besides bytes. Every piece longer than a letter can be made of two that come before it.
const PIECES: [&str; 40] = [
    "▁", "e", "a", "r", "d", "c", "t", "i", "n", "l", "o", "s", "u", "f", "h", "g", "b", "k", "w", "m", "p",
    "y", "v", "x", "q", "z", "j", "▁c", "ar", "▁car", "▁card", "re", "in", "er", "th", "▁th", "▁the", "is",
    "▁is", "on",
];
