//! How is an encoder taught a task? The defaults need no tuning per data set.

use serde::{Deserialize, Serialize};

use super::super::Precision;

/// Settings of an encoder that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the encoder itself is trained, or its head alone.
    pub fine_tune: FineTune,
    /// Most passes of fine-tuning over the rows; `None`: by their number, so that all passes together visit 25,000 rows.
    pub epochs: Option<u32>,
    /// Fine-tuning's largest learning rate.
    pub learning_rate: f32,
    /// How far rare labels are lifted, 0 to 1: 0 leaves every row its weight, 1 makes the rows of each label weigh the
    /// same together.
    pub balance: f32,
    /// How finely it computes where it answers; all of it is fine-tuned in 32 bits, and a head over the
    /// encoder as it came is fitted on what is served.
    pub precision: Precision,
    /// Share of the rightly answered texts that may be given up, so that texts out of scope are refused, 0 to 1.
    /// Applies where a label is named as out of scope; measured on rows the model has not seen.
    pub in_scope_loss: f32,
}

/// Whether the encoder itself is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FineTune {
    /// By pairs where labels are few, by labels where there are rows enough; and then only if it is better on rows that it
    /// has not seen.
    Auto,
    /// Never: the encoder stays as it came.
    Never,
    /// By pairs of rows, whatever comes out.
    Contrastive,
    /// By labels, whatever comes out.
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fine_tune: FineTune::Auto,
            epochs: None,
            learning_rate: 1e-4,
            balance: 0.2,
            precision: Precision::F32,
            in_scope_loss: 0.01,
        }
    }
}
