//! Sockets, and how to leave: stop accepting, finish what runs, keep the ledger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use sprat_cascade::LadderLoader;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Gateway, management, routes};

/// Streams that still run this long after the wish to stop are cut.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For clients.
    pub listen: SocketAddr,
    /// For operators.
    pub management: SocketAddr,
}

/// Why a server can't run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// A socket broke.
    #[error("the server broke off: {0}")]
    Io(#[from] std::io::Error),
    /// What is to be served can't be loaded.
    #[error("{0}")]
    Load(String),
}

/// A gateway whose addresses are bound.
pub struct Server {
    gateway: Arc<Gateway>,
    loader: Arc<dyn LadderLoader>,
    clients: TcpListener,
    operators: TcpListener,
}

impl Server {
    /// Binds the addresses and loads what answers: after this the first request finds everything there.
    pub async fn start(
        gateway: Arc<Gateway>,
        loader: Arc<dyn LadderLoader>,
        addresses: Addresses,
    ) -> Result<Self, ServeError> {
        let clients = bind(addresses.listen).await?;
        let operators = bind(addresses.management).await?;
        gateway.current.load(loader.as_ref()).await.map_err(ServeError::Load)?;
        Ok(Self { gateway, loader, clients, operators })
    }

    /// Where it listens; where port 0 was asked for, this is the one it got.
    pub fn addresses(&self) -> Result<Addresses, ServeError> {
        Ok(Addresses { listen: self.clients.local_addr()?, management: self.operators.local_addr()? })
    }

    /// Serves until cancelled, then finishes the requests under way and the ledger.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), ServeError> {
        let Self { gateway, loader, clients, operators } = self;
        let following = {
            let (gateway, cancel) = (gateway.clone(), cancel.clone());
            tokio::spawn(async move { gateway.current.follow(loader.as_ref(), &cancel).await })
        };
        let operating = tokio::spawn(serve(operators, management(gateway.clone()), cancel.clone()));
        let serving = serve(clients, routes(gateway.clone()), cancel.clone());
        let patience = async {
            cancel.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = patience => Ok(()),
        };
        cancel.cancel();
        let _ = following.await;
        operating.abort();
        let store = gateway.store.clone();
        let settled = tokio::task::spawn_blocking(move || store.ledger().settle()).await;
        if !matches!(settled, Ok(Ok(()))) {
            tracing::warn!("some records wait in the spool; the next start takes them over");
        }
        Ok(served?)
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind { address, error })
}

async fn serve(listener: TcpListener, routes: Router, cancel: CancellationToken) -> std::io::Result<()> {
    // A chunk that waits for the next one to fill a packet is a chunk that comes late.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    axum::serve(listener, routes).with_graceful_shutdown(async move { cancel.cancelled().await }).await
}
