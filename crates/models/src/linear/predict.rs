//! What does the model say of a text?

use super::artifact::{FEATURE_BITS, Header, Image, OpenError};
use super::design::{Entry, term, to_unit_length};
use super::features::{self, Kind, TextScratch};
use super::meaning::Signals;
use rayon::prelude::*;
use std::io;
use std::path::Path;

/// A trained linear model: texts in, a log-probability for each label out.
pub struct LinearModel {
    pub(super) image: Image,
}

/// What the model says of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// For each label, in the model's order: the natural logarithm of its probability. Of one-label models the
    /// probabilities sum to 1; where a text may carry several, each stands for itself.
    pub log_probabilities: Vec<f32>,
    /// What the confidence head reads.
    pub signals: Signals,
}

/// Buffers of one thread, grown on first use. One scratch serves any number of models and texts.
#[derive(Default)]
pub struct Scratch {
    text: TextScratch,
    /// How often each feature occurs; all zero between texts.
    counts: Vec<u16>,
    entries: Vec<Entry>,
    pub(super) scores: Vec<f32>,
    log_probabilities: Vec<f32>,
}

/// What is known of a text besides its scores.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading {
    words: u32,
    unknown: u32,
}

impl Reading {
    pub(super) fn complete(self, signals: Signals) -> Signals {
        let unknown_words = if self.words == 0 { 1.0 } else { self.unknown as f32 / self.words as f32 };
        Signals { words: self.words, unknown_words, ..signals }
    }
}

/// Texts a thread takes at a time.
const BATCH: usize = 64;

impl LinearModel {
    /// Maps a model file into memory and checks all of it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Image::open(path).map(|image| Self { image })
    }

    /// Reads a model from the bytes of its file and checks all of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        Image::read(bytes).map(|image| Self { image })
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> &[u8] {
        self.image.bytes()
    }

    /// Writes the model file, complete or not at all.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        self.image.save(path)
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.image.header
    }

    /// The labels, in the order of every score.
    pub fn labels(&self) -> &[String] {
        &self.image.header.labels
    }

    /// SHA-256 of the whole model, as lower-case hexadecimal: what certificates and encoders bind to.
    pub fn fingerprint(&self) -> String {
        self.image.fingerprint()
    }

    /// Bytes of the model file.
    pub fn size(&self) -> usize {
        self.image.bytes().len()
    }

    /// The log-probabilities of one text, borrowed from the scratch, and the signals.
    pub fn predict_into<'s>(&self, text: &str, scratch: &'s mut Scratch) -> (&'s [f32], Signals) {
        let reading = self.read(text, scratch);
        let Scratch { scores, log_probabilities, .. } = scratch;
        let signals = reading.complete(self.image.meaning().interpret(scores, log_probabilities));
        (log_probabilities, signals)
    }

    /// One text, without a scratch to keep.
    pub fn predict(&self, text: &str) -> Prediction {
        self.predict_with(text, &mut Scratch::default())
    }

    /// Many texts, on the threads of the current rayon pool, in order.
    pub fn predict_batch(&self, texts: &[&str]) -> Vec<Prediction> {
        let texts = texts.par_iter().with_min_len(BATCH);
        texts.map_init(Scratch::default, |scratch, text| self.predict_with(text, scratch)).collect()
    }

    fn predict_with(&self, text: &str, scratch: &mut Scratch) -> Prediction {
        let (log_probabilities, signals) = self.predict_into(text, scratch);
        Prediction { log_probabilities: log_probabilities.to_vec(), signals }
    }

    /// Indices of the labels a text is given: the likeliest one, or every one that reaches its threshold.
    pub fn choose(&self, log_probabilities: &[f32]) -> Vec<u32> {
        self.image.meaning().choose(log_probabilities)
    }

    /// Fills `scratch.scores` with each head's score.
    pub(super) fn read(&self, text: &str, scratch: &mut Scratch) -> Reading {
        let Scratch { text: reading, counts, entries, scores, .. } = scratch;
        let image = &self.image;
        let (slots, rarity) = (image.slots(), image.rarity());
        if counts.len() < rarity.len() {
            counts.resize(rarity.len(), 0);
        }
        entries.clear();
        let mut unknown = 0;
        let words = features::read(text, reading, |kind, hash| {
            let Some(feature) = find(slots, hash) else {
                unknown += u32::from(kind == Kind::Word);
                return;
            };
            let count = &mut counts[feature as usize];
            if *count == 0 {
                entries.push(Entry { feature, value: 0.0 });
            }
            *count = count.saturating_add(1);
        });
        for entry in entries.iter_mut() {
            let feature = entry.feature as usize;
            entry.value = term(std::mem::take(&mut counts[feature]), rarity[feature]);
        }
        to_unit_length(entries, image.header.word_features);
        scores.clear();
        scores.extend_from_slice(image.bias());
        scores.resize(image.header.stride as usize, 0.0);
        add_weights(entries, image.scale(), image.weights(), scores);
        scores.truncate(image.header.heads as usize);
        Reading { words: words as u32, unknown }
    }
}

/// The feature of an n-gram. Its place in the table comes from the hash's lower bits, its identity is checked on
/// the upper 40, so that an n-gram never seen is mistaken for a known one once in a million million times.
fn find(slots: &[u64], hash: u64) -> Option<u32> {
    let mask = slots.len() - 1;
    let mut at = hash as usize & mask;
    loop {
        let slot = slots[at];
        if slot == 0 {
            return None;
        }
        if (slot ^ hash) & !FEATURE_BITS == 0 {
            return Some((slot & FEATURE_BITS) as u32 - 1);
        }
        at = (at + 1) & mask;
    }
}

/// The hash table that `find` reads; at most half full.
pub(super) fn hash_table(hashes: &[u64]) -> Vec<u64> {
    let mut slots = vec![0; (hashes.len() * 2).next_power_of_two().max(2)];
    let mask = slots.len() - 1;
    for (feature, &hash) in hashes.iter().enumerate() {
        let mut at = hash as usize & mask;
        while slots[at] != 0 {
            at = (at + 1) & mask;
        }
        slots[at] = (hash & !FEATURE_BITS) | (feature as u64 + 1);
    }
    slots
}

fn add_weights(entries: &[Entry], scale: &[f32], weights: &[i8], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { add_weights_avx2(entries, scale, weights, scores) };
    }
    add_weights_plainly(entries, scale, weights, scores);
}

/// The same sums in wide registers; heads never mix and nothing is fused, so the result is the same bit for bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_weights_avx2(entries: &[Entry], scale: &[f32], weights: &[i8], scores: &mut [f32]) {
    add_weights_plainly(entries, scale, weights, scores);
}

#[inline(always)]
fn add_weights_plainly(entries: &[Entry], scale: &[f32], weights: &[i8], scores: &mut [f32]) {
    let stride = scores.len();
    for entry in entries {
        let feature = entry.feature as usize;
        let factor = entry.value * scale[feature];
        let row = &weights[feature * stride..(feature + 1) * stride];
        for (score, &weight) in scores.iter_mut().zip(row) {
            *score += factor * f32::from(weight);
        }
    }
}
