//! Which tokens is a text? `tokenizer.json`, read by the library that wrote it.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use sprat_task::{ModelError, Problem};
use tokenizers::{TruncationParams, TruncationStrategy};

use super::{EncoderConfig, SentenceConfig};

/// Bytes of a text for each token that is kept; what comes after is never looked at. No text of words comes near it.
const BYTES_PER_TOKEN: usize = 1024;

/// Texts that a thread takes at a time.
const TEXTS: usize = 16;

/// Texts to tokens.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    sentence: SentenceConfig,
    /// Tokens that stand around every text.
    around: usize,
}

/// The tokens of a text, and where they stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Rows of the table of tokens.
    pub ids: Vec<u32>,
    /// Bytes of the text that each token stands for; empty for what stands around the text, and before it.
    pub spans: Vec<Range<usize>>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("sentence", &self.sentence).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// No such file, or one that can't be understood; more tokens than the model has rows for.
    pub fn open(path: &Path, config: &EncoderConfig, sentence: &SentenceConfig) -> Result<Self, Problem> {
        let problem = |message: String| Problem::in_file(path.display(), message);
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => problem("the file is missing: without it no text can be read".into()).hint(
                "fetch the model again with its tokenizer.json; `vocab.txt` alone doesn't say how words are split",
            ),
            _ => problem(format!("the file can't be read: {error}")),
        })?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| {
            problem(format!("the file can't be understood: {error}")).hint("fetch the model again")
        })?;
        Self::check(inner, config, sentence).map_err(|problem| problem.at(path.display(), 0))
    }

    fn check(
        mut inner: tokenizers::Tokenizer,
        config: &EncoderConfig,
        sentence: &SentenceConfig,
    ) -> Result<Self, Problem> {
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= config.vocabulary {
            return Err(Problem::new(format!(
                "the tokenizer has a token of number {largest}, the model only {} rows for tokens",
                config.vocabulary
            ))
            .hint("the files come from different models: fetch them again, all from one"));
        }
        let cut = TruncationParams {
            max_length: sentence.max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        };
        // The file's own padding and length are its maker's batches; what is served has its own.
        inner.with_padding(None);
        inner.with_truncation(Some(cut)).map_err(|error| Problem::new(error.to_string()))?;
        let around = inner.encode_fast("", true).map(|tokens| tokens.len()).unwrap_or(0);
        if around == 0 {
            return Err(Problem::new(
                "the tokenizer puts nothing around a text, so an empty one has no vector",
            )
            .allowed("a post-processor that adds tokens such as [CLS] and [SEP]"));
        }
        Ok(Self { inner, sentence: sentence.clone(), around })
    }

    /// The rows of a text in the table of tokens: 1 at least, `max_tokens` at most.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] where the tokenizer's own rules can't read the text.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.inner.encode_fast(self.prepared(text), true).map_err(unreadable)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The same for several texts, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// As [`ids`](Self::ids), of the first text that has one.
    pub fn ids_of(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ModelError> {
        texts.par_iter().with_min_len(TEXTS).map(|text| self.ids(text)).collect()
    }

    /// The same, with where each token stands in the text.
    ///
    /// # Errors
    /// As [`ids`](Self::ids).
    pub fn tokens(&self, text: &str) -> Result<Tokens, ModelError> {
        let encoding = self.inner.encode(self.prepared(text), true).map_err(unreadable)?;
        let before = self.sentence.prompt.len();
        let span = |&(begin, end): &(usize, usize)| begin.saturating_sub(before)..end.saturating_sub(before);
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            spans: encoding.get_offsets().iter().map(span).collect(),
        })
    }

    /// Tokens that stand around every text: those of an empty one.
    pub fn around(&self) -> usize {
        self.around
    }

    /// A text as the tokenizer sees it.
    fn prepared(&self, text: &str) -> String {
        let text = beginning(text, self.sentence.max_tokens.saturating_mul(BYTES_PER_TOKEN));
        let text = format!("{}{text}", self.sentence.prompt);
        // Lower case can be longer or shorter than the text, and then no span fits: only letters that keep their length.
        if self.sentence.lowercase { lowercase_in_place(&text) } else { text }
    }
}

/// The first `most` bytes of a text, without cutting a letter in two.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Lower case, letter by letter, where that leaves every other letter where it was.
fn lowercase_in_place(text: &str) -> String {
    let lower = |letter: char| {
        let mut small = letter.to_lowercase();
        match (small.next(), small.next()) {
            (Some(only), None) if only.len_utf8() == letter.len_utf8() => only,
            _ => letter,
        }
    };
    text.chars().map(lower).collect()
}

fn unreadable(error: tokenizers::Error) -> ModelError {
    // The library's errors name rules of the tokenizer, never the text.
    ModelError::BadInput(format!("the tokenizer can't read it: {error}"))
}
