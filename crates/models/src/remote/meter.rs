//! What calls of one's own hardware cost: each call's share of the time during which calls were running.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sprat_task::Money;
use tokio::time::Instant;

/// Splits time among the calls that run at once, evenly: a call is charged the integral of 1 / (calls running) over
/// its life, so that all shares add up to the time during which anything ran (processor sharing; Kleinrock 1967).
/// Idle hours are in nobody's share: they are a cost of ownership, which the ledger charges by the month.
#[derive(Debug)]
pub(super) struct Meter {
    per_hour: Money,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: u32,
    /// Seconds of share that a call running since the beginning would have.
    share: f64,
    seen: Option<Instant>,
}

impl Meter {
    pub(super) fn new(per_hour: Money) -> Self {
        Self { per_hour, state: Mutex::new(State { running: 0, share: 0.0, seen: None }) }
    }

    /// A call begins.
    pub(super) fn begin(&self, now: Instant) -> Running<'_> {
        let mut state = self.lock();
        state.advance(now);
        state.running += 1;
        Running { meter: self, begun_at: state.share, over: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self, now: Instant) {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        if self.running > 0 {
            self.share += passed.as_secs_f64() / f64::from(self.running);
        }
        self.seen = Some(now);
    }
}

/// A call that runs.
pub(super) struct Running<'a> {
    meter: &'a Meter,
    begun_at: f64,
    over: bool,
}

impl Running<'_> {
    /// The call is over; what its share costs.
    pub(super) fn end(mut self, now: Instant) -> Money {
        self.over = true;
        let hours = self.leave(now) / 3600.0;
        Money::from_units(self.meter.per_hour.units() * hours).unwrap_or_default()
    }

    fn leave(&self, now: Instant) -> f64 {
        let mut state = self.meter.lock();
        state.advance(now);
        state.running = state.running.saturating_sub(1);
        state.share - self.begun_at
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.leave(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn calls_that_overlap_share_the_time_and_the_shares_add_up() {
        let meter = Meter::new(Money::from_micro(1_000_000));
        let start = Instant::now();
        let first = meter.begin(start);
        let second = meter.begin(start + HOUR);
        // One hour alone, one hour of two, one hour alone for the second.
        assert_eq!(first.end(start + 2 * HOUR), Money::from_micro(1_500_000));
        assert_eq!(second.end(start + 3 * HOUR), Money::from_micro(1_500_000));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_nobodys_and_a_caller_that_left_stops_counting() {
        let meter = Meter::new(Money::from_micro(1_000_000));
        let left = meter.begin(Instant::now());
        tokio::time::advance(HOUR).await;
        drop(left);
        tokio::time::advance(5 * HOUR).await;
        let call = meter.begin(Instant::now());
        tokio::time::advance(HOUR).await;
        assert_eq!(call.end(Instant::now()), Money::from_micro(1_000_000));
    }
}
