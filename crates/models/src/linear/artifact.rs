//! What does a model look like on disk? The same as in memory: one image, read whole.
//!
//! ```text
//! 0   magic "SPRATLIN"         64  header, JSON, padded with spaces to a multiple of 64
//! 8   u32 version              ..  slots       u64 x slots     hash table from n-gram to feature
//! 12  u32 length of header     ..  rarity      f32 x features  inverse document frequency
//! 16  u64 length of file       ..  scale       f32 x features  of the quantised weights
//! 24  SHA-256 of all the rest  ..  bias        f32 x heads
//! 56  zero                     ..  calibration f32 x heads x 2 slope and offset of each head
//!                              ..  thresholds  f32 x labels    least probability that gives the label
//!                              ..  weights     i8 x features x stride
//! ```
//! Little-endian; each section begins at a multiple of 64.

use super::meaning::Meaning;
use super::rows::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

#[cfg(target_endian = "big")]
compile_error!("the linear model's file is used as it lies and is little-endian");

const MAGIC: &[u8; 8] = b"SPRATLIN";
/// Raised whenever the layout, the features or the meaning of a number changes.
const VERSION: u32 = 1;
const HEADER_AT: usize = 64;
const DIGEST_AT: Range<usize> = 24..56;
const ALIGNMENT: usize = 64;

/// Why a file can't be opened as a linear model.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("can't read the model file")]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("not a linear model of Sprat: the file doesn't begin with `SPRATLIN`")]
    NotAModel,
    /// Written by another version of the format.
    #[error(
        "the model file has format version {found}, this build reads version {VERSION}; train the model again"
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// Shorter or longer than it says.
    #[error("the model file is {found} bytes long and should be {expected}; copy it again")]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The content differs from what was written.
    #[error("the model file is damaged: its checksum doesn't match; copy it again or train the model again")]
    Checksum,
    /// The checksum matches, but the content makes no sense: a fault of whoever wrote it.
    #[error("the model file is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The labels, in the order of every score.
    pub labels: Vec<String>,
    /// Whether a text may carry several labels.
    pub several: bool,
    /// Whether every text carries one: then a text whose labels all stay below their thresholds gets the likeliest.
    #[serde(default)]
    pub at_least_one: bool,
    /// Index of the label that means "none of the others".
    pub out_of_scope: Option<u32>,
    /// Settings it was trained with, the seed among them.
    pub config: super::Config,
    /// Number of training rows.
    pub rows: u64,
    /// SHA-256 over the training rows.
    pub data_sha256: String,
    /// Version of the code that trained it.
    pub code_version: String,
    pub(super) features: u32,
    /// Features below this number belong to the view of words.
    pub(super) word_features: u32,
    pub(super) slots: u32,
    pub(super) heads: u32,
    /// Bytes from one feature's weights to the next.
    pub(super) stride: u32,
}

/// The numbers of a model, before they become an image.
pub(super) struct Sections {
    pub(super) slots: Vec<u64>,
    pub(super) rarity: Vec<f32>,
    /// Features below this number belong to the view of words.
    pub(super) word_features: u32,
    pub(super) scale: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) calibration: Vec<f32>,
    pub(super) thresholds: Vec<f32>,
    pub(super) weights: Vec<i8>,
}

/// A complete model file in memory, checked.
pub(super) struct Image {
    bytes: Bytes,
    pub(super) header: Header,
    layout: Layout,
}

/// Eight-byte words, so that every section can be used where it lies.
struct Bytes {
    words: Vec<u64>,
    length: usize,
}

struct Layout {
    slots: Range<usize>,
    rarity: Range<usize>,
    scale: Range<usize>,
    bias: Range<usize>,
    calibration: Range<usize>,
    thresholds: Range<usize>,
    weights: Range<usize>,
    total: usize,
}

impl Image {
    pub(super) fn build(header: Header, sections: &Sections) -> Self {
        let mut text = serde_json::to_vec(&header).unwrap_or_default();
        text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
        let layout =
            Layout::of(&header, text.len()).unwrap_or_else(|| unreachable!("a model in memory has a size"));
        let mut image = Bytes::of_length(layout.total);
        let bytes = image.as_mut_slice();
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(text.len() as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&(layout.total as u64).to_le_bytes());
        bytes[HEADER_AT..HEADER_AT + text.len()].copy_from_slice(&text);
        bytes[layout.slots.clone()].copy_from_slice(bytemuck::cast_slice(&sections.slots));
        bytes[layout.rarity.clone()].copy_from_slice(bytemuck::cast_slice(&sections.rarity));
        bytes[layout.scale.clone()].copy_from_slice(bytemuck::cast_slice(&sections.scale));
        bytes[layout.bias.clone()].copy_from_slice(bytemuck::cast_slice(&sections.bias));
        bytes[layout.calibration.clone()].copy_from_slice(bytemuck::cast_slice(&sections.calibration));
        bytes[layout.thresholds.clone()].copy_from_slice(bytemuck::cast_slice(&sections.thresholds));
        bytes[layout.weights.clone()].copy_from_slice(bytemuck::cast_slice(&sections.weights));
        let digest = digest(bytes);
        bytes[DIGEST_AT].copy_from_slice(&digest);
        Self { bytes: image, header, layout }
    }

    /// Writes the image beside its final place and renames it there, so that no reader ever sees half of it.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = write_durably(&temporary, self.bytes()).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            return written;
        }
        sync_directory(path)
    }

    /// Reads a file and checks all of it. A mapped file would be quicker to open, but what somebody writes into it
    /// later would change the answers of a running server, and cutting it would kill the server.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut preamble = Vec::new();
        (&mut file).take(HEADER_AT as u64).read_to_end(&mut preamble)?;
        let header_length = check_preamble(&preamble, length)?;
        let mut bytes = Bytes::of_length(usize::try_from(length).map_err(io::Error::other)?);
        let (start, rest) = bytes.as_mut_slice().split_at_mut(HEADER_AT);
        start.copy_from_slice(&preamble);
        file.read_exact(rest)?;
        Self::check(bytes, header_length)
    }

    /// The same for a file that somebody else has read.
    pub(super) fn read(file: &[u8]) -> Result<Self, OpenError> {
        let preamble = &file[..file.len().min(HEADER_AT)];
        let header_length = check_preamble(preamble, file.len() as u64)?;
        let mut bytes = Bytes::of_length(file.len());
        bytes.as_mut_slice().copy_from_slice(file);
        Self::check(bytes, header_length)
    }

    fn check(bytes: Bytes, header_length: usize) -> Result<Self, OpenError> {
        let all = bytes.as_slice();
        if digest(all) != all[DIGEST_AT] {
            return Err(OpenError::Checksum);
        }
        let text = HEADER_AT.checked_add(header_length).and_then(|end| all.get(HEADER_AT..end));
        let text = text.ok_or(OpenError::Inconsistent("the header is longer than the file"))?;
        let header: Header =
            serde_json::from_slice(text).map_err(|_| OpenError::Inconsistent("the header can't be read"))?;
        header.check()?;
        let layout =
            Layout::of(&header, header_length).ok_or(OpenError::Inconsistent("sizes without bounds"))?;
        if layout.total != all.len() {
            return Err(OpenError::Inconsistent("the sections don't fill the file"));
        }
        let image = Self { bytes, header, layout };
        image.check_numbers()?;
        Ok(image)
    }

    fn check_numbers(&self) -> Result<(), OpenError> {
        let features = u64::from(self.header.features);
        let is_slot = |&slot: &u64| slot == 0 || (1..=features).contains(&(slot & FEATURE_BITS));
        if !self.slots().iter().all(is_slot) {
            return Err(OpenError::Inconsistent("a slot points outside the features"));
        }
        // Looking up an n-gram that isn't there ends at an empty slot.
        if !self.slots().contains(&0) {
            return Err(OpenError::Inconsistent("the hash table is full"));
        }
        let numbers = [self.rarity(), self.scale(), self.bias(), self.calibration(), self.thresholds()];
        if !numbers.iter().all(|numbers| numbers.iter().all(|number| number.is_finite())) {
            return Err(OpenError::Inconsistent("a number is infinite or no number"));
        }
        Ok(())
    }

    /// SHA-256 of the whole model, as lower-case hexadecimal.
    pub(super) fn fingerprint(&self) -> String {
        hexadecimal(&self.bytes()[DIGEST_AT])
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    pub(super) fn slots(&self) -> &[u64] {
        bytemuck::cast_slice(&self.bytes()[self.layout.slots.clone()])
    }

    pub(super) fn rarity(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes()[self.layout.rarity.clone()])
    }

    pub(super) fn scale(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes()[self.layout.scale.clone()])
    }

    pub(super) fn bias(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes()[self.layout.bias.clone()])
    }

    /// Slope and offset of each head, interleaved.
    fn calibration(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes()[self.layout.calibration.clone()])
    }

    fn thresholds(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes()[self.layout.thresholds.clone()])
    }

    pub(super) fn meaning(&self) -> Meaning<'_> {
        Meaning {
            several: self.header.several,
            at_least_one: self.header.at_least_one,
            out_of_scope: self.header.out_of_scope,
            calibration: self.calibration(),
            thresholds: self.thresholds(),
        }
    }

    pub(super) fn weights(&self) -> &[i8] {
        bytemuck::cast_slice(&self.bytes()[self.layout.weights.clone()])
    }
}

impl Header {
    fn check(&self) -> Result<(), OpenError> {
        let labels = self.labels.len();
        let right_heads = self.heads as usize == heads(labels, self.several);
        if labels == 0 || !right_heads || self.stride as usize != stride(self.heads as usize) {
            return Err(OpenError::Inconsistent("labels and heads don't fit together"));
        }
        if self.word_features > self.features || !self.slots.is_power_of_two() {
            return Err(OpenError::Inconsistent("features and slots don't fit together"));
        }
        if self.out_of_scope.is_some_and(|label| label as usize >= labels) {
            return Err(OpenError::Inconsistent("the out-of-scope label is not among the labels"));
        }
        Ok(())
    }
}

impl Layout {
    /// `None` where the sizes can't be those of a file.
    fn of(header: &Header, header_length: usize) -> Option<Self> {
        let (features, heads) = (header.features as usize, header.heads as usize);
        let mut end = HEADER_AT.checked_add(header_length)?;
        if !end.is_multiple_of(ALIGNMENT) {
            return None;
        }
        let mut section = |count: usize, size: usize| -> Option<Range<usize>> {
            let begin = end;
            let length = count.checked_mul(size)?;
            end = begin.checked_add(length)?.checked_next_multiple_of(ALIGNMENT)?;
            Some(begin..begin + length)
        };
        Some(Self {
            slots: section(header.slots as usize, 8)?,
            rarity: section(features, 4)?,
            scale: section(features, 4)?,
            bias: section(heads, 4)?,
            calibration: section(heads.checked_mul(2)?, 4)?,
            thresholds: section(header.labels.len(), 4)?,
            weights: section(features.checked_mul(header.stride as usize)?, 1)?,
            total: end,
        })
    }
}

impl Bytes {
    fn of_length(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(8)], length }
    }

    fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}

/// The length of the header, where a file of this length may begin like this.
fn check_preamble(preamble: &[u8], found: u64) -> Result<usize, OpenError> {
    if preamble.get(..8) != Some(MAGIC) {
        return Err(OpenError::NotAModel);
    }
    if preamble.len() < HEADER_AT || found < HEADER_AT as u64 {
        return Err(OpenError::Length { found, expected: HEADER_AT as u64 });
    }
    let version = u32::from_le_bytes([preamble[8], preamble[9], preamble[10], preamble[11]]);
    if version != VERSION {
        return Err(OpenError::Version { found: version });
    }
    let mut length = [0; 8];
    length.copy_from_slice(&preamble[16..24]);
    let expected = u64::from_le_bytes(length);
    if expected != found {
        return Err(OpenError::Length { found, expected });
    }
    Ok(u32::from_le_bytes([preamble[12], preamble[13], preamble[14], preamble[15]]) as usize)
}

/// Scores a model computes: two labels are one question.
pub(super) fn heads(labels: usize, several: bool) -> usize {
    match (labels, several) {
        (1, false) => 0,
        (2, false) => 1,
        _ => labels,
    }
}

/// Bytes for one feature's weights: whole vectors of sixteen where there are that many.
pub(super) fn stride(heads: usize) -> usize {
    if heads < 8 { heads } else { heads.next_multiple_of(16) }
}

/// A slot holds the upper bits of the n-gram's hash and, below them, the feature's number plus one.
pub(super) const FEATURE_BITS: u64 = (1 << 24) - 1;
/// Most features a model can have.
pub(super) const MOST_FEATURES: usize = (FEATURE_BITS - 1) as usize;

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..DIGEST_AT.start]);
    hasher.update(&bytes[DIGEST_AT.end..]);
    hasher.finalize().into()
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the renaming survive a power cut, where the system has directories that can be opened.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// A file whose header lies about one number and whose checksum is right all the same.
#[cfg(test)]
pub(super) fn forge(mut bytes: Vec<u8>, field: &str, value: u32) -> Vec<u8> {
    let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    let mut header: serde_json::Value =
        serde_json::from_slice(&bytes[HEADER_AT..HEADER_AT + length]).unwrap();
    header[field] = value.into();
    let mut text = serde_json::to_vec(&header).unwrap();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    bytes[12..16].copy_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.splice(HEADER_AT..HEADER_AT + length, text);
    let total = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&total.to_le_bytes());
    let digest = digest(&bytes);
    bytes[DIGEST_AT].copy_from_slice(&digest);
    bytes
}
