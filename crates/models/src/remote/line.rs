//! The line to one provider: paced, guarded by a breaker, and tried again where that makes sense.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use sprat_task::{Context, ModelError, Problem};
use tokio::time::{Instant, sleep_until};

use super::breaker::{Breaker, Pass};
use super::config::RemoteConfig;
use super::http::{Failure, Http, Post};
use super::pace::{HeldBack, Pace, Slot};
use super::refusal::Refusal;
use super::retry::{Budget, pause};

/// A provider as all calls of this process share it.
pub(super) struct Line {
    pub http: Http,
    breaker: Breaker,
    pace: Arc<Pace>,
    budget: Budget,
    backoff: Duration,
    max_retries: u32,
}

/// A call whose reply has begun.
pub(super) struct Call {
    pub got: Got,
    /// Held while the body is read: it counts among the calls that run.
    pub slot: Slot,
    /// When the first try began.
    pub started: Instant,
    /// Whether an earlier try may have cost something that nobody reported.
    pub unknown_cost: bool,
}

/// What began.
pub(super) enum Got {
    /// A success: its body is still to come, and nothing is tried again from here on.
    Answer(Response),
    /// The last word of a provider that refuses.
    Refusal(Refusal),
}

/// A call without a reply.
#[derive(Debug)]
pub(super) struct NoCall {
    pub error: ModelError,
    /// When the first try began; `None` where nothing was sent.
    pub started: Option<Instant>,
    /// Whether a try may have cost something that nobody reported.
    pub unknown_cost: bool,
}

/// One try that was no success, and the pause after which another is worth it.
struct Setback {
    what: Result<Refusal, Failure>,
    again_after: Option<Duration>,
}

impl Line {
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, Problem> {
        Ok(Self {
            http: Http::new(config)?,
            breaker: Breaker::new(config.breaker_failures, config.breaker_pause),
            pace: Pace::new(config.max_concurrency),
            budget: Budget::default(),
            backoff: config.backoff,
            max_retries: config.max_retries,
        })
    }

    /// Calls until there is an answer, a refusal that stands, or no time, no leave and no budget for another try.
    pub(super) async fn call(&self, cx: &Context, post: &Post) -> Result<Call, NoCall> {
        let deadline = Instant::from_std(cx.deadline);
        let (mut started, mut unknown_cost) = (None, false);
        let mut tried = 0;
        loop {
            let no_call = |error| NoCall { error, started, unknown_cost };
            let slot = self.slot(cx, deadline).await.map_err(no_call)?;
            let pass = self.breaker.enter(Instant::now()).map_err(|wait| no_call(self.shut(wait)))?;
            let started = *started.get_or_insert_with(Instant::now);
            let setback = match self.try_once(cx, post, &slot, pass, tried).await {
                Ok(response) => {
                    return Ok(Call { got: Got::Answer(response), slot, started, unknown_cost });
                }
                Err(setback) => setback,
            };
            unknown_cost |= match &setback.what {
                Ok(refusal) => refusal.may_have_cost(),
                Err(failure) => matches!(failure, Failure::Broken(_)),
            };
            let again_at = setback.again_after.map(|wait| Instant::now() + wait).filter(|at| *at < deadline);
            // A busy provider is spared by the pace; the budget spares a broken one.
            let is_busy = setback.what.as_ref().is_ok_and(Refusal::is_busy);
            match (again_at, setback.what) {
                (Some(at), _) if tried < self.max_retries && (is_busy || self.budget.take()) => {
                    drop(slot);
                    tried += 1;
                    let rest = self.rest(cx, at).await;
                    rest.map_err(|error| NoCall { error, started: Some(started), unknown_cost })?;
                }
                (_, Ok(refusal)) => {
                    return Ok(Call { got: Got::Refusal(refusal), slot, started, unknown_cost });
                }
                (_, Err(failure)) => {
                    let error = failure.error().clone();
                    return Err(NoCall { error, started: Some(started), unknown_cost });
                }
            }
        }
    }

    async fn try_once(
        &self,
        cx: &Context,
        post: &Post,
        slot: &Slot,
        pass: Pass<'_>,
        tried: u32,
    ) -> Result<Response, Setback> {
        let response = match self.http.send(cx, post).await {
            Ok(response) => response,
            Err(failure) => return Err(self.broke(failure, pass, tried)),
        };
        if response.status().is_success() {
            pass.answered();
            slot.answered();
            self.budget.earn();
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // What it says is worth having, but a refusal without words is a refusal too.
        let body = self.http.whole_body(cx, response).await.unwrap_or_default();
        let refusal = Refusal { status, headers, body };
        if refusal.is_broken() {
            pass.failed(Instant::now())
        } else {
            pass.answered()
        }
        let wait = pause(self.backoff, tried, refusal.asked_wait(), fastrand::f64());
        if refusal.is_busy() {
            slot.refused(wait);
        }
        let again_after = refusal.is_worth_a_retry().then_some(wait);
        Err(Setback { what: Ok(refusal), again_after })
    }

    fn broke(&self, failure: Failure, pass: Pass<'_>, tried: u32) -> Setback {
        let again = match failure.error() {
            // The caller's doing, not the provider's: the breaker hears nothing.
            ModelError::Cancelled | ModelError::Refused(_) => false,
            _ => {
                pass.failed(Instant::now());
                true
            }
        };
        let again_after = again.then(|| pause(self.backoff, tried, None, fastrand::f64()));
        Setback { what: Err(failure), again_after }
    }

    async fn slot(&self, cx: &Context, deadline: Instant) -> Result<Slot, ModelError> {
        tokio::select! {
            biased;
            () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
            () = sleep_until(deadline) => Err(ModelError::Timeout),
            slot = self.pace.start(deadline) => slot.map_err(|HeldBack(wait)| ModelError::Busy {
                retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            }),
        }
    }

    async fn rest(&self, cx: &Context, until: Instant) -> Result<(), ModelError> {
        tokio::select! {
            biased;
            () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
            () = sleep_until(until) => Ok(()),
        }
    }

    fn shut(&self, wait: Duration) -> ModelError {
        let host = self.http.host();
        ModelError::Resting {
            why: format!(
                "{host} failed too often in a row; nothing is sent to it for {:.1} s",
                wait.as_secs_f64()
            ),
            retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
