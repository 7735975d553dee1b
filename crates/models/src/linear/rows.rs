//! What is learned from? Labelled rows, checked once, so that training can't meet a wrong one.

use sha2::{Digest, Sha256};

/// Labelled texts that fit together: every target is a label, every row has one target (or any number of them
/// where a row may carry several), and every weight is a finite number of at least zero.
#[derive(Clone)]
pub struct Rows<'a> {
    texts: &'a [&'a str],
    labels: &'a [String],
    /// Row `i` carries `targets[starts[i]..starts[i + 1]]`, ascending.
    targets: Vec<u32>,
    starts: Vec<usize>,
    weights: Vec<f32>,
    several: bool,
    out_of_scope: Option<u32>,
}

/// What is wrong with rows handed in for training.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowsError {
    /// There is nothing to learn from.
    #[error("no rows to learn from; give at least one labelled row")]
    NoRows,
    /// There is nothing to choose from.
    #[error("no labels; name at least one label")]
    NoLabels,
    /// Lists that describe the same rows differ in length.
    #[error("{texts} texts but {given} {what}; give one for each text")]
    Uneven {
        /// Number of texts.
        texts: usize,
        /// Number of the other thing.
        given: usize,
        /// The other thing: targets, weights or folds.
        what: &'static str,
    },
    /// A target is no index into the labels.
    #[error("row {row} has label number {target}, but there are {labels} labels, numbered from 0")]
    UnknownLabel {
        /// Index of the row.
        row: usize,
        /// The number given.
        target: u32,
        /// How many labels there are.
        labels: usize,
    },
    /// A weight is negative or not a number.
    #[error("row {row} has weight {weight}; a weight is a number of at least 0")]
    BadWeight {
        /// Index of the row.
        row: usize,
        /// The weight given.
        weight: f32,
    },
}

impl<'a> Rows<'a> {
    /// Rows with exactly one label each; `targets` are indices into `labels`.
    pub fn one_label(texts: &'a [&'a str], targets: &[u32], labels: &'a [String]) -> Result<Self, RowsError> {
        same_length(texts, targets.len(), "targets")?;
        Self::checked(texts, targets.to_vec(), (0..=targets.len()).collect(), labels, false)
    }

    /// Rows with any number of labels each, none included.
    pub fn several_labels(
        texts: &'a [&'a str],
        targets: &[Vec<u32>],
        labels: &'a [String],
    ) -> Result<Self, RowsError> {
        same_length(texts, targets.len(), "targets")?;
        let mut flat = Vec::new();
        let mut starts = vec![0];
        for row in targets {
            let mut row = row.clone();
            row.sort_unstable();
            row.dedup();
            flat.extend(row);
            starts.push(flat.len());
        }
        Self::checked(texts, flat, starts, labels, true)
    }

    fn checked(
        texts: &'a [&'a str],
        targets: Vec<u32>,
        starts: Vec<usize>,
        labels: &'a [String],
        several: bool,
    ) -> Result<Self, RowsError> {
        if texts.is_empty() {
            return Err(RowsError::NoRows);
        }
        if labels.is_empty() {
            return Err(RowsError::NoLabels);
        }
        for row in 0..texts.len() {
            for &target in &targets[starts[row]..starts[row + 1]] {
                if target as usize >= labels.len() {
                    return Err(RowsError::UnknownLabel { row, target, labels: labels.len() });
                }
            }
        }
        let weights = vec![1.0; texts.len()];
        Ok(Self { texts, labels, targets, starts, weights, several, out_of_scope: None })
    }

    /// Counts row `i` as `weights[i]` rows: the multiplicity of a row that stands for its duplicates.
    pub fn weighted(mut self, weights: &[f32]) -> Result<Self, RowsError> {
        same_length(self.texts, weights.len(), "weights")?;
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(RowsError::BadWeight { row, weight: weights[row] });
        }
        self.weights = weights.to_vec();
        Ok(self)
    }

    /// Names the label that means "none of the others".
    pub fn out_of_scope(mut self, label: u32) -> Result<Self, RowsError> {
        if label as usize >= self.labels.len() {
            return Err(RowsError::UnknownLabel { row: 0, target: label, labels: self.labels.len() });
        }
        self.out_of_scope = Some(label);
        Ok(self)
    }

    /// Number of rows.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn texts(&self) -> &'a [&'a str] {
        self.texts
    }

    pub(super) fn labels(&self) -> &'a [String] {
        self.labels
    }

    /// The labels of a row, ascending.
    pub(super) fn targets(&self, row: usize) -> &[u32] {
        &self.targets[self.starts[row]..self.starts[row + 1]]
    }

    pub(super) fn weight(&self, row: usize) -> f32 {
        self.weights[row]
    }

    pub(super) fn may_have_several(&self) -> bool {
        self.several
    }

    /// Whether every row that counts carries a label: then an answer without one would be wrong.
    pub(super) fn always_labelled(&self) -> bool {
        (0..self.len()).all(|row| self.weight(row) == 0.0 || !self.targets(row).is_empty())
    }

    pub(super) fn out_of_scope_label(&self) -> Option<u32> {
        self.out_of_scope
    }

    /// SHA-256 over texts, targets and weights, in order, as lower-case hexadecimal.
    pub(super) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (row, text) in self.texts.iter().enumerate() {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
            hasher.update(self.weight(row).to_le_bytes());
            hasher.update((self.targets(row).len() as u64).to_le_bytes());
            for target in self.targets(row) {
                hasher.update(target.to_le_bytes());
            }
        }
        hexadecimal(&hasher.finalize())
    }
}

pub(super) fn same_length(texts: &[&str], given: usize, what: &'static str) -> Result<(), RowsError> {
    if texts.len() == given { Ok(()) } else { Err(RowsError::Uneven { texts: texts.len(), given, what }) }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
