//! How is a linear model trained? The defaults are chosen once for all data sets; see
//! `docs/decisions/0003-linear-model.md` for what was measured.

use serde::{Deserialize, Serialize};

/// Settings of the linear model. The defaults need no tuning per data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Decides the order in which rows are visited. The same seed, rows and settings give the same file, bit for
    /// bit, whatever the number of threads.
    pub seed: u64,
    /// Price of a badly classified row against large weights: the `C` of support vector machines. Above zero.
    pub cost: f32,
    /// Most passes over the rows.
    pub epochs: u32,
    /// Training stops once no row moves its dual variable by more than this, in units of the margin.
    pub tolerance: f32,
    /// How far rare labels are lifted, 0 to 1: 0 leaves every row its weight, 1 makes the rows of a label weigh as
    /// much together as all other rows.
    pub balance: f32,
    /// Share of the rightly answered texts that may be given up, so that texts out of scope are refused, 0 to 1.
    /// Applies where a label is named as out of scope; measured on rows the model has not seen.
    pub in_scope_loss: f32,
    /// Most distinct n-grams kept, those seen in most rows first. Bounds memory and the file.
    pub max_features: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            cost: 0.6,
            epochs: 15,
            tolerance: 0.1,
            balance: 0.2,
            in_scope_loss: 0.002,
            max_features: 300_000,
        }
    }
}
