//! Which engines run, and is there memory for another? Models that nobody waits for make way, the one asked longest ago
//! first; one that can't fit at all is refused before anything is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sprat_task::ModelError;

use super::engine::{Engine, EngineConfig};

/// The engines of one process.
pub struct Engines {
    /// Bytes that all of them together may take.
    budget: u64,
    known: Mutex<HashMap<EngineConfig, Weak<Engine>>>,
    /// One is started at a time, so that two don't take the same room.
    starting: Mutex<()>,
    own: Weak<Self>,
}

impl Engines {
    /// Engines that may take `budget` bytes together.
    pub fn new(budget: u64) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            budget,
            known: Mutex::default(),
            starting: Mutex::default(),
            own: own.clone(),
        })
    }

    /// The engine of a model that takes `needs` bytes: the one that there is, where somebody has it open.
    ///
    /// # Errors
    /// It can't fit, with the arithmetic.
    pub fn open(&self, config: EngineConfig, needs: u64) -> Result<Arc<Engine>, String> {
        if needs > self.budget {
            return Err(format!(
                "{} needs {} of memory with a context of {} tokens, and models may take {}",
                config.file.display(),
                mebibytes(needs),
                config.context,
                mebibytes(self.budget)
            ));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = known.get(&config).and_then(Weak::upgrade) {
            return Ok(engine);
        }
        known.retain(|_, engine| engine.strong_count() > 0);
        let engine = Engine::among(config.clone(), needs, self.own.clone());
        known.insert(config, Arc::downgrade(&engine));
        Ok(engine)
    }

    /// Calls `start` once there is room for `engine`.
    pub(super) fn with_room<T>(
        &self,
        engine: &Engine,
        start: impl FnOnce() -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let _alone = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let others: Vec<Arc<Engine>> = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let others = known.values().filter_map(Weak::upgrade);
                others.filter(|other| !std::ptr::eq(other.as_ref(), engine) && other.is_running()).collect()
            };
            let taken: u64 = others.iter().map(|other| other.needs()).sum();
            if taken.saturating_add(engine.needs()) <= self.budget {
                return start();
            }
            let idle = others.iter().filter_map(|other| Some((other.idle_since()?, other)));
            match idle.min_by_key(|(since, _)| *since) {
                Some((_, other)) => other.rest(),
                None => {
                    return Err(ModelError::Unavailable(format!(
                        "{} needs {} of memory, and models at work hold {} of {}",
                        engine.config().file.display(),
                        mebibytes(engine.needs()),
                        mebibytes(taken),
                        mebibytes(self.budget)
                    )));
                }
            }
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
