//! How is such a file written? The same content is the same file, byte for byte.

use std::io::{self, Write};

use super::read::{ALIGNMENT, MAGIC};
use super::{Tensor, TensorKind, Value};

/// A tensor with its bytes, as they will stand in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its sizes, the fastest-moving first.
    pub sizes: Vec<u64>,
    /// How its numbers are stored.
    pub kind: TensorKind,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Stored {
    /// A tensor of 32-bit numbers.
    pub fn f32(name: impl Into<String>, sizes: &[u64], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self { name: name.into(), sizes: sizes.to_vec(), kind: TensorKind::F32, bytes }
    }
}

/// Writes a file of version 3.
///
/// # Errors
/// What the writer says; or [`io::ErrorKind::InvalidInput`] where a tensor's bytes don't fit its sizes.
pub fn write(mut output: impl Write, metadata: &[(String, Value)], tensors: &[Stored]) -> io::Result<()> {
    let mut head = Vec::new();
    head.extend(MAGIC);
    head.extend(3_u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut head, key);
        head.extend(value.code().to_le_bytes());
        put_value(&mut head, value)?;
    }
    let mut offset = 0_u64;
    for stored in tensors {
        let Stored { name, sizes, kind, bytes } = stored;
        let tensor = Tensor { name: name.clone(), sizes: sizes.clone(), kind: *kind, offset };
        if tensor.bytes() != Some(bytes.len() as u64) {
            return Err(invalid(format!(
                "tensor `{name}` of sizes {sizes:?} can't have {} bytes",
                bytes.len()
            )));
        }
        put_text(&mut head, name);
        head.extend((sizes.len() as u32).to_le_bytes());
        sizes.iter().for_each(|size| head.extend(size.to_le_bytes()));
        head.extend(kind.code().to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset = (offset + bytes.len() as u64).next_multiple_of(ALIGNMENT);
    }
    pad(&mut head);
    output.write_all(&head)?;
    for stored in tensors {
        output.write_all(&stored.bytes)?;
        let over = stored.bytes.len() as u64 % ALIGNMENT;
        if over > 0 {
            output.write_all(&[0; ALIGNMENT as usize][over as usize..])?;
        }
    }
    output.flush()
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) -> io::Result<()> {
    use super::value::WholeKind::{Bits8, Bits16, Bits32, Bits64};
    match value {
        // The low bytes of a number are the number, where it fits.
        Value::Whole(number, Bits8) => bytes.extend(&number.to_le_bytes()[..1]),
        Value::Whole(number, Bits16) => bytes.extend(&number.to_le_bytes()[..2]),
        Value::Whole(number, Bits32) => bytes.extend(&number.to_le_bytes()[..4]),
        Value::Whole(number, Bits64) => bytes.extend(number.to_le_bytes()),
        Value::Signed(number, Bits8) => bytes.extend(&number.to_le_bytes()[..1]),
        Value::Signed(number, Bits16) => bytes.extend(&number.to_le_bytes()[..2]),
        Value::Signed(number, Bits32) => bytes.extend(&number.to_le_bytes()[..4]),
        Value::Signed(number, Bits64) => bytes.extend(number.to_le_bytes()),
        Value::F32(number) => bytes.extend(number.to_le_bytes()),
        Value::F64(number) => bytes.extend(number.to_le_bytes()),
        Value::Bool(yes) => bytes.push(u8::from(*yes)),
        Value::Text(text) => put_text(bytes, text),
        Value::List(values) => {
            let kind = values.first().map_or(Value::text("").code(), Value::code);
            if values.iter().any(|value| value.code() != kind) {
                return Err(invalid("a list holds values of several kinds".to_owned()));
            }
            bytes.extend(kind.to_le_bytes());
            bytes.extend((values.len() as u64).to_le_bytes());
            values.iter().try_for_each(|value| put_value(bytes, value))?;
        }
    }
    Ok(())
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
