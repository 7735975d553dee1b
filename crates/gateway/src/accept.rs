//! Accept: may it come in, what is it called, and until when is an answer wanted?

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use sprat_task::{Context, RequestId};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::error::Refusal;

/// A request as it arrived.
pub struct Arrival {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; an error where it is too long or broke off.
    pub body: Result<Bytes, BytesRejection>,
}

impl<S: Send + Sync> FromRequest<S> for Arrival {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await;
        Ok(Self { headers, body })
    }
}

/// A request that may be answered.
pub struct Accepted {
    /// Its name: `x-request-id` of the reply, and in the ledger.
    pub id: RequestId,
    /// Deadline and cancellation of everything done for it.
    pub cx: Context,
    /// When it came.
    pub began: Instant,
    /// The same, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Who may answer, as the client wishes.
    pub mode: Mode,
    /// The largest error the client puts up with from small models.
    pub max_error: Option<f64>,
    /// Its place among the requests under way, held to the last byte of the reply.
    pub place: Arc<OwnedSemaphorePermit>,
}

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The ladder.
    Auto,
    /// Small models alone.
    SmallOnly,
    /// The large model alone.
    LargeOnly,
    /// The large model; the small ones say what they would have answered.
    Shadow,
}

impl Accepted {
    /// Takes a request in, or says why not.
    pub fn accept(gateway: &Gateway, arrival: &Arrival) -> Result<Self, Refusal> {
        let place = gateway.places.clone().try_acquire_owned().map_err(|_| Refusal::crowded())?;
        let began = Instant::now();
        let id = new_id();
        let mode = match text(&arrival.headers, "x-sprat-mode")? {
            None | Some("auto") if gateway.settings.shadow => Mode::Shadow,
            None | Some("auto") => Mode::Auto,
            Some("small-only") => Mode::SmallOnly,
            Some("large-only") => Mode::LargeOnly,
            Some("shadow") => Mode::Shadow,
            Some(_) => {
                let allowed = "auto, small-only, large-only, shadow";
                return Err(Refusal::field(
                    "x-sprat-mode",
                    format!("`x-sprat-mode` must be one of {allowed}"),
                ));
            }
        };
        let max_error = text(&arrival.headers, "x-sprat-max-error")?.map(share).transpose()?;
        let deadline = began + Duration::from_secs(gateway.settings.deadline_s);
        let cx = Context { deadline, cancel: CancellationToken::new(), request: id.clone() };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_unix_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Ok(Self { id, cx, began, time_unix_ms, mode, max_error, place: Arc::new(place) })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let value = headers.get(name).map(|value| value.to_str()).transpose();
    value.map_err(|_| Refusal::field(name, format!("the header `{name}` is not text")))
}

fn share(text: &str) -> Result<f64, Refusal> {
    let share: Option<f64> = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        Refusal::field(
            "x-sprat-max-error",
            "`x-sprat-max-error` must be a share between 0 and 1, such as 0.02",
        )
    })
}

/// Where a body broke off or is too long.
pub(crate) fn body(body: Result<Bytes, BytesRejection>, limit: usize) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_long(limit),
        _ => Refusal::request("the body broke off"),
    })
}

/// An id that no other request of this workspace has: the process's beginning, and a number.
fn new_id() -> RequestId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_nanos() as u64) ^ (u64::from(std::process::id()) << 40)
    });
    let mut id = String::with_capacity(32);
    let _ = write!(id, "req-{:016x}-{:x}", *PROCESS, NUMBER.fetch_add(1, Ordering::Relaxed));
    RequestId::from(id)
}
