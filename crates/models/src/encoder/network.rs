//! What does the network make of a batch of texts? Tokens in, the vector of each token after the last layer out.
//!
//! Nothing is padded: the tokens of a batch stand one after the other, every product runs over all of them, and only
//! attention knows where a text ends. A batch is cut into groups of whole texts that fit the processor's cache, a group
//! into strips of rows; the threads of the current rayon pool take groups, and strips of each other's groups when there
//! are no more. A single text is shared by all threads, which meet once a layer: where attention needs every row.

use std::ops::Range;

use rayon::prelude::*;

use super::compute::{Block, Cpu, Lines, Matrix, Plus, Precision, Sides, Then, stride};
use super::{Activation, EncoderConfig, Weights};

/// A network whose weights are packed for this machine's processor.
pub struct Network {
    cpu: Cpu,
    config: EncoderConfig,
    words: Vec<f32>,
    /// Of each position, the sum of its own vector and the one of segment 0.
    positions: Vec<f32>,
    embedding_norm: Norm,
    layers: Vec<Layer>,
}

/// Gain and shift of a layer normalisation.
struct Norm {
    gain: Vec<f32>,
    shift: Vec<f32>,
}

struct Layer {
    /// Queries, keys and values side by side, the queries already divided by the root of a head's size.
    attention: Matrix,
    attention_output: Matrix,
    attention_norm: Norm,
    intermediate: Matrix,
    output: Matrix,
    output_norm: Norm,
}

/// Most rows of a group, unless one text alone has more.
const GROUP: usize = 256;
/// Most rows of a strip: what is computed of them between two products stays in the cache of one core.
const STRIP: usize = 48;
/// Columns that a product may touch beyond its own.
const SLACK: usize = 32;

/// The texts of a group, and the vectors of their tokens.
struct Group<'a> {
    /// The rows that each text has among those of the group.
    texts: Vec<Range<usize>>,
    tokens: Vec<&'a [u32]>,
    rows: usize,
}

/// The rows that one task computes, and the memory it does so in.
struct Strip<'a> {
    rows: Range<usize>,
    states: &'a mut [f32],
    /// Queries, keys and values for the next layer.
    projected: &'a mut [f32],
}

impl Network {
    /// Packs weights for this machine's processor.
    pub fn new(config: &EncoderConfig, weights: &Weights, precision: Precision) -> Self {
        Self::on(Cpu::detect(), config, weights, precision)
    }

    /// The same, for vectors narrower than the widest.
    pub(super) fn on(cpu: Cpu, config: &EncoderConfig, weights: &Weights, precision: Precision) -> Self {
        let hidden = config.hidden;
        let segment = &weights.get("embeddings.token_type_embeddings.weight")[..hidden];
        let positions = weights.get("embeddings.position_embeddings.weight").chunks_exact(hidden);
        let positions = positions.flat_map(|position| position.iter().zip(segment).map(|(a, b)| a + b));
        Self {
            cpu,
            config: config.clone(),
            words: weights.get("embeddings.word_embeddings.weight").to_vec(),
            positions: positions.collect(),
            embedding_norm: Norm::of(weights, "embeddings.LayerNorm"),
            layers: (0..config.layers)
                .map(|layer| Layer::pack(cpu, precision, config, weights, layer))
                .collect(),
        }
    }

    /// Its shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// For each text the vectors of its tokens, one after the other: tokens x hidden numbers. Runs on the threads of
    /// the current rayon pool. The vectors of a text don't depend on what else is in the batch, nor on the threads.
    ///
    /// # Panics
    /// Where a text has no tokens, more than the network has positions, or one beyond its vocabulary: a
    /// [`Tokenizer`](super::Tokenizer) that was opened with the same shape gives none of these.
    pub fn states(&self, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        let hidden = self.config.hidden;
        self.each(texts, |rows| {
            let mut states = Vec::with_capacity(rows.rows * hidden);
            (0..rows.rows).for_each(|row| states.extend_from_slice(rows.row(row)));
            states
        })
    }

    /// What `read` makes of the vectors of each text, in the order of the texts.
    pub(super) fn each<T: Send>(&self, texts: &[&[u32]], read: impl Fn(States<'_>) -> T + Sync) -> Vec<T> {
        let order = by_length(texts);
        let groups: Vec<(&[usize], Vec<T>)> = groups(texts, &order, rayon::current_num_threads())
            .into_par_iter()
            .with_max_len(1)
            .map(|members| {
                let group = Group::of(members.iter().map(|text| texts[*text]).collect());
                let states = self.group(&group);
                let stride = stride(self.config.hidden);
                let read = group.texts.iter().map(|rows| {
                    let numbers = &states[rows.start * stride..rows.end * stride];
                    read(States {
                        block: Block { numbers, stride },
                        rows: rows.len(),
                        hidden: self.config.hidden,
                    })
                });
                (members, read.collect())
            })
            .collect();
        let mut found: Vec<(usize, T)> =
            groups.into_iter().flat_map(|(members, read)| members.iter().copied().zip(read)).collect();
        found.sort_unstable_by_key(|(text, _)| *text);
        found.into_iter().map(|(_, read)| read).collect()
    }

    /// The states of a group's tokens after the last layer.
    fn group(&self, group: &Group<'_>) -> Lines {
        let mut states = Lines::zeros(group.rows * stride(self.config.hidden));
        let mut projected = Lines::zeros(group.rows * self.projected_stride() + SLACK);
        let mut next = projected.clone();
        self.each_strip(group, &mut states, &mut next, |strip| {
            self.embed(group, strip);
            self.layers[0].attend_to(self, strip);
        });
        for (at, layer) in self.layers.iter().enumerate() {
            std::mem::swap(&mut projected, &mut next);
            let projected = Block { numbers: &projected, stride: self.projected_stride() };
            self.each_strip(group, &mut states, &mut next, |strip| {
                layer.mix(self, group, projected, strip);
                layer.think(self, strip);
                if let Some(next) = self.layers.get(at + 1) {
                    next.attend_to(self, strip);
                }
            });
        }
        states
    }

    /// Cuts the rows of a group into strips, as many for each thread, and computes them side by side.
    fn each_strip(
        &self,
        group: &Group<'_>,
        states: &mut [f32],
        projected: &mut [f32],
        compute: impl Fn(&mut Strip<'_>) + Sync,
    ) {
        let threads = rayon::current_num_threads();
        let strips = group.rows.div_ceil(STRIP).next_multiple_of(threads).min(group.rows);
        let height = group.rows.div_ceil(strips);
        let states = states.par_chunks_mut(height * stride(self.config.hidden));
        let projected = projected.par_chunks_mut(height * self.projected_stride());
        states.zip(projected).enumerate().for_each(|(strip, (states, projected))| {
            let rows = strip * height..((strip + 1) * height).min(group.rows);
            if !rows.is_empty() {
                compute(&mut Strip { rows, states, projected });
            }
        });
    }

    /// From one row of queries, keys and values to the next.
    fn projected_stride(&self) -> usize {
        stride(self.layers[0].attention.outputs() + SLACK)
    }

    /// The vectors that a text's tokens begin with.
    fn embed(&self, group: &Group<'_>, strip: &mut Strip<'_>) {
        let hidden = self.config.hidden;
        for (text, rows) in group.within(&strip.rows) {
            for row in rows.clone() {
                let place = row - group.texts[text].start;
                let word = &self.words[group.tokens[text][place] as usize * hidden..][..hidden];
                let position = (self.config.first_position + place) * hidden;
                let position = &self.positions[position..][..hidden];
                let state = &mut strip.states[(row - strip.rows.start) * stride(hidden)..][..hidden];
                for ((state, word), position) in state.iter_mut().zip(word).zip(position) {
                    *state = word + position;
                }
            }
        }
        self.normalise(&self.embedding_norm, strip);
    }

    fn normalise(&self, norm: &Norm, strip: &mut Strip<'_>) {
        let hidden = self.config.hidden;
        for row in strip.states.chunks_exact_mut(stride(hidden)) {
            self.cpu.normalise(&mut row[..hidden], &norm.gain, &norm.shift, self.config.norm_epsilon);
        }
    }
}

impl Layer {
    fn pack(cpu: Cpu, precision: Precision, config: &EncoderConfig, weights: &Weights, layer: usize) -> Self {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let weight = |part: &str| weights.get(&name(&format!("{part}.weight")));
        let bias = |part: &str| weights.get(&name(&format!("{part}.bias")));
        let part = |part: &str, factor: f32| (weight(part), bias(part), factor);
        let (hidden, root) = (config.hidden, (config.head() as f32).sqrt().recip());
        let attention = [
            part("attention.self.query", root),
            part("attention.self.key", 1.0),
            part("attention.self.value", 1.0),
        ];
        let pack = |inputs, parts: &[_]| Matrix::pack(cpu, precision, inputs, parts);
        Self {
            attention: pack(hidden, &attention),
            attention_output: pack(hidden, &[part("attention.output.dense", 1.0)]),
            attention_norm: Norm::of(weights, &name("attention.output.LayerNorm")),
            intermediate: pack(hidden, &[part("intermediate.dense", 1.0)]),
            output: pack(config.intermediate, &[part("output.dense", 1.0)]),
            output_norm: Norm::of(weights, &name("output.LayerNorm")),
        }
    }

    /// Queries, keys and values of a strip, for this layer.
    fn attend_to(&self, network: &Network, strip: &mut Strip<'_>) {
        let states = Block { numbers: strip.states, stride: stride(network.config.hidden) };
        let rows = strip.rows.len();
        self.attention.multiply(
            network.cpu,
            rows,
            states,
            Then::Write,
            strip.projected,
            network.projected_stride(),
        );
    }

    /// Attention: each token takes from the others of its text, by how its query meets their keys.
    fn mix(&self, network: &Network, group: &Group<'_>, projected: Block<'_>, strip: &mut Strip<'_>) {
        let hidden = network.config.hidden;
        let stride_out = stride(hidden + SLACK);
        let mut mixed = Lines::zeros(strip.rows.len() * stride_out);
        let mut attention = Attention::new(network, projected);
        for (text, rows) in group.within(&strip.rows) {
            let out = &mut mixed[(rows.start - strip.rows.start) * stride_out..];
            attention.of(group.texts[text].clone(), rows, out, stride_out);
        }
        let mixed = Block { numbers: &mixed, stride: stride_out };
        let rows = strip.rows.len();
        self.attention_output.multiply(network.cpu, rows, mixed, Then::Add, strip.states, stride(hidden));
        network.normalise(&self.attention_norm, strip);
    }

    /// The feed-forward network, on each token by itself.
    fn think(&self, network: &Network, strip: &mut Strip<'_>) {
        let (hidden, rows) = (network.config.hidden, strip.rows.len());
        let wide = stride(network.config.intermediate);
        let mut inner = Lines::zeros(rows * wide);
        let activation = match network.config.activation {
            Activation::Gelu => Cpu::gelu,
            Activation::GeluTanh => Cpu::gelu_tanh,
            Activation::Relu => Cpu::relu,
        };
        let states = Block { numbers: strip.states, stride: stride(hidden) };
        self.intermediate.multiply(network.cpu, rows, states, Then::Apply(activation), &mut inner, wide);
        let inner = Block { numbers: &inner, stride: wide };
        self.output.multiply(network.cpu, rows, inner, Then::Add, strip.states, stride(hidden));
        network.normalise(&self.output_norm, strip);
    }
}

/// The attention of one strip, with the memory it needs.
struct Attention<'a> {
    network: &'a Network,
    projected: Block<'a>,
    /// The keys of one head, turned: a panel for every 32 tokens, in it a row for each number of a key.
    keys: Lines,
    /// How each query meets each key.
    scores: Lines,
}

impl<'a> Attention<'a> {
    fn new(network: &'a Network, projected: Block<'a>) -> Self {
        Self { network, projected, keys: Lines::default(), scores: Lines::default() }
    }

    /// Writes what the tokens in `rows` take from those of their text.
    fn of(&mut self, text: Range<usize>, rows: Range<usize>, out: &mut [f32], stride_out: usize) {
        let head = self.network.config.head();
        let width = stride(text.len());
        self.keys = Lines::zeros(text.len().next_multiple_of(SLACK) * head);
        self.scores = Lines::zeros(rows.len() * width);
        // What a head writes beyond its own columns, the next one overwrites.
        for column in (0..self.network.config.hidden).step_by(head) {
            self.turn_keys(&text, column);
            self.meet(&text, &rows, column, width);
            self.take(&text, &rows, column, width, &mut out[column..], stride_out);
        }
    }

    /// Brings the keys of a head into panels.
    fn turn_keys(&mut self, text: &Range<usize>, column: usize) {
        let head = self.network.config.head();
        let keys = self.network.layers[0].attention.outputs() / 3 + column;
        for (panel, keys_of) in self.keys.chunks_exact_mut(SLACK * head).enumerate() {
            let tokens = text.len().saturating_sub(panel * SLACK).min(SLACK);
            for token in 0..tokens {
                let row = self.projected.from(text.start + panel * SLACK + token, keys);
                for (number, key) in row.numbers[..head].iter().enumerate() {
                    keys_of[number * SLACK + token] = *key;
                }
            }
        }
    }

    /// The share that each query gives to each token.
    fn meet(&mut self, text: &Range<usize>, rows: &Range<usize>, column: usize, width: usize) {
        let (cpu, head) = (self.network.cpu, self.network.config.head());
        let left = self.projected.from(rows.start, column);
        for (panel, keys) in self.keys.chunks_exact(SLACK * head).enumerate() {
            let sides = Sides { left, right: Block { numbers: keys, stride: SLACK }, depth: head };
            cpu.product(rows.len(), sides, Plus::Nothing, &mut self.scores[panel * SLACK..], width);
        }
        for scores in self.scores.chunks_exact_mut(width) {
            cpu.softmax(&mut scores[..text.len()]);
        }
    }

    /// The values, each by its share.
    fn take(
        &self,
        text: &Range<usize>,
        rows: &Range<usize>,
        column: usize,
        width: usize,
        out: &mut [f32],
        stride_out: usize,
    ) {
        let head = self.network.config.head();
        let values = self.network.layers[0].attention.outputs() / 3 * 2 + column;
        for first in (0..head).step_by(SLACK) {
            let sides = Sides {
                left: Block { numbers: &self.scores, stride: width },
                right: self.projected.from(text.start, values + first),
                depth: text.len(),
            };
            self.network.cpu.product(rows.len(), sides, Plus::Nothing, &mut out[first..], stride_out);
        }
    }
}

impl Norm {
    fn of(weights: &Weights, name: &str) -> Self {
        let part = |part: &str| weights.get(&format!("{name}.{part}")).to_vec();
        Self { gain: part("weight"), shift: part("bias") }
    }
}

/// The vectors of one text's tokens.
#[derive(Clone, Copy)]
pub(super) struct States<'a> {
    block: Block<'a>,
    /// How many tokens.
    pub(super) rows: usize,
    hidden: usize,
}

impl<'a> States<'a> {
    /// The vector of one token.
    pub(super) fn row(self, row: usize) -> &'a [f32] {
        self.block.row(row, self.hidden)
    }
}

impl<'a> Group<'a> {
    fn of(tokens: Vec<&'a [u32]>) -> Self {
        let mut rows = 0;
        let texts = tokens.iter().map(|tokens| {
            rows += tokens.len();
            rows - tokens.len()..rows
        });
        Self { texts: texts.collect(), rows, tokens }
    }

    /// The texts that have rows among these, each with those.
    fn within(&self, rows: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let rows = rows.clone();
        let first = self.texts.partition_point(|text| text.end <= rows.start);
        let texts = self.texts[first..].iter().take_while(move |text| text.start < rows.end).enumerate();
        let rows = rows.clone();
        texts.map(move |(at, text)| (first + at, text.start.max(rows.start)..text.end.min(rows.end)))
    }
}

/// The places of texts, the longest first: long ones don't come last, when the other threads have nothing left to do.
fn by_length(texts: &[&[u32]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|text| std::cmp::Reverse(texts[*text].len()));
    order
}

/// Cuts an order of texts into runs of about as many tokens, at least one for each thread where there are enough.
fn groups<'a>(texts: &[&[u32]], order: &'a [usize], threads: usize) -> Vec<&'a [usize]> {
    let all: usize = texts.iter().map(|text| text.len()).sum();
    let most = all.div_ceil(threads).min(GROUP);
    let (mut groups, mut rest) = (Vec::new(), order);
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |text: &&usize| {
            tokens += texts[**text].len();
            tokens <= most
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (group, others) = rest.split_at(count);
        groups.push(group);
        rest = others;
    }
    groups
}
