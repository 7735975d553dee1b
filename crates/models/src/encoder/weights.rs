//! Which numbers does the network multiply with? `model.safetensors`, every tensor found, of the right shape and
//! widened to 32 bits.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use sprat_task::Problem;
use sprat_task::problem::list;

use super::EncoderConfig;

/// The tensors of an encoder, all that its shape asks for and no others.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    parameters: Vec<Parameter>,
    /// Where each name stands in `parameters`.
    places: HashMap<String, usize>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in BERT's own files, such as `encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    /// Its sizes; a matrix is outputs x inputs.
    pub shape: Vec<usize>,
    /// Its numbers, the last size running fastest.
    pub data: Vec<f32>,
}

/// What may stand before every name where the file holds more than the encoder.
const PREFIXES: [&str; 4] = ["", "bert.", "roberta.", "model."];
const WORDS: &str = "embeddings.word_embeddings.weight";

impl Weights {
    /// Reads `model.safetensors`: 32-bit, 16-bit and bfloat16 numbers.
    ///
    /// # Errors
    /// No such file, or one that is cut off or damaged; a tensor that is missing, of another shape or type, or that
    /// holds numbers that are none.
    pub fn open(path: &Path, config: &EncoderConfig) -> Result<Self, Problem> {
        let problem = |message: String| Problem::in_file(path.display(), message);
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(path),
            _ => problem(format!("the file can't be read: {error}")),
        })?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            problem(format!("the file, {} bytes long, is cut off or damaged: {error}", bytes.len()))
                .allowed("a whole safetensors file")
                .hint("fetch the model again")
        })?;
        let prefix = prefix(&tensors).map_err(|problem| problem.at(path.display(), 0))?;
        let parameters = shapes(config).map(|(name, shape)| {
            let found = find(&tensors, prefix, &name).ok_or_else(|| {
                Problem::new(format!("tensor `{prefix}{name}` is missing"))
                    .allowed(format!("a tensor {shape:?} of that name, by config.json"))
            })?;
            read(name, shape, &found)
        });
        let parameters: Result<Vec<Parameter>, Problem> = parameters.collect();
        parameters.map(Self::of).map_err(|problem| problem.at(path.display(), 0))
    }

    /// The weights of a network that was made here, such as a trained one's: one tensor for each of
    /// [`shapes`], in any order.
    ///
    /// # Errors
    /// A tensor that is missing, one too many, or of another shape.
    pub fn new(config: &EncoderConfig, parameters: Vec<Parameter>) -> Result<Self, Problem> {
        let count = parameters.len();
        let mut named: HashMap<String, Parameter> =
            parameters.into_iter().map(|parameter| (parameter.name.clone(), parameter)).collect();
        let ordered: Result<Vec<Parameter>, Problem> = shapes(config)
            .map(|(name, shape)| match named.remove(&name) {
                Some(found)
                    if found.shape == shape && found.data.len() == shape.iter().product::<usize>() =>
                {
                    Ok(found)
                }
                Some(found) => Err(other_shape(&name, &found.shape, &shape)),
                None => Err(Problem::new(format!("tensor `{name}` is missing"))),
            })
            .collect();
        let ordered = ordered?;
        if ordered.len() != count {
            return Err(Problem::new(format!("{count} tensors where the shape has {}", ordered.len())));
        }
        Ok(Self::of(ordered))
    }

    fn of(parameters: Vec<Parameter>) -> Self {
        let places = parameters.iter().enumerate().map(|(at, parameter)| (parameter.name.clone(), at));
        Self { places: places.collect(), parameters }
    }

    /// Writes `model.safetensors` in 32 bits.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, path: &Path) -> Result<(), Problem> {
        let problem = |error: safetensors::SafeTensorError| {
            Problem::in_file(path.display(), format!("the weights can't be written: {error}"))
        };
        let views: Result<Vec<(&str, TensorView<'_>)>, _> = self
            .parameters
            .iter()
            .map(|parameter| {
                let bytes = bytemuck::cast_slice(&parameter.data);
                TensorView::new(Dtype::F32, parameter.shape.clone(), bytes)
                    .map(|view| (parameter.name.as_str(), view))
            })
            .collect();
        // The mark by which other programs know the layout.
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        serialize_to_file(views.map_err(problem)?, Some(format), path).map_err(problem)
    }

    /// All of them, in the order of [`shapes`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The same, to be taken apart.
    pub fn into_parameters(self) -> Vec<Parameter> {
        self.parameters
    }

    /// The numbers of a tensor. Names come from [`shapes`]; an empty slice for any other.
    pub fn get(&self, name: &str) -> &[f32] {
        self.places.get(name).map_or(&[], |&at| &self.parameters[at].data)
    }
}

/// The names and sizes of all tensors of a network of this shape, in the order of a pass through it.
pub fn shapes(config: &EncoderConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
    let (hidden, intermediate) = (config.hidden, config.intermediate);
    let tables = [
        (WORDS.to_owned(), vec![config.vocabulary, hidden]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![config.positions, hidden]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![config.segments, hidden]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![hidden]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![hidden]),
    ];
    let layer = move |layer: usize| {
        let square = |part: &str| linear(format!("{layer}.attention.{part}"), hidden, hidden);
        [
            square("self.query"),
            square("self.key"),
            square("self.value"),
            square("output.dense"),
            norm(format!("{layer}.attention.output.LayerNorm"), hidden),
            linear(format!("{layer}.intermediate.dense"), intermediate, hidden),
            linear(format!("{layer}.output.dense"), hidden, intermediate),
            norm(format!("{layer}.output.LayerNorm"), hidden),
        ]
        .into_iter()
        .flatten()
        .map(|(name, shape)| (format!("encoder.layer.{name}"), shape))
    };
    tables.into_iter().chain((0..config.layers).flat_map(layer))
}

fn linear(name: String, outputs: usize, inputs: usize) -> [(String, Vec<usize>); 2] {
    [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
}

fn norm(name: String, size: usize) -> [(String, Vec<usize>); 2] {
    [(format!("{name}.weight"), vec![size]), (format!("{name}.bias"), vec![size])]
}

fn missing(path: &Path) -> Problem {
    let problem = Problem::in_file(path.display(), "the file is missing: it holds the model's weights");
    if path.with_file_name("pytorch_model.bin").exists() {
        return problem.hint(
            "the folder has them as pytorch_model.bin, which can run code when it is opened: save the model as \
             safetensors, or take a revision that has them",
        );
    }
    problem.hint("fetch the model again, with its config.json, model.safetensors and tokenizer.json")
}

/// What stands before every name in this file.
fn prefix(tensors: &SafeTensors<'_>) -> Result<&'static str, Problem> {
    let is_there = |prefix: &&str| tensors.tensor(&format!("{prefix}{WORDS}")).is_ok();
    PREFIXES.into_iter().find(is_there).ok_or_else(|| {
        let mut names = tensors.names();
        names.sort_unstable();
        Problem::new(format!("the file has no tensor `{WORDS}`: it holds {}", list(names)))
            .allowed("the weights of an encoder of the BERT family")
    })
}

/// A tensor by its name, or by the one that the first BERTs had for the two parts of a layer normalisation.
fn find<'a>(tensors: &SafeTensors<'a>, prefix: &str, name: &str) -> Option<TensorView<'a>> {
    let name = format!("{prefix}{name}");
    let old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    tensors.tensor(&name).or_else(|_| tensors.tensor(&old)).ok()
}

fn read(name: String, shape: Vec<usize>, tensor: &TensorView<'_>) -> Result<Parameter, Problem> {
    if tensor.shape() != shape {
        return Err(other_shape(&name, tensor.shape(), &shape));
    }
    let bytes = tensor.data();
    let data: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => widen(bytes, f32::from_le_bytes),
        Dtype::F16 => widen(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => widen(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => {
            return Err(Problem::new(format!("tensor `{name}` holds numbers of type {other:?}"))
                .allowed("F32, F16, BF16"));
        }
    };
    if !data.iter().all(|number| number.is_finite()) {
        return Err(Problem::new(format!("tensor `{name}` holds numbers that are infinite or none"))
            .hint("fetch the model again"));
    }
    Ok(Parameter { name, shape, data })
}

fn other_shape(name: &str, found: &[usize], expected: &[usize]) -> Problem {
    Problem::new(format!("tensor `{name}` has the shape {found:?}"))
        .allowed(format!("{expected:?}, by config.json"))
        .hint("the files come from different models: fetch them again, all from one")
}

fn widen<const BYTES: usize>(bytes: &[u8], number: impl Fn([u8; BYTES]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}
