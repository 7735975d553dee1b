//! Which numbers matter? Of every matrix, how large what it is multiplied with is, column by column: the mean of the squares
//! over the texts of a task. A column that is always multiplied with next to nothing may be stored carelessly.
//!
//! The file is llama.cpp's own (`imatrix` in GGUF), so that its tools read it, and theirs are read here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::Path;

use crate::gguf::write::{Stored, write};
use crate::gguf::{Gguf, GgufError, Tensor, TensorKind, Value};

/// Ends of tensors' names in the file.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
/// A matrix that is wider than this is none.
const MOST_NUMBERS: u64 = 1 << 28;

/// What is known of every matrix, by its tensor's name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Importance {
    /// The matrices.
    pub tensors: BTreeMap<String, Weighed>,
}

/// What one tensor is multiplied with. One of a mixture holds a matrix for each expert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weighed {
    /// Squares, summed: a number for each column, matrix after matrix.
    pub sums: Vec<f32>,
    /// Vectors that each matrix was multiplied with.
    pub counts: Vec<f32>,
}

impl Weighed {
    /// The mean square of each column. An expert that no text needed has no opinion: all its columns are alike.
    pub fn means(&self) -> Vec<f32> {
        let columns = self.columns();
        let mean = |(place, sum): (usize, &f32)| match self.counts[place / columns] {
            count if count > 0.0 => sum / count,
            _ => 1.0,
        };
        self.sums.iter().enumerate().map(mean).collect()
    }

    fn columns(&self) -> usize {
        (self.sums.len() / self.counts.len().max(1)).max(1)
    }

    fn is_sound(&self) -> bool {
        let is_number = |number: &f32| number.is_finite() && *number >= 0.0;
        !self.counts.is_empty()
            && self.sums.len() == self.columns() * self.counts.len()
            && self.sums.iter().chain(&self.counts).all(is_number)
    }
}

impl Importance {
    /// Writes the file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, file: &Path, texts: u32) -> io::Result<()> {
        let metadata = [
            ("general.type".to_owned(), Value::text("imatrix")),
            ("imatrix.datasets".to_owned(), Value::List(vec![Value::text("rows of a task")])),
            ("imatrix.chunk_count".to_owned(), Value::u32(texts)),
            ("imatrix.chunk_size".to_owned(), Value::u32(0)),
        ];
        let mut tensors = Vec::with_capacity(2 * self.tensors.len());
        for (name, weighed) in &self.tensors {
            let (columns, matrices) = (weighed.columns() as u64, weighed.counts.len() as u64);
            tensors.push(Stored::f32(format!("{name}{SUMS}"), &[columns, matrices], &weighed.sums));
            tensors.push(Stored::f32(format!("{name}{COUNTS}"), &[1, matrices], &weighed.counts));
        }
        let file = File::create(file)?;
        write(BufWriter::new(&file), &metadata, &tensors)?;
        file.sync_all()
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// It is none, or damaged.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let table = Gguf::open(path)?;
        if table.get("general.type").and_then(Value::as_text) != Some("imatrix") {
            return Err(GgufError::Foreign("it is no importance matrix".to_owned()));
        }
        let mut file = File::open(path)?;
        let mut tensors = BTreeMap::new();
        for sums in &table.tensors {
            let Some(name) = sums.name.strip_suffix(SUMS) else { continue };
            let counts = table.tensor(&format!("{name}{COUNTS}"));
            let counts =
                counts.ok_or_else(|| GgufError::Unfit(format!("`{name}` has sums, and no counts")))?;
            let weighed = Weighed {
                sums: numbers(&mut file, &table, sums)?,
                counts: numbers(&mut file, &table, counts)?,
            };
            if !weighed.is_sound() {
                return Err(GgufError::Unfit(format!(
                    "`{name}` has sums and counts that don't fit together"
                )));
            }
            tensors.insert(name.to_owned(), weighed);
        }
        if tensors.is_empty() {
            return Err(GgufError::Unfit("it weighs no tensor".to_owned()));
        }
        Ok(Self { tensors })
    }
}

/// The numbers of a tensor, which lies within the file.
fn numbers(file: &mut File, table: &Gguf, tensor: &Tensor) -> Result<Vec<f32>, GgufError> {
    let count = tensor.numbers().filter(|count| *count <= MOST_NUMBERS);
    let Some(count) = count.filter(|_| tensor.kind == TensorKind::F32) else {
        return Err(GgufError::Unfit(format!("`{}` is no list of 32-bit numbers", tensor.name)));
    };
    file.seek(SeekFrom::Start(table.data_start + tensor.offset))?;
    let mut bytes = Vec::new();
    file.take(4 * count).read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
