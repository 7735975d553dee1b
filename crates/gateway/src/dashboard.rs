//! The dashboard: what is saved, what is promised, what was asked, and what people are asked; on the management address.
//!
//! | question | file |
//! |---|---|
//! | What was saved, how much is answered small, how do the tasks stand? | [`overview`], [`savings`], [`series`] |
//! | How does one task stand? | [`task`], [`promise`], [`evidence`], [`watching`] |
//! | What stands beside a live release, and what would it have saved? | [`beside`] |
//! | What was asked lately, and why did it end so? | [`requests`], [`why`] |
//! | What do people have to say? | [`review`] |
//! | Who may look, and who may change anything? | [`guard`] |
//! | What frames a page, and what is shown when there is none? | [`frame`] |
//! | How are numbers and strangers' texts written? | [`format`] |
//! | Which files come with the pages? | [`assets`] |
//!
//! Every page is whole without scripts: tables stand beside the charts, forms beside the keys. Scripts are files of our
//! own; nothing is loaded from elsewhere.

mod assets;
mod beside;
mod evidence;
mod format;
mod frame;
mod guard;
mod overview;
mod promise;
mod requests;
mod review;
mod savings;
mod series;
mod task;
mod watching;
mod why;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use sprat_cascade::Serving;
use sprat_store::Store;
use tokio::sync::Semaphore;

use crate::Gateway;
use frame::Trouble;

/// Pages that may read the store at the same time, so that looking on never holds up what is looked at.
const READING_AT_ONCE: usize = 4;

/// Longest body of a form, in bytes.
const FORM_LIMIT: usize = 64 << 10;

/// What all pages share.
struct Dashboard {
    gateway: Arc<Gateway>,
    reading: Semaphore,
}

/// The pages, and the files that come with them.
pub(crate) fn routes(gateway: Arc<Gateway>) -> Router {
    let dashboard = Arc::new(Dashboard { gateway, reading: Semaphore::new(READING_AT_ONCE) });
    Router::new()
        .route("/", get(overview::page))
        .route("/tasks/{task}", get(task::page))
        .route("/requests", get(requests::page))
        .route("/requests/{id}", get(requests::one))
        .route("/parts/requests", get(requests::newer))
        .route("/parts/requests/{id}", get(requests::why))
        .route("/review", get(review::tasks))
        .route("/review/{task}", get(review::page).post(review::label))
        .route("/review/{task}/undo", post(review::undo))
        .route("/assets/{file}", get(assets::asset))
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .layer(from_fn(guard::guard))
        .with_state(dashboard)
}

impl Dashboard {
    /// Reads or writes on a thread that may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let _place =
            self.reading.acquire().await.map_err(|_| Trouble::Broken("the pages are closed".into()))?;
        let dashboard = Arc::clone(&self);
        tokio::task::spawn_blocking(move || work(&dashboard))
            .await
            .map_err(|error| Trouble::Broken(error.to_string()))?
    }

    fn store(&self) -> &Store {
        &self.gateway.store
    }

    /// The tasks as their live releases serve them now.
    fn tasks(&self) -> Vec<Arc<Serving>> {
        self.gateway.current.deployed().tasks.values().map(|deployment| deployment.live.clone()).collect()
    }

    fn task(&self, name: &str) -> Result<Arc<Serving>, Trouble> {
        let deployed = self.gateway.current.deployed();
        let found = deployed.tasks.get(name).map(|deployment| deployment.live.clone());
        found.ok_or_else(|| {
            Trouble::NotFound(format!("There is no task “{}” here.", format::shown_within(name, 64)))
        })
    }
}

/// Milliseconds since 1970.
fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
