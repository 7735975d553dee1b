//! The encoder as training sees it: texts to embeddings, keeping what the way back needs, and gradients of embeddings to
//! gradients of every trained number. It computes what serving computes (a test compares the two), with nothing dropped
//! on the way back (a test compares every tensor's gradient with finite differences).

use super::super::{EncoderConfig, Pooling, Weights};
use super::activation;
use super::attention::{self, Texts};
use super::layout::{Block, Layout};
use super::matrix::{Before, Matrix, multiply};
use super::norm::{self, add};

/// Texts as they enter the trained part: for each token the sum of its frozen embeddings.
pub struct Batch {
    /// Text `i` has the tokens `starts[i]..starts[i + 1]`.
    pub starts: Vec<usize>,
    /// One vector a token.
    pub tokens: Vec<f32>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { starts: vec![0], tokens: Vec::new() }
    }
}

impl Batch {
    /// Adds a text: for each token the sum of its rows in the base model's tables.
    pub fn push(&mut self, tokens: &[u32], base: &Weights, config: &EncoderConfig) {
        let hidden = config.hidden;
        let words = base.get("embeddings.word_embeddings.weight");
        let positions = base.get("embeddings.position_embeddings.weight");
        let segment = &base.get("embeddings.token_type_embeddings.weight")[..hidden];
        for (place, token) in tokens.iter().enumerate() {
            let word = &words[*token as usize * hidden..][..hidden];
            let position = &positions[(config.first_position + place) * hidden..][..hidden];
            let sum = word.iter().zip(position).zip(segment).map(|((a, b), c)| a + b + c);
            self.tokens.extend(sum);
        }
        self.starts.push(self.starts.last().copied().unwrap_or(0) + tokens.len());
    }

    fn texts(&self) -> Texts<'_> {
        Texts { starts: &self.starts }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }
}

/// What the way back needs of one forward pass; its buffers are used again by the next.
#[derive(Default)]
pub struct Tape {
    embedded: Normed,
    blocks: Vec<BlockTape>,
    /// Each block's input, and the last one's output.
    states: Vec<Vec<f32>>,
    /// Length of each text's pooled vector; 1 where it isn't brought to unit length.
    lengths: Vec<f32>,
    embeddings: Vec<f32>,
    scratch: Scratch,
}

/// A layer norm's own part of the tape.
#[derive(Default)]
struct Normed {
    rows: Vec<f32>,
    inverse: Vec<f32>,
}

#[derive(Default)]
struct BlockTape {
    qkv: Vec<f32>,
    shares: Vec<f32>,
    attended: Vec<f32>,
    attended_norm: Normed,
    middle: Vec<f32>,
    /// The activation's derivative.
    slope: Vec<f32>,
    wide: Vec<f32>,
    narrow_norm: Normed,
}

#[derive(Default)]
struct Scratch {
    state: Vec<f32>,
    middle: Vec<f32>,
    wide: Vec<f32>,
    qkv: Vec<f32>,
    shares: Vec<f32>,
}

/// An encoder whose trained numbers are given with each call.
pub struct Network<'a> {
    pub layout: Layout,
    /// The base model: its tables of embeddings, which stay as they are.
    pub base: &'a Weights,
    pub pooling: Pooling,
    /// Whether embeddings are brought to unit length.
    pub normalise: bool,
}

impl Network<'_> {
    /// Embeddings of a batch, one row a text.
    pub fn forward<'t>(&self, parameters: &[f32], batch: &Batch, tape: &'t mut Tape) -> &'t [f32] {
        let config = &self.layout.config;
        let tokens = batch.tokens();
        tape.blocks.resize_with(config.layers, BlockTape::default);
        tape.states.resize_with(config.layers + 1, Vec::new);
        tape.embedded.rows.clone_from(&batch.tokens);
        tape.embedded.inverse.resize(tokens, 0.0);
        tape.states[0].resize(tokens * config.hidden, 0.0);
        let Normed { rows, inverse } = &mut tape.embedded;
        norm::forward(
            rows,
            inverse,
            &mut tape.states[0],
            parameters,
            &self.layout.embedding_norm,
            config.norm_epsilon,
        );
        for (index, block) in self.layout.blocks.iter().enumerate() {
            let (before, after) = tape.states.split_at_mut(index + 1);
            self.block_forward(
                parameters,
                block,
                batch.texts(),
                &before[index],
                &mut tape.blocks[index],
                &mut after[0],
            );
        }
        self.pool(batch, tape);
        &tape.embeddings
    }

    /// Adds to `gradients` what the embeddings' gradient (one row a text) makes of every number. `forward` has filled
    /// the tape with the same batch and parameters.
    pub fn backward(
        &self,
        parameters: &[f32],
        batch: &Batch,
        to_embeddings: &[f32],
        tape: &mut Tape,
        gradients: &mut [f32],
    ) {
        let mut gradient = std::mem::take(&mut tape.scratch.state);
        self.unpool(batch, to_embeddings, tape, &mut gradient);
        for (index, block) in self.layout.blocks.iter().enumerate().rev() {
            let Tape { blocks, states, scratch, .. } = tape;
            self.block_backward(
                parameters,
                block,
                batch.texts(),
                (&states[index], &blocks[index]),
                scratch,
                &mut gradient,
                gradients,
            );
        }
        let Normed { rows, inverse } = &tape.embedded;
        norm::backward(&mut gradient, rows, inverse, parameters, &self.layout.embedding_norm, gradients);
        tape.scratch.state = gradient;
    }

    fn block_forward(
        &self,
        parameters: &[f32],
        block: &Block,
        texts: Texts<'_>,
        input: &[f32],
        tape: &mut BlockTape,
        output: &mut Vec<f32>,
    ) {
        let config = &self.layout.config;
        let (hidden, tokens) = (config.hidden, input.len() / config.hidden);
        tape.shares.resize(texts.shares(config.heads), 0.0);
        for (buffer, width) in [
            (&mut tape.qkv, 3 * hidden),
            (&mut tape.attended, hidden),
            (&mut tape.attended_norm.rows, hidden),
            (&mut tape.attended_norm.inverse, 1),
            (&mut tape.middle, hidden),
            (&mut tape.slope, config.intermediate),
            (&mut tape.wide, config.intermediate),
            (&mut tape.narrow_norm.rows, hidden),
            (&mut tape.narrow_norm.inverse, 1),
            (output, hidden),
        ] {
            buffer.resize(tokens * width, 0.0);
        }
        let dense =
            |out: &mut [f32], input: &[f32], weight, bias| dense(parameters, out, input, weight, bias);
        dense(&mut tape.qkv, input, &block.qkv_weight, &block.qkv_bias);
        attention::forward(config, texts, &tape.qkv, &mut tape.shares, &mut tape.attended);
        let Normed { rows, inverse } = &mut tape.attended_norm;
        dense(rows, &tape.attended, &block.attended_weight, &block.attended_bias);
        add(rows, input);
        norm::forward(rows, inverse, &mut tape.middle, parameters, &block.attended_norm, config.norm_epsilon);
        dense(&mut tape.slope, &tape.middle, &block.wide_weight, &block.wide_bias);
        activation::forward(config.activation, &mut tape.slope, &mut tape.wide);
        let Normed { rows, inverse } = &mut tape.narrow_norm;
        dense(rows, &tape.wide, &block.narrow_weight, &block.narrow_bias);
        add(rows, &tape.middle);
        norm::forward(rows, inverse, output, parameters, &block.narrow_norm, config.norm_epsilon);
    }

    /// Turns the gradient of a block's output into that of its input, in place.
    #[expect(clippy::too_many_arguments, reason = "the way back needs all that the way there had")]
    fn block_backward(
        &self,
        parameters: &[f32],
        block: &Block,
        texts: Texts<'_>,
        (input, tape): (&[f32], &BlockTape),
        scratch: &mut Scratch,
        gradient: &mut [f32],
        gradients: &mut [f32],
    ) {
        let config = &self.layout.config;
        let tokens = input.len() / config.hidden;
        let longest = texts.each().map(|text| text.len()).max().unwrap_or(0);
        scratch.wide.resize(tokens * config.intermediate, 0.0);
        scratch.middle.resize(tokens * config.hidden, 0.0);
        scratch.qkv.resize(tokens * 3 * config.hidden, 0.0);
        scratch.shares.resize(longest * longest, 0.0);
        let Scratch { middle, wide, qkv, shares, .. } = scratch;

        let Normed { rows, inverse } = &tape.narrow_norm;
        norm::backward(gradient, rows, inverse, parameters, &block.narrow_norm, gradients);
        let mut back = |to: &mut [f32], before, of: &[f32], input: &[f32], weight, bias| {
            dense_backward(parameters, gradients, (to, before), of, input, weight, bias);
        };
        back(wide, Before::Replaced, gradient, &tape.wide, &block.narrow_weight, &block.narrow_bias);
        wide.iter_mut().zip(&tape.slope).for_each(|(gradient, slope)| *gradient *= slope);
        // The block's two shortcuts: what came past a part is added to what came through it.
        back(gradient, Before::AddedTo, wide, &tape.middle, &block.wide_weight, &block.wide_bias);

        let Normed { rows, inverse } = &tape.attended_norm;
        norm::backward(gradient, rows, inverse, parameters, &block.attended_norm, gradients);
        let mut back = |to: &mut [f32], before, of: &[f32], input: &[f32], weight, bias| {
            dense_backward(parameters, gradients, (to, before), of, input, weight, bias);
        };
        back(
            middle,
            Before::Replaced,
            gradient,
            &tape.attended,
            &block.attended_weight,
            &block.attended_bias,
        );
        attention::backward(config, texts, &tape.qkv, &tape.shares, middle, shares, qkv);
        back(gradient, Before::AddedTo, qkv, input, &block.qkv_weight, &block.qkv_bias);
    }

    fn pool(&self, batch: &Batch, tape: &mut Tape) {
        let hidden = self.layout.config.hidden;
        let Some(state) = tape.states.last() else { return };
        tape.embeddings.clear();
        tape.embeddings.resize(batch.len() * hidden, 0.0);
        tape.lengths.clear();
        for (text, embedding) in batch.texts().each().zip(tape.embeddings.chunks_exact_mut(hidden)) {
            let tokens = &state[text.start * hidden..text.end * hidden];
            match self.pooling {
                Pooling::Cls => add(embedding, &tokens[..hidden]),
                Pooling::Mean => {
                    tokens.chunks_exact(hidden).for_each(|token| add(embedding, token));
                    let share = 1.0 / text.len() as f32;
                    embedding.iter_mut().for_each(|x| *x *= share);
                }
            }
            let mut length = 1.0;
            if self.normalise {
                length = embedding.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                embedding.iter_mut().for_each(|x| *x /= length);
            }
            tape.lengths.push(length);
        }
    }

    /// From the embeddings' gradient to that of the tokens' vectors.
    fn unpool(&self, batch: &Batch, to_embeddings: &[f32], tape: &Tape, gradient: &mut Vec<f32>) {
        let hidden = self.layout.config.hidden;
        gradient.clear();
        gradient.resize(batch.tokens() * hidden, 0.0);
        let rows = to_embeddings.chunks_exact(hidden).zip(tape.embeddings.chunks_exact(hidden));
        for ((text, (to, embedding)), length) in batch.texts().each().zip(rows).zip(&tape.lengths) {
            let along: f32 = match self.normalise {
                true => to.iter().zip(embedding).map(|(to, x)| to * x).sum(),
                false => 0.0,
            };
            let pooled = to.iter().zip(embedding).map(|(to, x)| (to - along * x) / length);
            let (shared_by, share) = match self.pooling {
                Pooling::Cls => (text.start..text.start + 1, 1.0),
                Pooling::Mean => (text.clone(), 1.0 / text.len() as f32),
            };
            let pooled: Vec<f32> = pooled.map(|x| x * share).collect();
            gradient[shared_by.start * hidden..shared_by.end * hidden]
                .chunks_exact_mut(hidden)
                .for_each(|token| token.copy_from_slice(&pooled));
        }
    }
}

type Range = std::ops::Range<usize>;

/// `out = input weight^T + bias`, a row a token.
pub fn dense(parameters: &[f32], out: &mut [f32], input: &[f32], weight: &Range, bias: &Range) {
    let bias = &parameters[bias.clone()];
    let (width, of) = (bias.len(), weight.len() / bias.len());
    out.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
    let rows = input.len() / of;
    let weight = Matrix::new(&parameters[weight.clone()], width, of).transposed();
    multiply(out, width, Matrix::new(input, rows, of), weight, 1.0, Before::AddedTo);
}

/// The way back through [`dense`]: fills or adds to the input's gradient, and adds to those of weight and bias.
pub fn dense_backward(
    parameters: &[f32],
    gradients: &mut [f32],
    (to_input, before): (&mut [f32], Before),
    of_output: &[f32],
    input: &[f32],
    weight: &Range,
    bias: &Range,
) {
    let (width, of) = (bias.len(), weight.len() / bias.len());
    let rows = input.len() / of;
    of_output.chunks_exact(width).for_each(|row| add(&mut gradients[bias.clone()], row));
    let of_output = Matrix::new(of_output, rows, width);
    let to_weight = &mut gradients[weight.clone()];
    multiply(to_weight, of, of_output.transposed(), Matrix::new(input, rows, of), 1.0, Before::AddedTo);
    let weight = Matrix::new(&parameters[weight.clone()], width, of);
    multiply(to_input, of, of_output, weight, 1.0, before);
}
