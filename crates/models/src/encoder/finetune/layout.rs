//! Which numbers are trained, and where do they lie? All in one vector, so that the optimiser, clipping and a checkpoint
//! see nothing but numbers; each tensor has its name in the base model's file.

use std::ops::Range;

use std::collections::HashMap;

use sprat_task::Problem;

use super::super::{EncoderConfig, Parameter, Weights};

/// A trained tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in the model's file, without the prefix that some files have.
    pub name: String,
    /// Rows and columns; a vector has one row.
    pub shape: (usize, usize),
    /// Its place in the vector.
    pub range: Range<usize>,
}

impl Tensor {
    /// Whether weight decay pulls at it: at matrices, never at biases and norms.
    pub fn decays(&self) -> bool {
        self.shape.0 > 1
    }

    /// Whether it belongs to the head, which the base model's file doesn't have.
    pub fn is_head(&self) -> bool {
        self.name.starts_with("head.")
    }
}

/// The places of one block's tensors.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Query, key and value beneath each other: one product gives all three.
    pub qkv_weight: Range<usize>,
    pub qkv_bias: Range<usize>,
    pub attended_weight: Range<usize>,
    pub attended_bias: Range<usize>,
    pub attended_norm: Norm,
    pub wide_weight: Range<usize>,
    pub wide_bias: Range<usize>,
    pub narrow_weight: Range<usize>,
    pub narrow_bias: Range<usize>,
    pub narrow_norm: Norm,
}

/// The places of a layer norm.
#[derive(Clone, Debug, Default)]
pub struct Norm {
    pub scale: Range<usize>,
    pub shift: Range<usize>,
}

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct Layout {
    pub config: EncoderConfig,
    /// Outputs of the head; 0 where only embeddings are trained.
    pub outputs: usize,
    pub tensors: Vec<Tensor>,
    pub embedding_norm: Norm,
    pub blocks: Vec<Block>,
    pub head_weight: Range<usize>,
    pub head_bias: Range<usize>,
    /// Numbers in all.
    pub length: usize,
}

impl Layout {
    /// Lays out an encoder of this shape and its head. Token, position and type embeddings stay as they are: most of
    /// their rows never occur in a task's texts, and they would double what is stored.
    pub fn new(config: &EncoderConfig, outputs: usize) -> Self {
        let EncoderConfig { hidden, intermediate, .. } = *config;
        let mut places = Places::default();
        let embedding_norm = places.norm("embeddings.LayerNorm", hidden);
        let block = |layer: usize, places: &mut Places| {
            let within = |name: &str| format!("encoder.layer.{layer}.{name}");
            let qkv = ["query", "key", "value"].map(|part| within(&format!("attention.self.{part}")));
            let weights = qkv.clone().map(|name| places.matrix(&format!("{name}.weight"), hidden, hidden));
            let biases = qkv.map(|name| places.vector(&format!("{name}.bias"), hidden));
            Block {
                qkv_weight: weights[0].start..weights[2].end,
                qkv_bias: biases[0].start..biases[2].end,
                attended_weight: places.matrix(&within("attention.output.dense.weight"), hidden, hidden),
                attended_bias: places.vector(&within("attention.output.dense.bias"), hidden),
                attended_norm: places.norm(&within("attention.output.LayerNorm"), hidden),
                wide_weight: places.matrix(&within("intermediate.dense.weight"), intermediate, hidden),
                wide_bias: places.vector(&within("intermediate.dense.bias"), intermediate),
                narrow_weight: places.matrix(&within("output.dense.weight"), hidden, intermediate),
                narrow_bias: places.vector(&within("output.dense.bias"), hidden),
                narrow_norm: places.norm(&within("output.LayerNorm"), hidden),
            }
        };
        let blocks = (0..config.layers).map(|layer| block(layer, &mut places)).collect();
        let (mut head_weight, mut head_bias) = (0..0, 0..0);
        if outputs > 0 {
            head_weight = places.matrix("head.weight", outputs, hidden);
            head_bias = places.vector("head.bias", outputs);
        }
        let length = places.end;
        Self {
            config: config.clone(),
            outputs,
            tensors: places.tensors,
            embedding_norm,
            blocks,
            head_weight,
            head_bias,
            length,
        }
    }
}

impl Layout {
    /// The numbers that training starts from: the base model's, and the head's weights, row by row, then its biases
    /// (zeros where none are given).
    pub fn start(&self, base: &Weights, head: &[f32]) -> Vec<f32> {
        let mut numbers = vec![0.0; self.length];
        for tensor in self.tensors.iter().filter(|tensor| !tensor.is_head()) {
            numbers[tensor.range.clone()].copy_from_slice(base.get(&tensor.name));
        }
        numbers[self.head_weight.start..][..head.len()].copy_from_slice(head);
        numbers
    }

    /// The base model with the trained numbers in place of its own.
    pub fn weights(&self, base: &Weights, numbers: &[f32]) -> Result<Weights, Problem> {
        let trained: HashMap<&str, &Tensor> =
            self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let replaced = |parameter: &Parameter| match trained.get(parameter.name.as_str()) {
            Some(tensor) => Parameter { data: numbers[tensor.range.clone()].to_vec(), ..parameter.clone() },
            None => parameter.clone(),
        };
        Weights::new(&self.config, base.parameters().iter().map(replaced).collect())
    }
}

#[derive(Default)]
struct Places {
    tensors: Vec<Tensor>,
    end: usize,
}

impl Places {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Range<usize> {
        let range = self.end..self.end + rows * columns;
        self.end = range.end;
        self.tensors.push(Tensor { name: name.to_owned(), shape: (rows, columns), range: range.clone() });
        range
    }

    fn vector(&mut self, name: &str, length: usize) -> Range<usize> {
        self.matrix(name, 1, length)
    }

    fn norm(&mut self, name: &str, length: usize) -> Norm {
        let scale = self.vector(&format!("{name}.weight"), length);
        Norm { scale, shift: self.vector(&format!("{name}.bias"), length) }
    }
}
