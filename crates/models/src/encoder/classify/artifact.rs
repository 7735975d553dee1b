//! What does a taught encoder look like on disk? One safetensors file: its head, the linear model it reads, training rows
//! as vectors, and, where it was fine-tuned, the encoder itself. A frozen encoder's own files stay where they are; the
//! digests of all that it was taught on are in the header, and opening compares them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde::{Deserialize, Serialize};
use sprat_task::{Label, Sha256Hex};

use super::super::{EncoderConfig, Parameter, Weights, weights::shapes};
use super::blend::Blend;
use super::config::Config;
use super::neighbours::Neighbours;
use crate::linear::LinearModel;

/// Raised whenever the layout or the meaning of a number changes.
pub const VERSION: u32 = 1;
/// The key of the header among the file's metadata.
const HEADER: &str = "sprat.encoder";
/// What stands before the names of a fine-tuned encoder's tensors.
const ENCODER: &str = "encoder/";

/// What the file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub version: u32,
    /// The labels, in the order of every output.
    pub labels: Vec<Label>,
    /// Whether a text may carry several.
    pub several: bool,
    pub at_least_one: bool,
    pub out_of_scope: Option<u32>,
    /// Numbers in an embedding.
    pub width: usize,
    pub blend: Blend,
    /// The files of the base model that it was taught with, by name: their SHA-256.
    pub base: Vec<(String, Sha256Hex)>,
    /// SHA-256 of the linear model that the head is blended with.
    pub linear: String,
    /// Whether the encoder itself was trained: then its weights are in this file.
    pub fine_tuned: bool,
    pub config: Config,
    pub seed: u64,
    /// Rows taught.
    pub rows: u64,
    /// SHA-256 over the rows taught.
    pub data_sha256: String,
    /// Version of the code that taught it.
    pub code_version: String,
}

/// Everything that was learned.
pub struct Learned {
    pub header: Header,
    /// Weights row by row, then biases.
    pub head: Vec<f32>,
    pub neighbours: Neighbours,
    pub linear: LinearModel,
    /// The encoder's own weights, where it was fine-tuned.
    pub weights: Option<Weights>,
}

impl Learned {
    /// Writes the file; the same content is the same file, byte for byte.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let linear = self.linear.to_bytes();
        let (labels, width) = (self.header.labels.len(), self.header.width);
        let mut tensors: Vec<(String, TensorView<'_>)> = Vec::new();
        let mut add = |name: String, dtype, shape: Vec<usize>, bytes| -> Result<(), String> {
            tensors.push((name, TensorView::new(dtype, shape, bytes).map_err(|error| error.to_string())?));
            Ok(())
        };
        let numbers = |numbers| bytemuck::cast_slice::<f32, u8>(numbers);
        let (weights, biases) = self.head.split_at(labels * width);
        add("head/weight".to_owned(), Dtype::F32, vec![labels, width], numbers(weights))?;
        add("head/bias".to_owned(), Dtype::F32, vec![labels], numbers(biases))?;
        let Neighbours { vectors, labels, .. } = &self.neighbours;
        add("neighbours/vectors".to_owned(), Dtype::F32, vec![labels.len(), width], numbers(vectors))?;
        add("neighbours/labels".to_owned(), Dtype::U32, vec![labels.len()], bytemuck::cast_slice(labels))?;
        add("linear".to_owned(), Dtype::U8, vec![linear.len()], linear)?;
        for Parameter { name, shape, data } in self.weights.iter().flat_map(Weights::parameters) {
            add(format!("{ENCODER}{name}"), Dtype::F32, shape.clone(), numbers(data))?;
        }
        let header = serde_json::to_string(&self.header).map_err(|error| error.to_string())?;
        let told = HashMap::from([(HEADER.to_owned(), header)]);
        let written = serialize_to_file(tensors, Some(told), path).map_err(|error| error.to_string());
        written
            .and_then(|()| sync(path))
            .map_err(|error| format!("{} can't be written: {error}", path.display()))
    }

    /// Reads a file and checks all of it but what the base model has to say; `shape` is the base model's.
    pub fn open(path: &Path, shape: &EncoderConfig) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::read(&bytes, shape).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn read(bytes: &[u8], shape: &EncoderConfig) -> Result<Self, String> {
        let broken = |what: &str| format!("{what}; train the model again");
        let damaged = |_| broken("the file is cut off or damaged");
        let (_, told) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let text = told.metadata().as_ref().and_then(|told| told.get(HEADER));
        let text = text.ok_or_else(|| broken("the file is no encoder taught by Sprat"))?;
        let header: Header = serde_json::from_str(text)
            .map_err(|_| broken("the header is of another version of the format"))?;
        if header.version != VERSION {
            let found = header.version;
            return Err(broken(&format!("the file has format version {found}, this build reads {VERSION}")));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
            let found = tensors.tensor(name).map_err(|_| broken(&format!("`{name}` is missing")))?;
            match found.dtype() == dtype && found.shape() == shape {
                true => Ok(found.data()),
                false => Err(broken(&format!("`{name}` has another shape than the header says"))),
            }
        };
        let numbers = |name: &str, shape: &[usize]| -> Result<Vec<f32>, String> {
            let numbers: Vec<f32> = tensor(name, Dtype::F32, shape)?
                .as_chunks()
                .0
                .iter()
                .map(|x| f32::from_le_bytes(*x))
                .collect();
            match numbers.iter().all(|number| number.is_finite()) {
                true => Ok(numbers),
                false => Err(broken(&format!("`{name}` holds numbers that are infinite or none"))),
            }
        };
        let (labels, width) = (header.labels.len(), header.width);
        if labels == 0 || width != shape.hidden || header.out_of_scope.is_some_and(|at| at as usize >= labels)
        {
            return Err(broken("labels and sizes don't fit together"));
        }
        let kept = tensors.tensor("neighbours/labels").map_or(0, |found| found.shape().iter().product());
        let neighbours = Neighbours {
            width,
            vectors: numbers("neighbours/vectors", &[kept, width])?,
            labels: tensor("neighbours/labels", Dtype::U32, &[kept])?
                .as_chunks()
                .0
                .iter()
                .map(|x| u32::from_le_bytes(*x))
                .collect(),
        };
        let linear = tensors.tensor("linear").map_err(|_| broken("the linear model is missing"))?;
        let linear = LinearModel::from_bytes(linear.data()).map_err(|error| error.to_string())?;
        if linear.fingerprint() != header.linear || linear.labels().len() != labels {
            return Err(broken("the linear model is another one than the head was taught with"));
        }
        let weights = if header.fine_tuned {
            let parameter = |(name, shape): (String, Vec<usize>)| -> Result<Parameter, String> {
                Ok(Parameter { data: numbers(&format!("{ENCODER}{name}"), &shape)?, name, shape })
            };
            let parameters: Vec<Parameter> = shapes(shape).map(parameter).collect::<Result<_, _>>()?;
            Some(Weights::new(shape, parameters).map_err(|problem| problem.to_string())?)
        } else {
            None
        };
        let head = [numbers("head/weight", &[labels, width])?, numbers("head/bias", &[labels])?].concat();
        Ok(Self { header, head, neighbours, linear, weights })
    }
}

fn sync(path: &Path) -> Result<(), String> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}
