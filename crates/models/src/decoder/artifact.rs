//! What is kept of a decoder that became a rung? One JSON file: which model, told what, and what its labels score on the
//! average. The model's own file stays where it is; its digest is here, and opening compares it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sprat_engine::protocol::Prompt;
use sprat_task::{Label, Sha256Hex};

use super::text::Texts;

/// Raised whenever the layout or the meaning of a number changes.
pub const VERSION: u32 = 2;

/// Everything that was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    pub version: u32,
    /// The model's file.
    pub model: Weights,
    /// The adapter that it is run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Weights>,
    /// What it is told.
    pub prompt: Prompt,
    /// What it answers with.
    pub answers: Answers,
    /// Tokens that it looks back on.
    pub context: u32,
    /// Rows it was asked about.
    pub rows: u64,
    /// SHA-256 over those rows.
    pub data_sha256: Sha256Hex,
    /// Version of the code that made it.
    pub code_version: String,
}

/// What a decoder answers with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answers {
    /// One of some labels, by how well each fits.
    Label {
        /// The labels, in the order of every score.
        labels: Vec<Label>,
        /// What each label scores a token, on the average of the training rows.
        means: Vec<f32>,
    },
    /// Any of some labels, each by a yes and a no.
    Labels {
        /// The labels, in the order of every score.
        labels: Vec<Label>,
        /// Of each, from the log-odds of a yes to a probability.
        calibration: Vec<(f64, f64)>,
        /// Whether every text has one.
        at_least_one: bool,
    },
    /// A record that it writes.
    Record {
        /// The task's fields, as a digest: others need another prompt.
        fields: Sha256Hex,
        /// The JSON schema that it is held to.
        schema: String,
        /// Most tokens of a record.
        most_tokens: u32,
    },
    /// A text that it writes.
    Text(Texts),
}

/// A model's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Of all of it.
    pub sha256: Sha256Hex,
    /// How long it is.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970. A file that is as long and as old as it was is not read
    /// through again: that takes seconds where it is large.
    pub written_unix_ns: u64,
}

impl Weights {
    /// Reads a file through, or the two of a folder that PEFT has written.
    pub fn of(path: &Path) -> Result<Self, String> {
        if !path.is_dir() {
            return Self::of_file(path);
        }
        let parts = PEFT_FILES.map(|name| Self::of_file(&path.join(name)));
        let [config, weights] = parts;
        let (config, weights) = (config?, weights?);
        let digests = [&config, &weights].map(|part| part.sha256.as_str().as_bytes());
        Ok(Self {
            sha256: Sha256Hex::of_parts(digests),
            bytes: config.bytes + weights.bytes,
            written_unix_ns: config.written_unix_ns.max(weights.written_unix_ns),
        })
    }

    fn of_file(file: &Path) -> Result<Self, String> {
        let cant = |error: std::io::Error| format!("{}: {error}", file.display());
        let (bytes, written_unix_ns) = stamp(file)?;
        let mut input = File::open(file).map_err(cant)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match input.read(&mut buffer).map_err(cant)? {
                0 => break,
                read => digest.update(&buffer[..read]),
            }
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let sha256 = Sha256Hex::from_hex(&digest).ok_or_else(|| format!("{}: no digest", file.display()))?;
        Ok(Self { sha256, bytes, written_unix_ns })
    }

    /// Whether `file` is still that file.
    pub fn check(&self, file: &Path) -> Result<(), String> {
        let is_same =
            stamp(file)? == (self.bytes, self.written_unix_ns) || Self::of(file)?.sha256 == self.sha256;
        match is_same {
            true => Ok(()),
            false => Err(format!(
                "{} is not the file that the rung was made with; put that file back, or learn again",
                file.display()
            )),
        }
    }
}

/// What PEFT writes into a folder, as far as it is read.
const PEFT_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// Length, and when it was written; of a folder, both together.
fn stamp(file: &Path) -> Result<(u64, u64), String> {
    if file.is_dir() {
        let [config, weights] = PEFT_FILES.map(|name| stamp(&file.join(name)));
        let (config, weights) = (config?, weights?);
        return Ok((config.0 + weights.0, config.1.max(weights.1)));
    }
    let told = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let written = told.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((told.len(), written.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0))))
}

impl Learned {
    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let cant = |why: String| format!("{} can't be written: {why}", path.display());
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| cant(error.to_string()))?;
        bytes.push(b'\n');
        let mut file = File::create(path).map_err(|error| cant(error.to_string()))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|error| cant(error.to_string()))
    }

    /// Reads a file and checks all of it but whether the model's own is still the same.
    pub fn open(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let broken = |what: &str| format!("{}: {what}; learn again", path.display());
        let learned: Self = serde_json::from_slice(&bytes)
            .map_err(|_| broken("the file is damaged, or of another version of the format"))?;
        if learned.version != VERSION {
            return Err(broken(&format!(
                "the file has format version {}, this build reads {VERSION}",
                learned.version
            )));
        }
        match &learned.answers {
            Answers::Label { labels, means } => {
                let count = labels.len();
                let fits = count > 0 && means.len() == count && learned.prompt.labels.len() == count;
                if !fits || means.iter().any(|mean| !mean.is_finite()) {
                    return Err(broken("labels and numbers don't fit together"));
                }
            }
            Answers::Text(_) => {}
            Answers::Labels { labels, calibration, .. } => {
                let count = labels.len();
                let fits =
                    count > 0 && calibration.len() == count && learned.prompt.labels.len() == 2 * count;
                if !fits
                    || calibration.iter().any(|(slope, offset)| !(slope.is_finite() && offset.is_finite()))
                {
                    return Err(broken("labels and numbers don't fit together"));
                }
            }
            Answers::Record { schema, .. } => {
                if serde_json::from_str::<serde_json::Value>(schema).is_err() {
                    return Err(broken("its schema is no JSON"));
                }
            }
        }
        Ok(learned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_that_was_made_before_texts_had_pieces_or_holes_is_what_it_was() {
        let before =
            r#"{"text":{"stop":["\n\nText:\n"],"most_tokens":40,"pool":[{"text":"one","answer":"eins"}]}}"#;
        let answers: Answers = serde_json::from_str(before).unwrap();
        assert_eq!(serde_json::to_string(&answers).unwrap(), before);
        let Answers::Text(texts) = answers else { panic!("{before}") };
        // What its head reads, and what its certificate is bound to.
        assert_eq!((texts.feature_names().len(), texts.scorer_version()), (16, 1));
    }
}
