//! Which tokens does a tiny model know? Unknown, begin and end, 256 bytes, and pieces of words.

use crate::gguf::{Value, WholeKind};

/// One token.
pub struct Entry {
    pub text: String,
    /// The pair of the highest score is merged first.
    pub score: f32,
    /// llama.cpp's: 1 normal, 2 unknown, 3 control, 5 unused, 6 byte.
    pub kind: i64,
}

/// Tokens that stand before the pieces.
pub const BEFORE_PIECES: usize = 3 + 256;

/// The vocabulary, filled up to `count` with tokens that stand for nothing. A piece longer than a letter can be merged where
/// it can be made of two others.
pub fn of(pieces: &[impl AsRef<str>], count: usize) -> Vec<Entry> {
    let control = |text: &str, kind| Entry { text: text.to_owned(), score: 0.0, kind };
    let mut entries = vec![control("<unk>", 2), control("<s>", 3), control("</s>", 3)];
    entries.extend((0..=255).map(|byte: u8| Entry { text: format!("<0x{byte:02X}>"), score: 0.0, kind: 6 }));
    entries.extend(pieces.iter().enumerate().map(|(rank, text)| {
        let text = text.as_ref().to_owned();
        // Longer pieces are merged first.
        let score = text.chars().count() as f32 - 10.0 - rank as f32 / 1_000.0;
        Entry { text, score, kind: 1 }
    }));
    let unused = |id| Entry { text: format!("<unused{id}>"), score: 0.0, kind: 5 };
    entries.extend((entries.len()..count).map(unused));
    entries.truncate(count);
    entries
}

/// The tokens that a model is taught to fill holes with, as StarCoder's family calls them.
pub const AROUND_A_HOLE: [&str; 3] = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"];

/// The same vocabulary, and those behind it.
pub fn and_around_a_hole(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.extend(AROUND_A_HOLE.map(|text| Entry { text: text.to_owned(), score: 0.0, kind: 3 }));
    entries
}

/// What a file says of its vocabulary.
pub fn metadata(entries: &[Entry]) -> Vec<(String, Value)> {
    let column = |of: &dyn Fn(&Entry) -> Value| Value::List(entries.iter().map(of).collect());
    let keys = [
        ("model", Value::text("llama")),
        ("tokens", column(&|entry| Value::text(&entry.text))),
        ("scores", column(&|entry| Value::F32(entry.score))),
        ("token_type", column(&|entry| Value::Signed(entry.kind, WholeKind::Bits32))),
        ("unknown_token_id", Value::u32(0)),
        ("bos_token_id", Value::u32(1)),
        ("eos_token_id", Value::u32(2)),
    ];
    keys.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).to_vec()
}
