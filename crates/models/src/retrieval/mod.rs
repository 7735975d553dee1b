//! Which texts are most like this one? By the words and character n-grams they share.
//!
//! Used to show the training rows nearest to a question, to choose examples for a large model, and to see in a log
//! whether like texts get like answers. Lexical on purpose: it needs no model, and says nothing of meaning.

mod terms;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use terms::{Rarity, Reader, Term};

/// Texts that can be searched for the nearest ones.
///
/// Every text is a vector of unit length over its [`MOST_TERMS`] weightiest words, word pairs and character n-grams
/// (sublinear TF-IDF); similarity is the cosine. The same texts in the same order give the same answers, whatever
/// the number of threads. About 0.8 kB a text in memory, so 100,000 texts take 80 MB.
pub struct NeighbourIndex {
    rarity: Rarity,
    /// Distinct keys, ascending.
    keys: Vec<u32>,
    /// Key `i` stands in `postings[starts[i]..starts[i + 1]]`, rows ascending.
    starts: Vec<usize>,
    postings: Vec<Posting>,
    rows: usize,
}

pub use terms::MOST_TERMS;

/// A text of the index and how like the asked one it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place among the texts the index was built from.
    pub row: usize,
    /// The cosine of the two texts' vectors, in (0, 1]; 1 for texts that are alike but for case, digits and spacing.
    pub similarity: f32,
}

#[derive(Clone, Copy)]
struct Posting {
    row: u32,
    weight: f32,
}

impl NeighbourIndex {
    /// An index of these texts. Rows beyond the first 4 billion are left out.
    pub fn build<T: AsRef<str> + Sync>(texts: &[T]) -> Self {
        let texts = &texts[..texts.len().min(u32::MAX as usize)];
        let rarity = Rarity::of(texts);
        let read = |reader: &mut Reader, (row, text): (usize, &T)| {
            let terms = reader.unit_vector(text.as_ref(), &rarity);
            terms
                .into_iter()
                .map(|term| (term.key, Posting { row: row as u32, weight: term.weight }))
                .collect()
        };
        let by_row: Vec<Vec<(u32, Posting)>> =
            texts.par_iter().enumerate().map_init(Reader::default, read).collect();
        let mut entries: Vec<(u32, Posting)> = by_row.into_iter().flatten().collect();
        entries.par_sort_unstable_by_key(|(key, posting)| (*key, posting.row));

        let (mut keys, mut starts) = (Vec::new(), Vec::new());
        for (at, (key, _)) in entries.iter().enumerate() {
            if keys.last() != Some(key) {
                keys.push(*key);
                starts.push(at);
            }
        }
        starts.push(entries.len());
        let postings = entries.into_iter().map(|(_, posting)| posting).collect();
        Self { rarity, keys, starts, postings, rows: texts.len() }
    }

    /// How many texts the index holds.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// At most `k` texts, the most similar first, the earlier row first where two are equally similar. Texts that
    /// share nothing with `text` are no neighbours, so that there may be fewer than `k`.
    pub fn nearest(&self, text: &str, k: usize) -> Vec<Neighbour> {
        let mut similarity = vec![0.0_f32; self.rows];
        let mut touched = Vec::new();
        for Term { key, weight } in Reader::default().unit_vector(text, &self.rarity) {
            for posting in self.postings_of(key) {
                let sum = &mut similarity[posting.row as usize];
                if *sum == 0.0 {
                    touched.push(posting.row);
                }
                *sum += weight * posting.weight;
            }
        }
        let found = touched.into_iter().map(|row| {
            let row = row as usize;
            Neighbour { row, similarity: similarity[row].min(1.0) } // rounding can exceed 1
        });
        best(found.collect(), k)
    }

    fn postings_of(&self, key: u32) -> &[Posting] {
        match self.keys.binary_search(&key) {
            Ok(at) => &self.postings[self.starts[at]..self.starts[at + 1]],
            Err(_) => &[],
        }
    }
}

fn best(mut found: Vec<Neighbour>, k: usize) -> Vec<Neighbour> {
    let order = |a: &Neighbour, b: &Neighbour| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row));
    if k == 0 {
        return Vec::new();
    }
    if found.len() > k {
        found.select_nth_unstable_by(k - 1, order);
        found.truncate(k);
    }
    found.sort_unstable_by(order);
    found
}
