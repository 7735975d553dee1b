//! What the gateway serves: the workspace's tasks and remote models, loaded afresh whenever the store says that
//! something has changed.

use futures::future::BoxFuture;
use sprat_cascade::{Deployed, LadderLoader, Serving};
use sprat_store::Store;
use sprat_task::Task;

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Reaching, live};
use crate::models::Models;
use crate::workspace::Workspace;

/// Loads the ladders of a workspace.
pub struct Loader {
    app: App,
    workspace: Workspace,
    store: Store,
}

impl Loader {
    /// For a workspace and its store.
    pub fn new(app: &App, workspace: Workspace, store: Store) -> Self {
        Self { app: app.clone(), workspace, store }
    }

    async fn deployed(&self) -> Result<Deployed, Failure> {
        let models = Models::open(&self.workspace)?;
        let (remotes, mut troubles) = models.remotes();
        let mut tasks = Vec::new();
        for (task, _) in self.workspace.tasks.values() {
            match self.serving(&models, task, Reaching::Afresh).await {
                Ok(serving) => tasks.push(serving),
                // Without its large model a task can still answer what it can prove.
                Err(failure) => {
                    troubles.push(format!("task {}: {}", task.name, failure.plainly()));
                    match self.serving(&models, task, Reaching::SmallOnly).await {
                        Ok(serving) => tasks.push(serving),
                        Err(failure) => {
                            troubles.push(format!("task {} is not served: {}", task.name, failure.plainly()))
                        }
                    }
                }
            }
        }
        for serving in &tasks {
            troubles.extend(serving.stale.iter().map(|why| {
                format!(
                    "the certificate of {} is stale, and everything goes to the end of its ladder: {why}",
                    serving.task.name
                )
            }));
        }
        Ok(Deployed { tasks, remotes, troubles })
    }

    async fn serving(
        &self,
        models: &Models<'_>,
        task: &Task,
        reaching: Reaching,
    ) -> Result<Serving, Failure> {
        let live = live(&self.app, &self.workspace, models, &self.store, task, None, reaching).await?;
        Ok(live.serving(task))
    }
}

impl LadderLoader for Loader {
    fn generation(&self) -> Result<u64, String> {
        self.store.registry().generation().map_err(|error| error.to_string())
    }

    fn load<'a>(&'a self) -> BoxFuture<'a, Result<Deployed, String>> {
        Box::pin(async move { self.deployed().await.map_err(|failure| failure.plainly()) })
    }
}
