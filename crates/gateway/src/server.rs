//! Sockets, and how to leave: stop accepting, finish what runs, keep the ledger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sprat_cascade::LadderLoader;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::connection::{Manners, serve};
use crate::keys::Keyring;
use crate::{Gateway, management, routes};

/// Streams that still run this long after the wish to stop are cut.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections of operators at once.
const OPERATORS: usize = 64;

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
        // Bound once, so that nobody has said it before.
        let _ = gateway.clients.set(clients.local_addr()?);
        gateway.current.load(loader.as_ref()).await.map_err(ServeError::Load)?;
        let reading = gateway.clone();
        let read = tokio::task::spawn_blocking(move || reading.load_keys()).await;
        read.unwrap_or_else(|error| Err(error.to_string())).map_err(ServeError::Load)?;
        Ok(Self { gateway, loader, clients, operators })
    }

    /// Where it listens; where port 0 was asked for, this is the one it got.
    pub fn addresses(&self) -> Result<Addresses, ServeError> {
        Ok(Addresses { listen: self.clients.local_addr()?, management: self.operators.local_addr()? })
    }

    /// Serves until cancelled, then finishes the requests under way and the ledger.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), ServeError> {
        let Self { gateway, loader, clients, operators } = self;
        let manners = Manners {
            most: gateway.settings.most_connections,
            client_timeout: gateway.settings.client_timeout,
            patience: PATIENCE,
        };
        let following = {
            let (gateway, cancel, runtime) = (gateway.clone(), cancel.clone(), Handle::current());
            // Loading reads and checks files, and the store may keep it waiting: not on the threads that serve.
            tokio::task::spawn_blocking(move || {
                runtime.block_on(gateway.current.follow(loader.as_ref(), &cancel));
            })
        };
        let leaving = CancellationToken::new();
        let keeping = {
            let (gateway, leaving) = (gateway.clone(), leaving.clone());
            tokio::spawn(async move { gateway.watching.keep(&gateway.store, &leaving).await })
        };
        let keys = tokio::spawn(Keyring::follow(gateway.clone(), cancel.clone()));
        let watched = Manners { most: OPERATORS, ..manners };
        let operating =
            tokio::spawn(serve(operators, management(gateway.clone()), watched, CancellationToken::new()));
        serve(clients, routes(gateway.clone()), manners, cancel).await;
        let _ = tokio::join!(following, keys);
        operating.abort();
        leaving.cancel();
        let _ = keeping.await;
        let background = tokio::time::timeout(PATIENCE, gateway.quiet());
        if background.await.is_err() {
            tracing::warn!("some audits are still under way and are left unanswered");
        }
        let settling = gateway.clone();
        let settled = tokio::task::spawn_blocking(move || {
            settling.settle_captures();
            settling.store.ledger().settle()
        })
        .await;
        if !matches!(settled, Ok(Ok(()))) {
            tracing::warn!("some records wait in the spool; the next start takes them over");
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind { address, error })
}
