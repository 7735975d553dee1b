//! Accept: may it come in, what is it called, and until when is an answer wanted?

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use futures::StreamExt;
use sprat_task::{Context, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::error::Refusal;
use crate::keys::Lease;
use crate::record::now_unix_ms;

/// A request as it arrived, its body whole.
pub struct Arrival {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The room that the body takes, to be held as long as the body is.
    pub room: Option<OwnedSemaphorePermit>,
    /// The key it showed, where keys are asked for.
    pub lease: Option<Lease>,
}

impl FromRequest<Arc<Gateway>> for Arrival {
    type Rejection = Refusal;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Refusal> {
        let limit = gateway.settings.client_timeout;
        let (mut head, body) = request.into_parts();
        let lease = head.extensions.remove();
        let reading = tokio::time::timeout(limit, read(gateway, body));
        let (body, room) = reading.await.map_err(|_| Refusal::too_slow(limit))??;
        Ok(Self { headers: head.headers, body, room, lease })
    }
}

/// Reads a body, as far as there is room for it beside those of all other requests.
async fn read(gateway: &Gateway, body: Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let limit = gateway.settings.body_limit;
    let (mut whole, mut room) = (Vec::new(), None);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::request("the body broke off"))?;
        if whole.len() + piece.len() > limit {
            return Err(Refusal::too_long(limit));
        }
        whole.extend_from_slice(&piece);
        make_room(&gateway.room, &mut room, whole.capacity())?;
    }
    Ok((Bytes::from(whole), room))
}

fn make_room(
    all: &Arc<Semaphore>,
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), Refusal> {
    let missing = bytes.div_ceil(1024) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = u32::try_from(missing).map_err(|_| Refusal::crowded())?;
    let more = all.clone().try_acquire_many_owned(missing).map_err(|_| Refusal::crowded())?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

/// A request that may be answered.
#[derive(Clone)]
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
    /// Whose it is, where keys are asked for.
    pub lease: Option<Lease>,
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
    /// The same for one of several things that a request asks: with a name of its own, as it will have a line of its own.
    pub(crate) fn of_many(&self, number: usize) -> Self {
        let id = RequestId::from(format!("{}-{number}", self.id));
        Self { cx: Context { request: id.clone(), ..self.cx.clone() }, id, ..self.clone() }
    }

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
        let deadline = began + gateway.settings.deadline;
        let cx = Context { deadline, cancel: CancellationToken::new(), request: id.clone() };
        let time_unix_ms = now_unix_ms();
        let (place, lease) = (Arc::new(place), arrival.lease.clone());
        Ok(Self { id, cx, began, time_unix_ms, mode, max_error, place, lease })
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

/// An id that no other request of this workspace has: the process's beginning, and a number.
pub(crate) fn new_id() -> RequestId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_nanos() as u64) ^ (u64::from(std::process::id()) << 40)
    });
    let mut id = String::with_capacity(32);
    let _ = write!(id, "req-{:016x}-{:x}", *PROCESS, NUMBER.fetch_add(1, Ordering::Relaxed));
    RequestId::from(id)
}
