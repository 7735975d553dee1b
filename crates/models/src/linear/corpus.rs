//! Which features does each training row have? Read once; every fold then builds its own design from it.

use super::features::{self, Kind, TextScratch};
use rayon::prelude::*;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Every row's distinct features with their counts; features numbered in order of first appearance.
pub(super) struct Corpus {
    pub(super) features: Vec<Feature>,
    /// Row `i` is `entries[starts[i]..starts[i + 1]]`.
    entries: Vec<(u32, u16)>,
    starts: Vec<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct Feature {
    pub(super) hash: u64,
    pub(super) kind: Kind,
}

impl Corpus {
    pub(super) fn read(texts: &[&str]) -> Self {
        // Reading is spread over threads; numbering runs over the rows in order, so threads can't change it.
        let rows: Vec<Vec<(u64, Kind, u16)>> =
            texts.par_iter().map_init(Reader::default, |reader, text| reader.read(text)).collect();
        let mut numbers: HashMap<u64, u32, BuildHasherDefault<Hashed>> = HashMap::default();
        let mut features = Vec::new();
        let mut entries = Vec::with_capacity(rows.iter().map(Vec::len).sum());
        let mut starts = vec![0];
        for row in rows {
            for (hash, kind, count) in row {
                let number = *numbers.entry(hash).or_insert_with(|| {
                    features.push(Feature { hash, kind });
                    (features.len() - 1) as u32
                });
                entries.push((number, count));
            }
            starts.push(entries.len());
        }
        Self { features, entries, starts }
    }

    /// The distinct features of a row and how often each occurs.
    pub(super) fn row(&self, row: usize) -> &[(u32, u16)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }
}

#[derive(Default)]
struct Reader {
    scratch: TextScratch,
    seen: Vec<(u64, Kind)>,
}

impl Reader {
    fn read(&mut self, text: &str) -> Vec<(u64, Kind, u16)> {
        self.seen.clear();
        features::read(text, &mut self.scratch, |kind, hash| self.seen.push((hash, kind)));
        self.seen.sort_unstable();
        let runs = self.seen.chunk_by(|a, b| a.0 == b.0);
        runs.map(|run| (run[0].0, run[0].1, run.len().min(usize::from(u16::MAX)) as u16)).collect()
    }
}

/// For maps whose keys are hashes already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
