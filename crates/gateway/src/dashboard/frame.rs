//! What frames every page, and the page that says why there is none.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use sprat_store::StoreError;

use super::Dashboard;

/// What stands around a page.
pub struct Frame {
    /// The page's name, as the browser's tab shows it.
    pub title: String,
    /// Which part of the dashboard it belongs to.
    pub part: Part,
    /// Whether the large model answers everything.
    pub shadow: bool,
    /// Sprat's version.
    pub version: &'static str,
}

/// The parts of the dashboard, as its navigation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Savings, coverage, tasks.
    Overview,
    /// What was asked.
    Requests,
    /// What people are asked.
    Review,
    /// None of them.
    Nowhere,
}

impl Frame {
    /// Around a page of this name.
    pub fn of(dashboard: &Dashboard, part: Part, title: impl Into<String>) -> Self {
        Self { shadow: dashboard.gateway.settings.shadow, ..Self::bare(part, title) }
    }

    fn bare(part: Part, title: impl Into<String>) -> Self {
        Self { title: title.into(), part, shadow: false, version: env!("CARGO_PKG_VERSION") }
    }

    /// Whether this part of the navigation is where the reader is.
    pub fn is_in(&self, part: Part) -> bool {
        self.part == part
    }
}

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// What was asked for isn't there.
    NotFound(String),
    /// What was sent makes no sense.
    Nonsense(String),
    /// Whoever sent this may not.
    Refused(String),
    /// The store could not be read or written.
    Store(StoreError),
    /// Our own fault.
    Broken(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    heading: &'static str,
    why: String,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, heading, why) = match self {
            Self::NotFound(why) => (StatusCode::NOT_FOUND, "Not found", why),
            Self::Nonsense(why) => (StatusCode::BAD_REQUEST, "That can’t be done", why),
            Self::Refused(why) => (StatusCode::FORBIDDEN, "Refused", why),
            Self::Store(error) => {
                tracing::warn!("a page of the dashboard could not be made: {error}");
                (StatusCode::INTERNAL_SERVER_ERROR, "The store can’t be read", error.to_string())
            }
            Self::Broken(why) => {
                tracing::error!("a page of the dashboard could not be made: {why}");
                let told = "This is our fault; the log of sprat serve says more.".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "Something broke", told)
            }
        };
        let page = TroublePage { frame: Frame::bare(Part::Nowhere, heading), heading, why };
        match page.render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(_) => status.into_response(),
        }
    }
}

/// A page as a reply.
pub fn shown(page: &impl Template) -> Result<Response, Trouble> {
    Ok(Html(page.render()?).into_response())
}
