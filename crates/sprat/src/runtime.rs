//! How do commands wait for models, and what do they call a request?

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use sprat_task::{RequestId, Sha256Hex};

use crate::app::App;
use crate::failure::Failure;

impl App {
    /// Waits for a future on a runtime of its own, with timers and sockets.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::ours(format!("the runtime can't be started: {error}")))?;
        Ok(runtime.block_on(future))
    }

    /// An id that no other request of this workspace has.
    pub fn new_request(&self) -> RequestId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let unique = format!("{} {} {number}", now.as_nanos(), std::process::id());
        RequestId::from(format!("req-{}", Sha256Hex::of(unique.as_bytes()).short()))
    }
}
