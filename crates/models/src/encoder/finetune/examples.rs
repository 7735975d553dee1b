//! What is a row to training, and how do many of them pass through the network?

use rayon::prelude::*;

use super::network::{Batch, Network, Tape};

/// A row as training sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text's tokens.
    pub tokens: Vec<u32>,
    /// Its labels, ascending.
    pub targets: Vec<u32>,
    /// What it counts for; above zero.
    pub weight: f32,
}

/// Tokens that one forward pass holds at a time: a few hundred megabytes for a small encoder.
pub const MOST_TOKENS: usize = 2_048;

impl Network<'_> {
    /// Embeddings of many rows, one after the other, on all threads.
    pub fn embeddings(&self, parameters: &[f32], rows: &[Example]) -> Vec<f32> {
        let parts: Vec<&[Example]> = by_tokens(rows, MOST_TOKENS).collect();
        let embed = |tape: &mut Tape, rows: &&[Example]| {
            self.forward(parameters, &self.batch(rows.iter()), tape).to_vec()
        };
        let embedded: Vec<Vec<f32>> = parts.par_iter().map_init(Tape::default, embed).collect();
        embedded.concat()
    }

    /// Rows as they enter the trained part.
    pub fn batch<'r>(&self, rows: impl IntoIterator<Item = &'r Example>) -> Batch {
        let mut batch = Batch::default();
        rows.into_iter().for_each(|row| batch.push(&row.tokens, self.base, &self.layout.config));
        batch
    }
}

/// Runs of rows of at most so many tokens each, or of one row.
pub fn by_tokens<T: Tokens>(rows: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let mut fits = |row: &T| {
            tokens += row.tokens();
            tokens <= most
        };
        let taken = rest.iter().take_while(|row| fits(row)).count().max(1).min(rest.len());
        let (part, further) = rest.split_at(taken);
        rest = further;
        (!part.is_empty()).then_some(part)
    })
}

/// Something that has so many tokens.
pub trait Tokens {
    /// How many.
    fn tokens(&self) -> usize;
}

impl Tokens for Example {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

impl Tokens for &Example {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }
}
