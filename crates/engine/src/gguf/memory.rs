//! What does a model need in memory? Reckoned from the file alone, before anything is loaded.

use super::Gguf;
use super::{Shape, Tensor};

/// Bytes of a number in the memory of keys and values: 16-bit floats.
const KEPT_BYTES: u64 = 2;
/// What the process itself, its tables and its threads take besides: generous, and not measured.
const FIXED: u64 = 32 << 20;

/// What a model needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The tensors. They are mapped, so several processes share them, and what isn't used need not be there.
    pub weights: u64,
    /// Keys and values of every token it can look back on.
    pub context: u64,
    /// Those of earlier texts, which are put away: as many again.
    pub earlier: u64,
    /// What is computed on the way, for the largest batch.
    pub computing: u64,
}

impl Memory {
    /// All of it.
    pub fn total(self) -> u64 {
        [self.weights, self.context, self.earlier, self.computing].into_iter().fold(0, u64::saturating_add)
    }
}

/// What a model needs to look back on `tokens`, in batches of at most `batch` tokens.
pub fn memory(file: &Gguf, shape: &Shape, tokens: u64, batch: u64) -> Memory {
    let per_token: u64 = shape
        .kv_heads
        .iter()
        .map(|heads| heads.saturating_mul(shape.key_width + shape.value_width).saturating_mul(KEPT_BYTES))
        .fold(0, u64::saturating_add);
    // The widest of what is computed are the logits and the feed-forward's inside; a handful of vectors come beside it.
    let widest = file
        .tensors
        .iter()
        .filter(|tensor| tensor.name.starts_with("blk."))
        .filter_map(|tensor| tensor.sizes.get(1));
    let inside = widest.copied().max().unwrap_or(0).max(shape.width);
    let row = shape.vocabulary.saturating_add(3 * inside).saturating_add(8 * shape.width);
    Memory {
        weights: file.tensors.iter().filter_map(Tensor::bytes).fold(0, u64::saturating_add),
        context: per_token.saturating_mul(tokens),
        earlier: per_token.saturating_mul(tokens),
        computing: row.saturating_mul(4).saturating_mul(batch).saturating_add(FIXED),
    }
}

/// Bytes that are read for each token that is written, while `tokens` are looked back on: every matrix but the first, of
/// which a row is enough, only the experts that are asked in a mixture, and the keys and values. Where a processor waits for
/// its memory, as it does here, this is what the speed is about.
pub fn read_for_a_token(file: &Gguf, shape: &Shape, tokens: u64) -> u64 {
    let is_tied = file.tensor("output.weight").is_none();
    let read = |tensor: &Tensor| {
        let bytes = tensor.bytes().unwrap_or(0);
        match tensor.name.as_str() {
            "token_embd.weight" if !is_tied => 0,
            name if name.contains("_exps.") && shape.experts > 0 => {
                (bytes / shape.experts).saturating_mul(shape.experts_used)
            }
            _ => bytes,
        }
    };
    let weights = file.tensors.iter().map(read).fold(0, u64::saturating_add);
    weights.saturating_add(memory(file, shape, tokens, 0).context)
}
