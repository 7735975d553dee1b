//! How much does each feature of a text weigh? The vocabulary is chosen here, and rows become sparse vectors.

use super::config::Config;
use super::corpus::{Corpus, Feature};
use super::features::Kind;

/// One feature of one text: its number in the vocabulary and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) feature: u32,
    pub(super) value: f32,
}

/// The features worth a weight, numbered: first words and word pairs, then character n-grams, in each view
/// those of most rows first, so that the often used lie close together in memory.
pub(super) struct Vocabulary {
    pub(super) hashes: Vec<u64>,
    /// What each feature counts for, by the share of rows that have it.
    pub(super) rarity: Vec<f32>,
    /// Features below this number belong to the view of words.
    pub(super) words: u32,
}

/// Rows as sparse vectors.
pub(super) struct Design {
    pub(super) vocabulary: Vocabulary,
    entries: Vec<Entry>,
    starts: Vec<usize>,
}

impl Design {
    /// The vocabulary and the vectors of these rows of the corpus; nothing is learned from other rows.
    pub(super) fn new(corpus: &Corpus, rows: &[usize], config: &Config) -> Self {
        let (vocabulary, numbers) = Vocabulary::choose(corpus, rows, config);
        let mut entries = Vec::new();
        let mut starts = vec![0];
        for &row in rows {
            let begin = entries.len();
            for &(feature, count) in corpus.row(row) {
                if let Some(feature) = numbers[feature as usize] {
                    entries.push(Entry { feature, value: term(count, vocabulary.rarity[feature as usize]) });
                }
            }
            entries[begin..].sort_unstable_by_key(|entry| entry.feature);
            to_unit_length(&mut entries[begin..], vocabulary.words);
            starts.push(entries.len());
        }
        Self { vocabulary, entries, starts }
    }

    pub(super) fn row(&self, row: usize) -> &[Entry] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }
}

impl Vocabulary {
    /// Also gives, for each feature of the corpus, its number here.
    fn choose(corpus: &Corpus, rows: &[usize], config: &Config) -> (Self, Vec<Option<u32>>) {
        let mut seen_in = vec![0_u32; corpus.features.len()];
        for &row in rows {
            for &(feature, _) in corpus.row(row) {
                seen_in[feature as usize] += 1;
            }
        }
        let mut kept: Vec<u32> =
            (0..corpus.features.len() as u32).filter(|&f| seen_in[f as usize] > 0).collect();
        let feature = |number: u32| -> Feature { corpus.features[number as usize] };
        let often_first = |number: u32| (std::cmp::Reverse(seen_in[number as usize]), feature(number).hash);
        kept.sort_unstable_by_key(|&number| often_first(number));
        kept.truncate(config.max_features);
        kept.sort_unstable_by_key(|&number| (feature(number).kind == Kind::Characters, often_first(number)));

        let mut numbers = vec![None; corpus.features.len()];
        for (here, &there) in kept.iter().enumerate() {
            numbers[there as usize] = Some(here as u32);
        }
        let words = kept.iter().filter(|&&number| feature(number).kind != Kind::Characters).count() as u32;
        let hashes = kept.iter().map(|&number| feature(number).hash).collect();
        let rarity =
            kept.iter().map(|&number| rarity(feature(number).kind, rows.len(), seen_in[number as usize]));
        let rarity = rarity.collect();
        (Self { hashes, rarity, words }, numbers)
    }
}

/// Smoothed inverse document frequency, as in scikit-learn; of character n-grams its square root. A rare run of
/// letters is more often an accident than a rare word is; with the root, sure answers are better told from unsure
/// ones on Banking77 and Davidson.
fn rarity(kind: Kind, rows: usize, seen_in: u32) -> f32 {
    let inverse = ((1.0 + rows as f64) / (1.0 + f64::from(seen_in))).ln() + 1.0;
    (if kind == Kind::Characters { inverse.sqrt() } else { inverse }) as f32
}

/// Sublinear: the tenth occurrence of a word says less than the first.
pub(super) fn term(count: u16, rarity: f32) -> f32 {
    if count == 1 { rarity } else { (1.0 + f32::from(count).ln()) * rarity }
}

/// Brings each view to length 1: a text has ten times as many character n-grams as words, and they would
/// drown them.
pub(super) fn to_unit_length(entries: &mut [Entry], words: u32) {
    let (mut words_square, mut characters_square) = (0.0_f32, 0.0_f32);
    for entry in entries.iter() {
        let square = entry.value * entry.value;
        if entry.feature < words { words_square += square } else { characters_square += square }
    }
    let inverse = |square: f32| if square > 0.0 { square.sqrt().recip() } else { 0.0 };
    let (words_factor, characters_factor) = (inverse(words_square), inverse(characters_square));
    for entry in entries {
        entry.value *= if entry.feature < words { words_factor } else { characters_factor };
    }
}
