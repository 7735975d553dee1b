//! The base model, and whether it is still the one that a head was taught with.

use std::fs;
use std::path::{Path, PathBuf};

use sprat_task::Sha256Hex;

use super::super::{Checkpoint, checkpoint::FILES};

/// Where a base model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a folder on this machine.
    Folder(PathBuf),
    /// Nowhere yet; the sentence says what to do.
    Missing(String),
}

impl Place {
    /// Reads the model and the digests of its files.
    pub fn open(&self) -> Result<(Checkpoint, Vec<(String, Sha256Hex)>), String> {
        let folder = self.folder()?;
        let checkpoint = Checkpoint::open(folder).map_err(|problem| problem.to_string())?;
        Ok((checkpoint, digests(folder)?))
    }

    fn folder(&self) -> Result<&Path, String> {
        match self {
            Self::Folder(folder) => Ok(folder),
            Self::Missing(why) => Err(why.clone()),
        }
    }
}

/// SHA-256 of each of the files that a model is read from, those that are there.
fn digests(folder: &Path) -> Result<Vec<(String, Sha256Hex)>, String> {
    let mut digests = Vec::new();
    for name in FILES {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => digests.push((name.to_owned(), Sha256Hex::of(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(digests)
}

/// The first file that is not what it was, in a sentence.
pub fn changed(then: &[(String, Sha256Hex)], now: &[(String, Sha256Hex)], place: &Place) -> Option<String> {
    let differs = |(name, digest): &&(String, Sha256Hex)| {
        now.iter().find(|(other, _)| other == name).is_none_or(|(_, now)| now != digest)
    };
    let added = || now.iter().find(|(name, _)| !then.iter().any(|(other, _)| other == name));
    let (name, _) = then.iter().find(differs).or_else(added)?;
    let folder = place.folder().map(|folder| folder.display().to_string()).unwrap_or_default();
    Some(format!(
        "{folder}/{name} is not the file that the head was taught with; put the model's own files back, or learn again"
    ))
}
