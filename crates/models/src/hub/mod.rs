//! Model files from the Hugging Face hub, or from a folder: checked, kept, and never half there.
//!
//! | question | file |
//! |---|---|
//! | What can stand after `source =`? | [`source`] |
//! | Which hub, whose token, where are files kept? | [`config`] |
//! | What does the hub say of a model, and which of its files are needed? | `listing`, `needed`, `gguf` |
//! | How do bytes come? | `http`, `download` |
//! | Are they the right ones? | [`digest`] |
//! | What is on this machine? | [`cache`] |
//! | What model is in a folder? | [`contents`] |
//! | What can go wrong, and what then? | [`error`] |

pub mod cache;
pub mod config;
pub mod contents;
pub mod digest;
mod download;
pub mod error;
mod gguf;
mod http;
mod listing;
mod needed;
pub mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use cache::{Cache, Snapshot};
pub use config::HubConfig;
pub use contents::Contents;
pub use digest::Digest;
pub use error::HubError;
pub use source::{ModelSource, Repository};

use download::Download;
use http::Http;

/// How much of a model has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that are on this machine.
    pub done: u64,
    /// Bytes there will be.
    pub total: u64,
}

/// The hub, with the cache before it.
pub struct Hub {
    config: HubConfig,
    cache: Cache,
}

impl Hub {
    /// The configured hub. Nothing is sent and nothing is made yet.
    pub fn new(config: HubConfig) -> Self {
        let cache = Cache::new(config.folder.clone());
        Self { config, cache }
    }

    /// What is on this machine.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The folder of a model's files: as it was pulled, where it was; else fetched now. A branch that has moved at the
    /// hub changes nothing here until it is pulled again. Relative paths are relative to `root`.
    ///
    /// # Errors
    /// A folder that isn't there; everything [`Self::pull`] returns.
    pub async fn resolve(
        &self,
        source: &ModelSource,
        root: &std::path::Path,
        told: &(dyn Fn(Fetched) + Sync),
    ) -> Result<PathBuf, HubError> {
        match source {
            ModelSource::Path(path) => {
                let folder = root.join(path);
                if folder.exists() { Ok(folder) } else { Err(HubError::NoFolder(folder)) }
            }
            ModelSource::Hub(repository) => match self.cache.find(repository) {
                Some(snapshot) => Ok(snapshot.folder),
                None => Ok(self.pull(repository, told).await?.folder),
            },
        }
    }

    /// Fetches what the hub has under this revision now, unless that is here already. Dropping the future stops it;
    /// what has come is kept and the next pull goes on from there.
    ///
    /// # Errors
    /// Offline; a model, revision or file that isn't there or isn't shown; a hub that can't be reached, cuts off or
    /// sends other bytes than it promised; a full disk.
    pub async fn pull(
        &self,
        repository: &Repository,
        told: &(dyn Fn(Fetched) + Sync),
    ) -> Result<Snapshot, HubError> {
        if self.config.offline {
            return self.cache.find(repository).ok_or_else(|| HubError::NotHere(repository.clone()));
        }
        let http = Http::new(&self.config)?;
        let listing = listing::ask(&http, repository).await?;
        let files = needed::choose(repository, &listing)?;
        let name = cache::name_of(&listing.commit, &files);
        let _lock = self.cache.lock(repository).await?;
        if let Some(here) = self.cache.snapshot(repository, &name) {
            self.cache.point(repository, &name)?;
            // Once more, with what was just remembered of it.
            return Ok(self.cache.snapshot(repository, &name).unwrap_or(here));
        }
        let files = listing::complete(&http, repository, &listing.commit, files).await?;
        let folder = self.cache.unfinished(repository, &name)?;
        Download { http: &http, repository, commit: &listing.commit, folder: &folder, files: &files }
            .run(told)
            .await?;
        self.cache.finish(repository, &name, &files)
    }
}
