//! Was a model taught to fill holes, and with which tokens? The file names them, or its vocabulary holds texts that are known to
//! be they: llama.cpp looks for the same, in the same order.

use super::{Gguf, Value};

/// The tokens that stand around what a model is shown of a hole, by their numbers in its vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoleTokens {
    /// In front of what stands before the hole.
    pub before: i32,
    /// In front of what stands behind it.
    pub behind: i32,
    /// In front of what belongs into it.
    pub inside: i32,
}

/// The keys that name a token, the later one first, and the texts that it is known by.
struct Known {
    keys: [&'static str; 2],
    texts: [&'static str; 8],
}

const BEFORE: Known = Known {
    keys: ["prefix_token_id", "fim_pre_token_id"],
    texts: [
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<｜fim▁begin｜>",
        "<PRE>",
        "▁<PRE>",
        "<|code_prefix|>",
        "<|prefix|>",
    ],
};
const BEHIND: Known = Known {
    keys: ["suffix_token_id", "fim_suf_token_id"],
    texts: [
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<｜fim▁hole｜>",
        "<SUF>",
        "▁<SUF>",
        "<|code_suffix|>",
        "<|suffix|>",
    ],
};
const INSIDE: Known = Known {
    keys: ["middle_token_id", "fim_mid_token_id"],
    texts: [
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<｜fim▁end｜>",
        "<MID>",
        "▁<MID>",
        "<|code_middle|>",
        "<|middle|>",
    ],
};

impl HoleTokens {
    /// Those of a model's file; `None` where it has not all three.
    pub fn of(file: &Gguf) -> Option<Self> {
        let tokens = file.get("tokenizer.ggml.tokens").and_then(Value::as_list)?;
        let find = |known: &Known| -> Option<i32> {
            let named = known.keys.iter().find_map(|key| {
                let token = file.get(&format!("tokenizer.ggml.{key}")).and_then(Value::as_whole)?;
                usize::try_from(token).ok().filter(|token| *token < tokens.len())
            });
            let of_text = |text: &&str| tokens.iter().position(|token| token.as_text() == Some(*text));
            i32::try_from(named.or_else(|| known.texts.iter().find_map(of_text))?).ok()
        };
        let found = Self { before: find(&BEFORE)?, behind: find(&BEHIND)?, inside: find(&INSIDE)? };
        let are_three =
            found.before != found.behind && found.behind != found.inside && found.inside != found.before;
        are_three.then_some(found)
    }

    /// Whether a token is one of them.
    pub fn contain(&self, token: i32) -> bool {
        [self.before, self.behind, self.inside].contains(&token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Tiny;

    /// A file of which only the vocabulary matters.
    fn file(tokens: &[&str], named: &[(&str, u32)]) -> Gguf {
        let texts = tokens.iter().map(|text| Value::text(*text)).collect();
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let mut metadata = vec![(key("tokens"), Value::List(texts))];
        metadata.extend(named.iter().map(|(name, token)| (key(name), Value::u32(*token))));
        Gguf { version: 3, metadata, tensors: Vec::new(), alignment: 32, data_start: 0, bytes: 0 }
    }

    #[test]
    fn the_tokens_around_a_hole_are_found_as_llama_cpp_finds_them() {
        let found = |tokens: &[&str], named: &[(&str, u32)]| {
            HoleTokens::of(&file(tokens, named))
                .map(|HoleTokens { before, behind, inside }| [before, behind, inside])
        };
        for tokens in [
            ["a", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
            ["a", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
            ["a", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
            ["a", "▁<PRE>", "▁<SUF>", "▁<MID>"],
        ] {
            assert_eq!(found(&tokens, &[]), Some([1, 2, 3]), "{tokens:?}");
        }
        let plain = ["a", "b", "c", "d"];
        let named = [("fim_pre_token_id", 3), ("fim_suf_token_id", 1), ("fim_mid_token_id", 2)];
        assert_eq!(found(&plain, &named), Some([3, 1, 2]));
        let older = [("prefix_token_id", 3), ("suffix_token_id", 1), ("middle_token_id", 2)];
        assert_eq!(found(&plain, &older), Some([3, 1, 2]));
        // What is named goes before what only looks like it.
        let both = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "d"];
        assert_eq!(found(&both, &[("fim_pre_token_id", 3)]), Some([3, 1, 2]));
        assert_eq!(found(&plain, &[]), None);
        assert_eq!(found(&both[1..], &[]), None, "two of three are none");
        let all_one = [("fim_pre_token_id", 1), ("fim_suf_token_id", 1), ("fim_mid_token_id", 1)];
        assert_eq!(found(&plain, &all_one), None);
        assert_eq!(found(&plain, &[("fim_pre_token_id", 9)]), None);
    }

    #[test]
    fn a_model_that_knows_none_says_so() {
        let metadata = Tiny::SMALLEST.metadata();
        let file = Gguf { version: 3, metadata, tensors: Vec::new(), alignment: 32, data_start: 0, bytes: 0 };
        assert_eq!(HoleTokens::of(&file), None);
    }
}
