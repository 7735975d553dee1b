//! A model that knows what some words speak for. Its one layer looks at all that was said alike, so that what it sees is how
//! often each label was spoken for, and it says the label that was spoken for most: a count of words, in the form of a decoder.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use super::{Tiny, vocabulary};
use crate::gguf::write::{Stored, write};

/// A model that knows some words.
#[derive(Clone, Copy, Debug)]
pub struct Knowing<'a> {
    /// What it can say, up to 30 words.
    pub labels: &'a [&'a str],
    /// Words, each with the place of the label that it speaks for; others are read letter by letter.
    pub words: &'a [(&'a str, Option<usize>)],
    /// Tokens it can look back on.
    pub context: u32,
    /// Whether it writes: it ends behind a label, and was taught to fill holes.
    pub writes: bool,
}

/// Numbers in a token's vector: one for being there, one for each label.
pub(super) const WIDTH: usize = 32;
/// How loudly a word speaks for its label: as if it were one of this many tokens, whatever their number is.
pub(super) const LOUDNESS: f32 = 400.0;
/// How decided the model is.
pub(super) const DECIDED: f32 = 2.0;
/// The number of a token's vector that says that a label was just said. No label has it.
const SAID: usize = WIDTH - 1;
/// How decided a model that writes is to end there: more than for any label.
const ENDS: f32 = 20_000.0;
/// The token that an answer ends with.
const END: usize = 2;

impl Knowing<'_> {
    /// Writes it into a file.
    ///
    /// # Errors
    /// There are too many labels, or what the operating system says.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let speaks = |word: &str| {
            let label = self.words.iter().find(|(known, _)| *known == word).and_then(|(_, label)| *label);
            (0..self.labels.len()).map(|place| f32::from(u8::from(Some(place) == label))).collect()
        };
        self.write_speaking(file, &speaks)
    }

    /// The same; how much each word speaks for each label is as `speaks` says.
    pub(super) fn write_speaking(&self, file: &Path, speaks: &dyn Fn(&str) -> Vec<f32>) -> io::Result<()> {
        if self.labels.len() + 2 > WIDTH {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more labels than it has numbers for"));
        }
        let pieces = self.pieces();
        let entries = vocabulary::of(&pieces, vocabulary::BEFORE_PIECES + pieces.len());
        let entries = if self.writes { vocabulary::and_around_a_hole(entries) } else { entries };
        let shape = Tiny {
            blocks: 1,
            width: WIDTH as u32,
            heads: 1,
            kv_heads: 1,
            inside: WIDTH as u32,
            context: self.context,
            vocabulary: entries.len() as u32,
        };
        let metadata = shape.metadata_with("knows some words", &entries);
        write(BufWriter::new(File::create(file)?), &metadata, &self.tensors(&pieces, entries.len(), speaks))
    }

    /// Each word, and everything that it begins with: so a word is merged letter by letter.
    fn pieces(&self) -> Vec<String> {
        let words = self.words.iter().map(|(word, _)| *word).chain(self.labels.iter().copied());
        let mut pieces: Vec<String> = words
            .flat_map(|word| {
                let word = format!("▁{word}");
                let ends: Vec<usize> =
                    word.char_indices().map(|(at, letter)| at + letter.len_utf8()).collect();
                ends.into_iter().map(move |end| word[..end].to_owned())
            })
            .collect();
        let letters: Vec<String> = pieces.iter().flat_map(|piece| piece.chars().map(String::from)).collect();
        pieces.extend(letters);
        pieces.sort_by_key(|piece| (piece.chars().count(), piece.clone()));
        pieces.dedup();
        pieces
    }

    fn tensors(
        &self,
        pieces: &[String],
        vocabulary: usize,
        speaks: &dyn Fn(&str) -> Vec<f32>,
    ) -> Vec<Stored> {
        let row = |word: &str| {
            let place = pieces.iter().position(|piece| piece.strip_prefix('▁') == Some(word));
            place.map(|place| (vocabulary::BEFORE_PIECES + place) * WIDTH)
        };
        let mut said = vec![0.0; vocabulary * WIDTH];
        said.chunks_mut(WIDTH).for_each(|token| token[0] = 1.0);
        for (word, _) in self.words {
            if let Some(row) = row(word) {
                let numbers = speaks(word);
                said[row + 1..][..numbers.len()].copy_from_slice(&numbers);
            }
        }
        let mut says = vec![0.0; vocabulary * WIDTH];
        for (label, word) in self.labels.iter().enumerate() {
            if let Some(row) = row(word) {
                says[row + 1 + label] = DECIDED;
                if self.writes {
                    said[row + SAID] = 1.0;
                }
            }
        }
        if self.writes {
            says[END * WIDTH + SAID] = ENDS;
        }
        let nothing = vec![0.0; WIDTH * WIDTH];
        let each_as = |number: f32| {
            let mut square = nothing.clone();
            (0..WIDTH).for_each(|place| square[place * WIDTH + place] = number);
            square
        };
        // What was just said is the last token's affair, and not of what was read before.
        let mut handed_on = each_as(1.0);
        handed_on[SAID * WIDTH + SAID] = 0.0;
        let (ones, width) = ([1.0; WIDTH], WIDTH as u64);
        let mut tensors = vec![Stored::f32("token_embd.weight", &[width, vocabulary as u64], &said)];
        // Keys and queries that are all alike look at everything alike; what is there is handed on.
        for (name, numbers) in [
            ("attn_q", &nothing),
            ("attn_k", &nothing),
            ("attn_v", &handed_on),
            ("attn_output", &each_as(LOUDNESS / WIDTH as f32)),
            ("ffn_gate", &nothing),
            ("ffn_up", &nothing),
            ("ffn_down", &nothing),
        ] {
            tensors.push(Stored::f32(format!("blk.0.{name}.weight"), &[width, width], numbers));
        }
        for name in ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
            tensors.push(Stored::f32(name, &[width], &ones));
        }
        tensors.push(Stored::f32("output.weight", &[width, vocabulary as u64], &says));
        tensors
    }
}
