//! What vector is a text? A checkpoint ready to be asked.

use std::path::Path;

use rayon::prelude::*;
use sprat_task::{ModelError, Problem};

use super::compute::{Cpu, Precision};
use super::network::{Network, States};
use super::{Checkpoint, Pooling, SentenceConfig, Tokenizer};

/// An encoder: texts in, a vector for each out.
pub struct Encoder {
    tokenizer: Tokenizer,
    sentence: SentenceConfig,
    network: Network,
}

/// A text's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The vector.
    pub vector: Vec<f32>,
    /// Tokens of the text, those around it included.
    pub tokens: usize,
}

impl Encoder {
    /// Reads a model's folder.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(folder: &Path, precision: Precision) -> Result<Self, Problem> {
        Checkpoint::open(folder).map(|checkpoint| Self::of(checkpoint, precision))
    }

    /// Packs a checkpoint's weights for this machine.
    pub fn of(checkpoint: Checkpoint, precision: Precision) -> Self {
        Self::on(Cpu::detect(), checkpoint, precision)
    }

    /// The same, for vectors narrower than the widest.
    pub(super) fn on(cpu: Cpu, checkpoint: Checkpoint, precision: Precision) -> Self {
        let network = Network::on(cpu, &checkpoint.config, &checkpoint.weights, precision);
        Self { tokenizer: checkpoint.tokenizer, sentence: checkpoint.sentence, network }
    }

    /// Numbers in the vector of a text.
    pub fn dimensions(&self) -> usize {
        self.network.config().hidden
    }

    /// Texts to tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The network alone: for whoever wants the vector of each token.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The vector of each text, in order, on the threads of the current rayon pool: the one that sentence-transformers
    /// gives, of unit length where the model asks for that.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
        let tokens: Vec<Vec<u32>> = self.tokenizer.ids_of(texts)?;
        let tokens: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        Ok(self.pooled(&tokens))
    }

    /// The same with the tokens that each text has, where a text that can't be read fails alone.
    pub fn encode_each(&self, texts: &[&str]) -> Vec<Result<Encoded, ModelError>> {
        let read: Vec<Result<Vec<u32>, ModelError>> =
            texts.par_iter().map(|text| self.tokenizer.ids(text)).collect();
        let tokens: Vec<&[u32]> = read.iter().flatten().map(Vec::as_slice).collect();
        let mut vectors = self.pooled(&tokens).into_iter();
        let mut encoded = |tokens: Vec<u32>| Encoded {
            vector: vectors.next().unwrap_or_else(|| unreachable!("a vector for each text that was read")),
            tokens: tokens.len(),
        };
        read.into_iter().map(|tokens| tokens.map(&mut encoded)).collect()
    }

    /// The same for texts whose tokens are known.
    ///
    /// # Panics
    /// As [`Network::states`].
    pub fn pooled(&self, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        pooled(&self.network, &self.sentence, texts)
    }
}

/// The vector of each text, given the tokens of all.
///
/// # Panics
/// As [`Network::states`].
pub(super) fn pooled(network: &Network, sentence: &SentenceConfig, texts: &[&[u32]]) -> Vec<Vec<f32>> {
    network.each(texts, |states| {
        let mut vector = pool(sentence.pooling, states);
        if sentence.normalise {
            to_unit_length(&mut vector);
        }
        vector
    })
}

fn pool(pooling: Pooling, states: States<'_>) -> Vec<f32> {
    let mut vector = states.row(0).to_vec();
    if pooling == Pooling::Cls {
        return vector;
    }
    for row in 1..states.rows {
        for (sum, number) in vector.iter_mut().zip(states.row(row)) {
            *sum += number;
        }
    }
    let share = 1.0 / states.rows as f32;
    vector.iter_mut().for_each(|number| *number *= share);
    vector
}

/// Brings a vector to length 1; one that has no length stays.
pub(super) fn to_unit_length(vector: &mut [f32]) {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
}
