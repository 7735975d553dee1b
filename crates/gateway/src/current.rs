//! What answers now, exchanged as a whole while requests run: each keeps what it began with.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sprat_cascade::{Deployed, Deployment, Encoder, LadderLoader, Remote};
use tokio_util::sync::CancellationToken;

/// How often a new generation is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What answers now.
#[derive(Default)]
pub struct Current {
    deployed: RwLock<Arc<ByName>>,
}

/// Tasks and models by the names that requests give.
#[derive(Default)]
pub struct ByName {
    /// What answers each task.
    pub tasks: BTreeMap<String, Arc<Deployment>>,
    /// The remote models, by the names they are declared under.
    pub remotes: BTreeMap<String, Arc<Remote>>,
    /// The models that make vectors of texts, likewise.
    pub encoders: BTreeMap<String, Encoder>,
    /// Which generation this is; `None` before the first was loaded.
    pub generation: Option<u64>,
}

impl Current {
    /// What answers at this moment.
    pub fn deployed(&self) -> Arc<ByName> {
        // What is behind the lock is exchanged in one statement, so a panic elsewhere hasn't broken it.
        self.deployed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another set in place; requests under way go on with the one they have.
    pub fn exchange(&self, generation: u64, deployed: Deployed) {
        let tasks = deployed.tasks.into_iter().map(|task| (task.task().name.to_string(), Arc::new(task)));
        let remotes =
            deployed.remotes.into_iter().map(|remote| (remote.upstream.id().to_string(), Arc::new(remote)));
        let encoders = deployed.encoders.into_iter().map(|encoder| (encoder.id.to_string(), encoder));
        let by_name = ByName {
            tasks: tasks.collect(),
            remotes: remotes.collect(),
            encoders: encoders.collect(),
            generation: Some(generation),
        };
        *self.deployed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_name);
    }

    /// Loads what answers now.
    pub async fn load(&self, loader: &dyn LadderLoader) -> Result<(), String> {
        // The number before the ladders: what changes in between is loaded once more, never missed.
        let generation = loader.generation()?;
        let deployed = loader.load().await?;
        for trouble in &deployed.troubles {
            tracing::error!("{trouble}");
        }
        self.exchange(generation, deployed);
        Ok(())
    }

    /// Looks for a new generation every second and loads it, until cancelled. What can't be loaded leaves the present
    /// one in place, and is tried again.
    pub async fn follow(&self, loader: &dyn LadderLoader, cancel: &CancellationToken) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = every.tick() => {}
            }
            match loader.generation() {
                Ok(generation) if Some(generation) == self.deployed().generation => {}
                Ok(_) => match self.load(loader).await {
                    Ok(()) => tracing::info!("what answers has changed and is loaded"),
                    Err(why) => tracing::warn!("what answers has changed and can't be loaded: {why}"),
                },
                Err(why) => tracing::warn!("whether anything has changed can't be read: {why}"),
            }
        }
    }
}
