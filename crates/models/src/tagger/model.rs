//! What does a trained tagger see in a text?

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;

use sprat_task::extract::Span;
use sprat_task::extract::spans::Place;
use sprat_task::{Field, FieldType};

use super::artifact::Header;
use super::crf::{Beliefs, Transitions, best_spans};
use super::features::{Reading, read};
use super::lexicon::Lexicon;
use super::rows;
use crate::linear::corpus::Hashed;

/// A trained tagger.
#[derive(Debug)]
pub struct TaggerModel {
    pub(super) header: Header,
    pub(super) weights: Weights,
    pub(super) transitions: Transitions,
    pub(super) lexicon: Lexicon,
}

/// A feature's weight for each tag: whole numbers and one scale a feature.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    pub(super) tags: usize,
    pub(super) hashes: Vec<u64>,
    pub(super) scales: Vec<f32>,
    pub(super) weights: Vec<i8>,
    numbers: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
}

/// What a tagger sees in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    /// The values it found, in the order of the text.
    pub spans: Vec<Seen>,
    /// Logarithm of the probability that these and no others are all there is.
    pub log_probability: f64,
    /// For each field, the probability that the text has no value of it.
    pub nothing: Vec<f64>,
    /// Whether the likeliest reading had a span that isn't a value of its field, so that another was taken.
    pub was_corrected: bool,
    /// Share of the words that no training row had.
    pub unknown_words: f64,
    /// Words of the text.
    pub words: usize,
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The field, and the words.
    pub span: Span,
    /// The bytes of the text that they are.
    pub bytes: Range<usize>,
    /// The probability that these very words are a value of the field, as the model has it; not yet calibrated.
    pub probability: f64,
}

/// Reused from text to text.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Vec<f32>,
    beliefs: Beliefs,
}

/// Above this many words only the first are read: a text of a book's length is no request, and memory is bounded.
const MOST_WORDS: usize = 20_000;

impl TaggerModel {
    /// The names of the fields it was trained for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.header.fields.iter().map(String::as_str)
    }

    /// Reads a text. Every span it gives can be read as a value of its field.
    pub fn tag(&self, text: &str, fields: &[Field], scratch: &mut Scratch) -> Tagged {
        let place = Place::beginning(text, MOST_WORDS);
        let reading = read(&place, &self.lexicon, &[]);
        let unknown = self.weights.score(&reading, &mut scratch.scores);
        self.interpret(&place, fields, unknown, scratch)
    }

    fn interpret(
        &self,
        place: &Place<'_>,
        fields: &[Field],
        unknown: usize,
        scratch: &mut Scratch,
    ) -> Tagged {
        let (scores, beliefs) = (&scratch.scores, &mut scratch.beliefs);
        let words = place.words().len();
        if words == 0 {
            let nothing = vec![1.0; fields.len()];
            return Tagged {
                spans: Vec::new(),
                log_probability: 0.0,
                nothing,
                was_corrected: false,
                unknown_words: 0.0,
                words,
            };
        }
        beliefs.of(scores, &self.transitions);
        let is_value = |field: usize, words: Range<usize>| is_value(&fields[field], place, words);
        let (spans, was_corrected) = best_spans(scores, &self.transitions, is_value);
        let log_probability = super::crf::score(&spans, scores, &self.transitions) - beliefs.log_sum;
        let seen = |span: Span| Seen {
            bytes: place.words()[span.words.start].start..place.words()[span.words.end - 1].end,
            probability: beliefs.of_span(span.field, &span.words),
            span,
        };
        Tagged {
            spans: spans.into_iter().map(seen).collect(),
            log_probability: log_probability.min(0.0),
            nothing: (0..fields.len()).map(|field| beliefs.of_nothing(field)).collect(),
            was_corrected,
            unknown_words: unknown as f64 / words as f64,
            words,
        }
    }
}

/// Words of the longest value that isn't a text.
const LONGEST_TYPED: usize = 8;

/// Whether words can be read as a value of a field. Nothing but a pattern keeps words from being a text.
fn is_value(field: &Field, place: &Place<'_>, words: Range<usize>) -> bool {
    match (field.kind, &field.pattern) {
        (FieldType::Text | FieldType::List, None) => true,
        (FieldType::Text | FieldType::List, Some(_)) => field.read(place.slice(words)).is_some(),
        _ => words.len() <= LONGEST_TYPED && field.read(place.slice(words)).is_some(),
    }
}

impl Weights {
    /// From what is on disk; the rows of `weights` stand as `hashes` do.
    pub(super) fn new(tags: usize, hashes: Vec<u64>, scales: Vec<f32>, weights: Vec<i8>) -> Self {
        let numbers = hashes.iter().zip(0_u32..).map(|(hash, number)| (*hash, number)).collect();
        Self { tags, hashes, scales, weights, numbers }
    }

    /// The score of every tag of every word, and how many words no row had.
    pub(super) fn score(&self, reading: &Reading, scores: &mut Vec<f32>) -> usize {
        let mut about = vec![0.0_f32; self.tags];
        self.add(&reading.about, &mut about);
        scores.clear();
        let mut unknown = 0;
        for at in 0..reading.words() {
            let start = scores.len();
            scores.extend_from_slice(&about);
            let features = reading.of_word(at);
            self.add(features, &mut scores[start..]);
            unknown += usize::from(reading.itself(at).is_none_or(|word| !self.numbers.contains_key(&word)));
        }
        unknown
    }

    fn add(&self, features: &[u64], scores: &mut [f32]) {
        let numbers: Vec<u32> = features.iter().filter_map(|hash| self.numbers.get(hash).copied()).collect();
        rows::add_scaled(&numbers, &self.weights, &self.scales, scores);
    }
}
