//! How is a tagger trained? The defaults are chosen once for all data sets; see
//! `docs/decisions/0011-tagger.md` for what was measured.

use serde::{Deserialize, Serialize};

/// Settings of the tagger. The defaults need no tuning per data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Decides the order in which rows are visited. The same seed, rows and settings
    /// give the same file, bit for bit, whatever the number of threads.
    pub seed: u64,
    /// Passes over the rows.
    pub epochs: u32,
    /// Length of a feature's first step; later ones shrink with what it has already moved (AdaGrad).
    pub rate: f32,
    /// Pull of every weight towards 0.
    pub decay: f32,
    /// Occurrences below which a feature is not kept.
    pub least_count: u32,
    /// Most features kept, those seen most often first. Bounds memory and the file.
    pub max_features: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 0, epochs: 15, rate: 0.1, decay: 1e-4, least_count: 2, max_features: 400_000 }
    }
}
