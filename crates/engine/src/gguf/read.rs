//! What stands in the file? Header, metadata and the table of tensors; the numbers themselves stay where they are.
//! Every count is held against the bytes that are left before anything is kept for it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::value::WholeKind::{Bits8, Bits16, Bits32, Bits64};
use super::{GgufError, Tensor, TensorKind, Value};

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// What tensors begin at a multiple of, unless the file says otherwise.
pub const ALIGNMENT: u64 = 32;
/// A key longer than this is damage: the format's own limit.
const LONGEST_KEY: u64 = 65_535;
/// A tensor's name longer than this is refused by llama.cpp (`GGML_MAX_NAME`, with its closing 0).
const LONGEST_NAME: u64 = 63;
/// More sizes than a tensor may have (`GGML_MAX_DIMS`).
const MOST_SIZES: u32 = 4;
/// Lists of lists are nothing that a model needs deeper than this.
const DEEPEST: u32 = 3;

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Keys and values, in the file's order, none twice.
    pub metadata: Vec<(String, Value)>,
    /// The tensors, in the file's order, none twice.
    pub tensors: Vec<Tensor>,
    /// What tensors begin at a multiple of.
    pub alignment: u64,
    /// Where the data begins.
    pub data_start: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
}

impl Gguf {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it is no GGUF file, or where it is damaged: also where a tensor ends beyond the file.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file = File::open(path)?;
        let told = file.metadata()?;
        if !told.is_file() {
            return Err(GgufError::Foreign("it is no file".to_owned()));
        }
        Self::read(BufReader::new(file), told.len())
    }

    /// Reads what `input` gives, which is `bytes` long.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(input: impl Read, bytes: u64) -> Result<Self, GgufError> {
        let mut input = Bytes { input, at: 0, bytes };
        if bytes < 4 || input.array::<4>()? != MAGIC {
            return Err(GgufError::Foreign(format!("it doesn't begin with `GGUF` ({bytes} bytes in all)")));
        }
        let version = input.u32()?;
        match version {
            2 | 3 => {}
            1 => return Err(GgufError::Foreign("version 1 is no longer read; convert it anew".to_owned())),
            _ if version.swap_bytes() <= 3 => {
                return Err(GgufError::Foreign("it is big-endian; convert it for this machine".to_owned()));
            }
            _ => return Err(GgufError::Foreign(format!("version {version}, and 2 and 3 are known"))),
        }
        let tensors = input.count("tensors", 24)?;
        let keys = input.count("keys", 13)?;
        let metadata = read_metadata(&mut input, keys)?;
        let alignment = alignment(&metadata)?;
        let tensors = read_tensors(&mut input, tensors)?;
        let data_start = input.at.next_multiple_of(alignment);
        let file = Self { version, metadata, tensors, alignment, data_start, bytes };
        file.check_places()?;
        Ok(file)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Every tensor lies within the file, at a place where one may lie.
    fn check_places(&self) -> Result<(), GgufError> {
        for tensor in &self.tensors {
            let Tensor { name, offset, .. } = tensor;
            let at = self.data_start.saturating_add(*offset);
            let broken = |what: String| GgufError::Broken { at, what };
            let (numbers, _) = tensor.kind.block();
            let bytes = tensor.bytes().ok_or_else(|| {
                broken(format!(
                    "tensor `{name}` has sizes {:?}, whose rows are no whole blocks of {numbers} ({})",
                    tensor.sizes,
                    tensor.kind.name()
                ))
            })?;
            if offset % self.alignment != 0 {
                return Err(broken(format!(
                    "tensor `{name}` doesn't begin at a multiple of {}",
                    self.alignment
                )));
            }
            if at.checked_add(bytes).is_none_or(|end| end > self.bytes) {
                let file = self.bytes;
                return Err(broken(format!(
                    "tensor `{name}` of {bytes} bytes ends beyond the file of {file}"
                )));
            }
        }
        Ok(())
    }
}

fn alignment(metadata: &[(String, Value)]) -> Result<u64, GgufError> {
    let Some((_, value)) = metadata.iter().find(|(key, _)| key == "general.alignment") else {
        return Ok(ALIGNMENT);
    };
    value.as_whole().filter(|number| number.is_power_of_two() && *number <= 1 << 20).ok_or_else(|| {
        GgufError::Broken { at: 0, what: "`general.alignment` is no power of two up to a million".to_owned() }
    })
}

fn read_metadata(input: &mut Bytes<impl Read>, keys: u64) -> Result<Vec<(String, Value)>, GgufError> {
    let mut metadata = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..keys {
        let at = input.at;
        let key = input.text("a key", LONGEST_KEY)?;
        let kind = input.u32()?;
        let value = read_value(input, kind, 0)?;
        if !seen.insert(key.clone()) {
            return Err(GgufError::Broken { at, what: format!("key `{key}` stands there twice") });
        }
        metadata.push((key, value));
    }
    Ok(metadata)
}

fn read_value(input: &mut Bytes<impl Read>, kind: u32, depth: u32) -> Result<Value, GgufError> {
    Ok(match kind {
        0 => Value::Whole(u64::from(u8::from_le_bytes(input.array()?)), Bits8),
        1 => Value::Signed(i64::from(i8::from_le_bytes(input.array()?)), Bits8),
        2 => Value::Whole(u64::from(u16::from_le_bytes(input.array()?)), Bits16),
        3 => Value::Signed(i64::from(i16::from_le_bytes(input.array()?)), Bits16),
        4 => Value::Whole(u64::from(input.u32()?), Bits32),
        5 => Value::Signed(i64::from(i32::from_le_bytes(input.array()?)), Bits32),
        6 => Value::F32(f32::from_le_bytes(input.array()?)),
        7 => Value::Bool(u8::from_le_bytes(input.array()?) != 0),
        8 => Value::Text(input.text("a text", u64::MAX)?),
        9 if depth < DEEPEST => {
            let kind = input.u32()?;
            let values = input.count("values of a list", least_bytes(kind))?;
            let mut list = Vec::with_capacity(values.min(MOST_AHEAD) as usize);
            for _ in 0..values {
                list.push(read_value(input, kind, depth + 1)?);
            }
            Value::List(list)
        }
        10 => Value::Whole(u64::from_le_bytes(input.array()?), Bits64),
        11 => Value::Signed(i64::from_le_bytes(input.array()?), Bits64),
        12 => Value::F64(f64::from_le_bytes(input.array()?)),
        _ => return Err(input.broken(format!("a value is of kind {kind}, and 0 to 12 are known"))),
    })
}

/// The fewest bytes that a value of a kind has.
fn least_bytes(kind: u32) -> u64 {
    match kind {
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        _ => 1,
    }
}

fn read_tensors(input: &mut Bytes<impl Read>, tensors: u64) -> Result<Vec<Tensor>, GgufError> {
    let mut table = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..tensors {
        let name = input.text("a tensor's name", LONGEST_NAME)?;
        let count = input.u32()?;
        if count == 0 || count > MOST_SIZES {
            return Err(
                input.broken(format!("tensor `{name}` has {count} sizes, and 1 to {MOST_SIZES} can be"))
            );
        }
        let sizes: Result<Vec<u64>, GgufError> = (0..count).map(|_| input.u64()).collect();
        let sizes = sizes?;
        if sizes.contains(&0) {
            return Err(input.broken(format!("tensor `{name}` has a size of 0")));
        }
        let code = input.u32()?;
        let kind = TensorKind::from_code(code).ok_or_else(|| {
            input.broken(format!("tensor `{name}` is stored in a way that isn't known here ({code})"))
        })?;
        let offset = input.u64()?;
        if !seen.insert(name.clone()) {
            return Err(input.broken(format!("tensor `{name}` stands there twice")));
        }
        table.push(Tensor { name, sizes, kind, offset });
    }
    Ok(table)
}

/// Values of a list that room is made for before they are read: a vocabulary's, and no more than a damaged file may claim.
const MOST_AHEAD: u64 = 1 << 17;

/// Bytes that are counted.
struct Bytes<R> {
    input: R,
    at: u64,
    bytes: u64,
}

impl<R: Read> Bytes<R> {
    fn broken(&self, what: String) -> GgufError {
        GgufError::Broken { at: self.at, what }
    }

    fn left(&self) -> u64 {
        self.bytes.saturating_sub(self.at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        if self.left() < N as u64 {
            return Err(self.broken("it ends here".to_owned()));
        }
        let mut array = [0; N];
        self.input.read_exact(&mut array)?;
        self.at += N as u64;
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// How many of something follow, none of them shorter than `least` bytes.
    fn count(&mut self, what: &str, least: u64) -> Result<u64, GgufError> {
        let count = self.u64()?;
        let room = self.left() / least;
        if count > room {
            return Err(self.broken(format!("it should have {count} {what}, and no more than {room} fit")));
        }
        Ok(count)
    }

    fn text(&mut self, what: &str, longest: u64) -> Result<String, GgufError> {
        let length = self.u64()?;
        let room = self.left().min(longest);
        if length > room {
            return Err(
                self.broken(format!("{what} should have {length} bytes, and no more than {room} can be"))
            );
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.input.read_exact(&mut bytes)?;
        self.at += length;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}
