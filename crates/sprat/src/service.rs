//! A running server over a workspace: the gateway, and everything that goes on beside it.

use std::sync::Arc;

use sprat_gateway::server::ServeError;
use sprat_gateway::{Addresses, Gateway, Server, Settings};
use sprat_store::Store;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::key_secret;
use crate::notices::NoticeSender;
use crate::retention::Retention;
use crate::serving::Loader;
use crate::workspace::Workspace;

/// A server whose addresses are bound and whose ladders are loaded.
pub struct Service {
    server: Server,
    gateway: Arc<Gateway>,
    keeper: Keeper,
    retention: Retention,
    notices: Option<NoticeSender>,
    store: Store,
    clock: App,
    cancel: CancellationToken,
}

impl Service {
    /// Binds the addresses and loads what answers. It serves until `cancel` is cancelled, once it runs.
    pub async fn start(
        app: &App,
        workspace: Workspace,
        store: Store,
        settings: Settings,
        addresses: Addresses,
        cancel: CancellationToken,
    ) -> Result<Self, Failure> {
        let secret = key_secret::open(&workspace, &store)?;
        let gateway = Arc::new(Gateway::new(settings, store.clone()).with_secret(secret));
        let keeper = Keeper::new(app, workspace.clone(), store.clone(), gateway.clone(), cancel.clone());
        let retention = Retention::of(&workspace);
        let notices = NoticeSender::of(&workspace, &store)?;
        let loader = Arc::new(Loader::new(app, workspace, store.clone()));
        let server = Server::start(gateway.clone(), loader, addresses).await.map_err(failure)?;
        Ok(Self { server, gateway, keeper, retention, notices, store, clock: app.clone(), cancel })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Result<Addresses, Failure> {
        self.server.addresses().map_err(failure)
    }

    /// What it serves.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Serves until cancelled, then finishes what is under way.
    pub async fn run(self) -> Result<(), Failure> {
        let Self { server, keeper, retention, notices, store, clock, cancel, .. } = self;
        let telling = notices.map(|notices| {
            let clock = clock.clone();
            tokio::spawn(notices.follow(move || clock.now_unix_ms(), cancel.clone()))
        });
        let forgetting = tokio::spawn(retention.follow(store, move || clock.now_unix_ms(), cancel.clone()));
        let keeping = tokio::task::spawn_blocking(|| keeper.run());
        let served = server.run(cancel.clone()).await.map_err(failure);
        cancel.cancel();
        // Each holds the store, which closes when nobody does.
        if let Some(telling) = telling {
            telling.abort();
            let _ = telling.await;
        }
        let _ = tokio::join!(keeping, forgetting);
        served
    }
}

/// What the user sees of a server that can't run.
pub fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Bind { .. } => Failure::ours_with_hint(
            error.to_string(),
            "stop what listens there, or choose another address with --listen and --management",
        ),
        ServeError::Io(_) | ServeError::Load(_) => Failure::ours(error.to_string()),
    }
}
