//! What do the stages of one training share? The rows in numbers, the base model, the settings, and where it is kept.

use sprat_task::{LabelledRow, ModelId, Sha256Hex, TrainError, Training};

use super::super::Checkpoint;
use super::super::finetune::{CurvePoint, Example, Layout, Network, Resume, Settings};
use super::config::Config;
use super::held_out::HeldOut;
use super::lessons::Lessons;
use super::neighbours::Neighbours;

/// Groups of the rows of a single fold, for the blend.
const GROUPS: u32 = 5;

/// One training, and all that its stages share.
pub struct Run<'a> {
    pub id: &'a ModelId,
    pub config: &'a Config,
    pub training: &'a Training<'a>,
    pub lessons: Lessons,
    pub examples: Vec<Example>,
    pub rows: &'a [LabelledRow],
    pub folds: &'a [u32],
    pub checkpoint: Checkpoint,
    /// The digests of the base model's files.
    pub base: &'a [(String, Sha256Hex)],
}

/// What came of one way of teaching, on rows that it had not seen.
pub struct Trial {
    pub held_out: HeldOut,
    /// Each pass of fine-tuning; empty where there was none.
    pub curve: Vec<CurvePoint>,
}

impl Run<'_> {
    /// The folds' numbers, ascending.
    pub fn fold_numbers(&self) -> Vec<u32> {
        let mut numbers = self.folds.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Numbers in an embedding.
    pub fn width(&self) -> usize {
        self.checkpoint.config.hidden
    }

    /// The base model as training sees it, with a head of so many outputs.
    pub fn network(&self, outputs: usize) -> Network<'_> {
        Network {
            layout: Layout::new(&self.checkpoint.config, outputs),
            base: &self.checkpoint.weights,
            pooling: self.checkpoint.sentence.pooling,
            // What is served is of unit length, whatever the base model asks for.
            normalise: true,
        }
    }

    /// Some rows, as fine-tuning sees them.
    pub fn examples(&self, rows: &[usize]) -> Vec<Example> {
        rows.iter().map(|row| self.examples[*row].clone()).collect()
    }

    /// Training rows as vectors, out of the embeddings of all.
    pub fn neighbours(&self, embeddings: &[f32], kept: &[usize]) -> Neighbours {
        let width = self.width();
        let vectors = kept.iter().flat_map(|row| &embeddings[row * width..(row + 1) * width]);
        let labels = kept.iter().map(|row| self.first_label(*row)).collect();
        Neighbours { width, vectors: vectors.copied().collect(), labels }
    }

    /// A row's first label; `u32::MAX` for none.
    pub fn first_label(&self, row: usize) -> u32 {
        self.lessons.targets[row].first().copied().unwrap_or(u32::MAX)
    }

    /// Groups of held-out rows for the blend: their folds, or where they are all of one fold, every fifth row.
    pub fn groups(&self, rows: &[usize]) -> Vec<u32> {
        let first = rows.first().map_or(0, |row| self.folds[*row]);
        match rows.iter().all(|row| self.folds[*row] == first) {
            true => (0..rows.len() as u32).map(|place| place % GROUPS).collect(),
            false => rows.iter().map(|row| self.folds[*row]).collect(),
        }
    }

    /// Where an interrupted walk is kept, named by everything it depends on.
    pub fn resume(&self, which: &str, settings: &Settings) -> Option<Resume> {
        let examples = self.examples.iter().map(|example| format!("{example:?}"));
        let fixed = [
            which.to_owned(),
            format!("{settings:?} {:?} {:?}", self.config, self.checkpoint.config),
            format!("{:?} {:?}", self.folds, self.base),
            env!("CARGO_PKG_VERSION").to_owned(),
        ];
        let parts: Vec<String> = fixed.into_iter().chain(examples).collect();
        let key = Sha256Hex::of_parts(parts.iter().map(String::as_bytes)).to_string();
        let file = self.training.kept?.join(format!("{}.{which}.safetensors", self.id));
        Some(Resume { file, key })
    }
}

/// The rows as fine-tuning sees them.
pub fn examples(
    checkpoint: &Checkpoint,
    lessons: &Lessons,
    rows: &[LabelledRow],
) -> Result<Vec<Example>, TrainError> {
    use rayon::prelude::*;
    let example = |place: usize| {
        let row = &rows[place];
        let tokens = checkpoint.tokenizer.ids(&row.input.text);
        let tokens = tokens.map_err(|error| TrainError::Rows(format!("line {}: {error}", row.line)))?;
        Ok(Example { tokens, targets: lessons.targets[place].clone(), weight: lessons.weights[place] })
    };
    (0..rows.len()).into_par_iter().map(example).collect()
}
