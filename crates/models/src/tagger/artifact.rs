//! What does a tagger look like on disk?
//!
//! ```text
//! 0   magic "SPRATTAG"          ..  hashes       u64 x features
//! 8   u32 version               ..  scales       f32 x features
//! 12  u32 length of header      ..  weights      i8 x features x tags
//! 16  u64 length of file        ..  transitions  f32 x (fields + 1)², then f32 x 2 fields
//! 24  SHA-256 of all the rest   ..  phrases      u64 x phrases, then u16 x phrases: their fields
//! 56  header, JSON
//! ```
//! Little-endian.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::Config;
use super::crf::Transitions;
use super::lexicon::Lexicon;
use super::model::{TaggerModel, Weights};

const MAGIC: &[u8; 8] = b"SPRATTAG";
/// Raised whenever the layout, the features or the meaning of a number changes.
const VERSION: u32 = 1;
const DIGEST_AT: Range<usize> = 24..56;
const HEADER_AT: usize = 56;

/// Why a file can't be opened as a tagger.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("can't read the model file")]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("not a tagger of Sprat: the file doesn't begin with `SPRATTAG`")]
    NotAModel,
    /// Written by another version of the format.
    #[error(
        "the model file has format version {found}, this build reads version {VERSION}; train the model again"
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// Shorter or longer than it says, or its content differs from what was written.
    #[error("the model file is damaged or cut off; copy it again or train the model again")]
    Damaged,
    /// Its checksum is right, but its content makes no sense: a fault of whoever wrote it.
    #[error("the model file is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The fields, in the order of their tags.
    pub fields: Vec<String>,
    /// Settings it was trained with, the seed among them.
    pub config: Config,
    /// Number of training rows.
    pub rows: u64,
    /// Version of the code that trained it.
    pub code_version: String,
    /// For each field: slope and offset from the log-odds that the model gives a value to those that it has.
    pub calibration: Vec<(f64, f64)>,
    pub(super) features: u64,
    pub(super) phrases: u64,
    pub(super) longest_phrase: u64,
}

impl TaggerModel {
    /// The model as a file has it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let phrases = self.lexicon.entries();
        let header = Header {
            features: self.weights.hashes.len() as u64,
            phrases: phrases.len() as u64,
            longest_phrase: self.lexicon.longest() as u64,
            ..self.header.clone()
        };
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.resize(HEADER_AT, 0);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(bytemuck::cast_slice(&self.weights.hashes));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.weights.scales));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.weights.weights));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.transitions.next));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.transitions.go_on));
        phrases.iter().for_each(|(phrase, _)| bytes.extend_from_slice(&phrase.to_le_bytes()));
        phrases.iter().for_each(|(_, field)| bytes.extend_from_slice(&field.to_le_bytes()));
        let length = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        let digest = digest(&bytes);
        bytes[DIGEST_AT].copy_from_slice(&digest);
        bytes
    }

    /// Writes the model beside its final place and renames it there, so that no reader ever sees half of it.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::write(&temporary, self.to_bytes())
            .and_then(|()| fs::File::open(&temporary)?.sync_all())
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Reads a file and checks all of it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::from_bytes(&fs::read(path)?)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, and checks all of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.get(..8) != Some(MAGIC) {
            return Err(OpenError::NotAModel);
        }
        let start = bytes.get(..HEADER_AT).ok_or(OpenError::Damaged)?;
        let version = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        if version != VERSION {
            return Err(OpenError::Version { found: version });
        }
        let header = u32::from_le_bytes([start[12], start[13], start[14], start[15]]) as usize;
        if start[16..24] != (bytes.len() as u64).to_le_bytes() || start[DIGEST_AT] != digest(bytes) {
            return Err(OpenError::Damaged);
        }
        let mut rest = Rest(&bytes[HEADER_AT..]);
        let header: Header = serde_json::from_slice(rest.take(header, 1)?)
            .map_err(|_| OpenError::Inconsistent("the header can't be read"))?;
        Self::from_sections(header, rest)
    }

    fn from_sections(header: Header, mut rest: Rest<'_>) -> Result<Self, OpenError> {
        let large = |_| OpenError::Inconsistent("sizes without bounds");
        let (fields, features) = (header.fields.len(), usize::try_from(header.features).map_err(large)?);
        let phrases = usize::try_from(header.phrases).map_err(large)?;
        let tags = 2 * fields + 1;
        let hashes = rest.numbers(features)?;
        let scales: Vec<f32> = rest.numbers(features)?;
        let weights =
            rest.numbers(features.checked_mul(tags).ok_or(OpenError::Inconsistent("sizes without bounds"))?)?;
        let next: Vec<f32> = rest.numbers((fields + 1) * (fields + 1))?;
        let go_on: Vec<f32> = rest.numbers(2 * fields)?;
        let phrase: Vec<u64> = rest.numbers(phrases)?;
        let of_field: Vec<u16> = rest.numbers(phrases)?;
        let numbers = scales.iter().chain(&next).chain(&go_on);
        if !numbers.copied().all(f32::is_finite) {
            return Err(OpenError::Inconsistent("a number is infinite or no number"));
        }
        if header.calibration.len() != fields || of_field.iter().any(|field| usize::from(*field) >= fields) {
            return Err(OpenError::Inconsistent("fields and numbers don't fit together"));
        }
        if !rest.0.is_empty() {
            return Err(OpenError::Inconsistent("the sections don't fill the file"));
        }
        let longest = usize::try_from(header.longest_phrase).map_err(large)?;
        Ok(Self {
            weights: Weights::new(tags, hashes, scales, weights),
            transitions: Transitions { fields, next, go_on },
            lexicon: Lexicon::from_entries(phrase.into_iter().zip(of_field), longest),
            header,
        })
    }
}

/// What of a file hasn't been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize, size: usize) -> Result<&'a [u8], OpenError> {
        let short = OpenError::Inconsistent("the sections are longer than the file");
        let length = count.checked_mul(size).filter(|length| *length <= self.0.len()).ok_or(short)?;
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }

    fn numbers<T: bytemuck::AnyBitPattern>(&mut self, count: usize) -> Result<Vec<T>, OpenError> {
        let size = size_of::<T>();
        Ok(self.take(count, size)?.chunks_exact(size).map(bytemuck::pod_read_unaligned).collect())
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..DIGEST_AT.start]);
    hasher.update(&bytes[DIGEST_AT.end..]);
    hasher.finalize().into()
}
