//! What the gateway serves: the workspace's tasks and remote models, loaded afresh whenever the store says that
//! something has changed.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use sprat_cascade::{Canary, Deployed, Deployment, LadderLoader, Serving};
use sprat_store::Store;
use sprat_task::{Judge, Task};

use crate::app::App;
use crate::encoders::Encoders;
use crate::failure::Failure;
use crate::judge::Opening;
use crate::live::{Reaching, live};
use crate::models::Models;
use crate::workspace::Workspace;

/// The share of a canary's small answers that is checked, at least: what is on trial is looked at closely.
const TRIAL_AUDITS: f64 = 0.25;

/// Loads the ladders of a workspace.
pub struct Loader {
    app: App,
    workspace: Workspace,
    store: Store,
    /// Opened when first loaded: they change with the configuration alone, and that is read once.
    encoders: OnceLock<Encoders>,
}

impl Loader {
    /// For a workspace and its store.
    pub fn new(app: &App, workspace: Workspace, store: Store) -> Self {
        Self { app: app.clone(), workspace, store, encoders: OnceLock::new() }
    }

    async fn deployed(&self) -> Result<Deployed, Failure> {
        let models = Models::open(&self.workspace)?;
        let (remotes, mut troubles) = models.remotes();
        let mut tasks = Vec::new();
        for (task, _) in self.workspace.tasks.values() {
            tasks.extend(self.deployment(&models, task, &mut troubles).await?);
        }
        let encoders = self.encoders.get_or_init(|| Encoders::open(&self.workspace));
        troubles.extend(encoders.troubles.iter().cloned());
        Ok(Deployed { tasks, remotes, encoders: encoders.opened.clone(), troubles })
    }

    /// What answers a task, and what watches. A canary that can't be loaded leaves its share to the live release.
    async fn deployment(
        &self,
        models: &Models<'_>,
        task: &Task,
        troubles: &mut Vec<String>,
    ) -> Result<Option<Deployment>, Failure> {
        let beside = self.store.registry().beside(&task.name)?;
        let Some(live) = self.serving(models, task, None, troubles).await else { return Ok(None) };
        let mut deployment = Deployment::of(live);
        if let Some(canary) = beside.canary {
            let mut serving = self.serving(models, task, Some(canary.release.version), troubles).await;
            if let Some(serving) = &mut serving {
                serving.audit_rate = Some(TRIAL_AUDITS.max(task.audit.rate(0.0)));
            }
            deployment.canary =
                serving.map(|serving| Canary { serving: Arc::new(serving), share: canary.share });
        }
        if let Some(shadow) = beside.shadow {
            match self.load(models, task, Some(shadow.version), Reaching::SmallOnly).await {
                Ok(serving) => {
                    deployment.shadow = Some(Arc::new(self.judged(models, task, serving, troubles)));
                }
                Err(failure) => troubles.push(format!("{shadow} does not watch: {}", failure.plainly())),
            }
        }
        Ok(Some(deployment))
    }

    /// A release that answers, with its large model where that can be had: without it, it can still answer what it can
    /// prove.
    async fn serving(
        &self,
        models: &Models<'_>,
        task: &Task,
        version: Option<u32>,
        troubles: &mut Vec<String>,
    ) -> Option<Serving> {
        let name = version
            .map_or_else(|| format!("task {}", task.name), |version| format!("{}@{version}", task.name));
        let mut loaded = self.load(models, task, version, Reaching::Afresh).await;
        if let Err(failure) = &loaded {
            troubles.push(format!("{name}: {}", failure.plainly()));
            loaded = self.load(models, task, version, Reaching::SmallOnly).await;
        }
        match loaded {
            Ok(serving) => {
                troubles.extend(serving.stale.iter().map(|why| {
                    format!("the certificate of {name} is stale, and everything goes to the end of its ladder: {why}")
                }));
                Some(self.judged(models, task, serving, troubles))
            }
            Err(failure) => {
                troubles.push(format!("{name} is not served: {}", failure.plainly()));
                None
            }
        }
    }

    async fn load(
        &self,
        models: &Models<'_>,
        task: &Task,
        version: Option<u32>,
        reaching: Reaching,
    ) -> Result<Serving, Failure> {
        let live = live(&self.app, &self.workspace, models, &self.store, task, version, reaching).await?;
        Ok(live.serving(task))
    }

    /// Who judges the texts of a release. Without its judge it still answers; what is checked then counts as not good enough.
    fn judged(
        &self,
        models: &Models<'_>,
        task: &Task,
        serving: Serving,
        troubles: &mut Vec<String>,
    ) -> Serving {
        let (app, workspace, store) = (&self.app, &self.workspace, &self.store);
        let opening = Opening { app, workspace, models, store, task };
        match opening.judge_of_requests(serving.release.as_ref()) {
            Ok(judge) => Serving { judge: judge.map(|judge| Arc::new(judge) as Arc<dyn Judge>), ..serving },
            Err(failure) => {
                troubles.push(format!(
                    "the texts of {} can't be judged, and count as not good enough where they are checked: {}",
                    task.name,
                    failure.plainly()
                ));
                serving
            }
        }
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
