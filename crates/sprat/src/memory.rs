//! Where a workspace keeps what it remembers.

use std::path::PathBuf;

use sprat_models::remote::PriceTable;
use sprat_store::{Store, StoreError};
use sprat_task::Problem;

use crate::failure::Failure;
use crate::workspace::{Workspace, shown};

impl Workspace {
    /// The folder of everything Sprat writes.
    pub fn memory(&self) -> PathBuf {
        self.root.join(".sprat")
    }

    /// The folder of releases.
    pub fn releases(&self) -> PathBuf {
        self.memory().join("releases")
    }

    /// The store, opened; made where there is none.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.store_url())?)
    }

    /// The store's address, with its path resolved against the workspace's folder.
    pub fn store_url(&self) -> String {
        match self.config.store.strip_prefix("sqlite:") {
            Some(path) => format!("sqlite:{}", self.root.join(path).display()),
            None => self.config.store.clone(),
        }
    }

    /// The price table, with the workspace's own laid over it.
    pub fn prices(&self) -> Result<PriceTable, Problem> {
        let built_in = PriceTable::built_in()?;
        let Some(file) = &self.config.prices else { return Ok(built_in) };
        let path = self.root.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Problem::in_file(shown(&path), format!("the prices can't be read: {error}")))?;
        Ok(built_in.with(PriceTable::read(file, &text)?))
    }

    /// Threads for training and bulk work.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.config.defaults.threads.unwrap_or_else(cores)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = error.hint();
        if matches!(
            error,
            StoreError::Url { .. }
                | StoreError::NoRelease(_)
                | StoreError::NoKey(_)
                | StoreError::KeyExists(_)
                | StoreError::IsLive(_)
                | StoreError::NothingLive(_)
                | StoreError::NothingBefore(_)
        ) {
            let problem = Problem::new(error.to_string());
            return match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
            .into();
        }
        match hint {
            Some(hint) => Self::ours_with_hint(error.to_string(), hint),
            None => Self::ours(error.to_string()),
        }
    }
}
