//! Which words and n-grams stand for a text, and how much does each weigh?

use crate::linear::features::{self, Kind, TextScratch};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many words, word pairs and n-grams stand for a text: the weightiest. Those left out are the commonest, and
/// say least; the bound keeps memory in proportion to the number of texts, not to their length.
pub const MOST_TERMS: usize = 96;

/// Number of counters that stand for all terms: 16 MB at most. Terms that share one are taken to be a little more
/// common than they are.
const MOST_COUNTERS: usize = 1 << 22;
const FEWEST_COUNTERS: usize = 1 << 12;

/// A term of a text. The key is the upper half of the hash that the linear model uses.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) key: u32,
    pub(super) weight: f32,
}

/// How rare each term is among some texts.
pub(super) struct Rarity {
    /// For each counter, the texts that hold one of its terms; the number of counters is a power of two.
    seen_in: Vec<u32>,
    texts: f32,
}

impl Rarity {
    pub(super) fn of<T: AsRef<str> + Sync>(texts: &[T]) -> Self {
        // A text of ordinary length has some hundreds of n-grams, of which few are its own.
        let counters =
            texts.len().saturating_mul(64).next_power_of_two().clamp(FEWEST_COUNTERS, MOST_COUNTERS);
        let seen_in: Vec<AtomicU32> = std::iter::repeat_with(AtomicU32::default).take(counters).collect();
        texts.par_iter().for_each_init(Reader::default, |reader, text| {
            reader.count(text.as_ref());
            // Sums do not depend on the order of threads.
            reader.counts.iter().for_each(|count| {
                seen_in[count.key as usize & (counters - 1)].fetch_add(1, Ordering::Relaxed);
            });
        });
        let seen_in = seen_in.into_iter().map(AtomicU32::into_inner).collect();
        Self { seen_in, texts: texts.len() as f32 }
    }

    /// Smoothed inverse document frequency, as in scikit-learn.
    fn weight(&self, key: u32) -> f32 {
        let counter = self.seen_in[key as usize & (self.seen_in.len() - 1)];
        let seen_in = (counter as f32).min(self.texts); // a shared counter can exceed the number of texts
        ((1.0 + self.texts) / (1.0 + seen_in)).ln() + 1.0
    }
}

/// Reads texts one after the other, with buffers that are kept.
#[derive(Default)]
pub(super) struct Reader {
    scratch: TextScratch,
    seen: Vec<(u32, bool)>,
    counts: Vec<Count>,
}

#[derive(Clone, Copy)]
struct Count {
    key: u32,
    is_characters: bool,
    times: f32,
}

impl Reader {
    /// The text's weightiest terms by key ascending; the squares of their weights sum to 1. Empty for a text
    /// without words.
    pub(super) fn unit_vector(&mut self, text: &str, rarity: &Rarity) -> Vec<Term> {
        self.count(text);
        let weight = |count: &Count| (1.0 + count.times.ln()) * rarity.weight(count.key);
        // Words and n-grams each to length 1: a text has ten times as many n-grams as words.
        let square_of = |is_characters: bool| -> f32 {
            let of_kind = self.counts.iter().filter(|count| count.is_characters == is_characters);
            of_kind.map(|count| weight(count).powi(2)).sum()
        };
        let lengths = [square_of(false).sqrt(), square_of(true).sqrt()];
        let mut terms: Vec<Term> = self
            .counts
            .iter()
            .map(|count| Term {
                key: count.key,
                weight: weight(count) / lengths[usize::from(count.is_characters)],
            })
            .collect();
        if terms.len() > MOST_TERMS {
            let heaviest = |a: &Term, b: &Term| b.weight.total_cmp(&a.weight).then(a.key.cmp(&b.key));
            terms.select_nth_unstable_by(MOST_TERMS - 1, heaviest);
            terms.truncate(MOST_TERMS);
        }
        terms.sort_unstable_by_key(|term| term.key);
        let length = terms.iter().map(|term| term.weight.powi(2)).sum::<f32>().sqrt();
        terms.iter_mut().for_each(|term| term.weight /= length);
        terms
    }

    fn count(&mut self, text: &str) {
        let Self { scratch, seen, counts } = self;
        seen.clear();
        features::read(text, scratch, |kind, hash| {
            seen.push(((hash >> 32) as u32, kind == Kind::Characters))
        });
        seen.sort_unstable();
        counts.clear();
        let runs = seen.chunk_by(|a, b| a.0 == b.0);
        counts.extend(runs.map(|run| Count {
            key: run[0].0,
            is_characters: run[0].1,
            times: run.len() as f32,
        }));
    }
}
