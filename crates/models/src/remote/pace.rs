//! How many calls run at once, and how that number gives way when the provider asks for patience.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Additive increase, multiplicative decrease, as TCP does it: a refusal halves the number of calls at once (one
/// refusal per batch of calls that were under way together) and holds all calls back for as long as the provider
/// asked; answers raise it again by one per full round.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    state: Mutex<State>,
    /// Only the first in line looks for a place.
    line: tokio::sync::Mutex<()>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// Calls allowed at once; between 1 and `most`.
    limit: f64,
    running: usize,
    /// Nothing starts before.
    not_before: Option<Instant>,
    /// When the limit was last cut: refusals of calls that started earlier say nothing new.
    cut_at: Option<Instant>,
}

/// The provider holds all calls back for longer than this call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack(pub Duration);

impl Pace {
    /// At most so many calls at once.
    pub fn new(most: usize) -> Arc<Self> {
        let most = most.max(1);
        let state = State { limit: most as f64, running: 0, not_before: None, cut_at: None };
        Arc::new(Self { most, state: Mutex::new(state), line: Default::default(), freed: Notify::new() })
    }

    /// Waits for a place. Never longer than `deadline` for the provider's sake; a caller that has to give up while
    /// it waits for other calls drops the future.
    pub async fn start(self: &Arc<Self>, deadline: Instant) -> Result<Slot, HeldBack> {
        // Who is held back for too long need not stand in line to hear it.
        held_until(&self.lock(), deadline)?;
        // A fair lock: without it a call that comes back from a refusal would pass all that wait, and use up its tries.
        let _first_in_line = self.line.lock().await;
        loop {
            // Listens before it looks, so that a place freed in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            let held_until = {
                let mut state = self.lock();
                let held_until = held_until(&state, deadline)?;
                if held_until.is_none() && (state.running as f64) < state.limit.floor() {
                    state.running += 1;
                    return Ok(Slot { pace: self.clone(), started: Instant::now() });
                }
                held_until
            };
            match held_until {
                Some(at) => sleep_until(at).await,
                None => freed.await,
            }
        }
    }

    /// How many calls are allowed at once at present.
    pub fn limit(&self) -> usize {
        self.lock().limit as usize
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when everything is held back; an error where that is beyond the deadline.
fn held_until(state: &State, deadline: Instant) -> Result<Option<Instant>, HeldBack> {
    let now = Instant::now();
    match state.not_before.filter(|at| *at > now) {
        Some(at) if at >= deadline => Err(HeldBack(at - now)),
        held_until => Ok(held_until),
    }
}

/// A place among the calls that run; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    pace: Arc<Pace>,
    started: Instant,
}

impl Slot {
    /// The provider answered: a little more is tried.
    pub fn answered(&self) {
        let mut state = self.pace.lock();
        let before = state.limit.floor();
        state.limit = (state.limit + 1.0 / state.limit).min(self.pace.most as f64);
        let raised = state.limit.floor() > before;
        drop(state);
        if raised {
            self.pace.freed.notify_one();
        }
    }

    /// The provider asked for patience: fewer calls at once, and none for `wait`.
    pub fn refused(&self, wait: Duration) {
        let now = Instant::now();
        let mut state = self.pace.lock();
        if state.cut_at.is_none_or(|cut| self.started > cut) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.cut_at = Some(now);
        }
        let until = now + wait;
        state.not_before = Some(state.not_before.map_or(until, |at| at.max(until)));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        state.running = state.running.saturating_sub(1);
        let free = (state.running as f64) < state.limit.floor();
        drop(state);
        if free {
            self.pace.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::sleep;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_run_at_once_than_allowed_and_all_of_them_run() {
        let pace = Pace::new(3);
        let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let call = async |millis: u64| {
            let _slot = pace.start(soon()).await.unwrap();
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(millis)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
        };
        join_all((0..50).map(|i| call(i % 7))).await;
        assert_eq!((most.into_inner(), done.into_inner()), (3, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_refusals_halves_the_pace_once_and_holds_everything_back() {
        let pace = Pace::new(8);
        let mut slots = Vec::new();
        for _ in 0..8 {
            slots.push(pace.start(soon()).await.unwrap());
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        for slot in slots.drain(..) {
            slot.refused(Duration::from_secs(2));
        }
        assert_eq!(pace.limit(), 4);
        let before = Instant::now();
        let slot = pace.start(soon()).await.unwrap();
        assert_eq!(Instant::now() - before, Duration::from_secs(2));
        slot.refused(Duration::ZERO);
        assert_eq!(pace.limit(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_bring_the_pace_back() {
        let pace = Pace::new(4);
        for _ in 0..5 {
            tokio::time::advance(Duration::from_millis(1)).await;
            pace.start(soon()).await.unwrap().refused(Duration::ZERO);
        }
        assert_eq!(pace.limit(), 1);
        for _ in 0..30 {
            pace.start(soon()).await.unwrap().answered();
        }
        assert_eq!(pace.limit(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_get_their_places_in_the_order_they_came() {
        let pace = Pace::new(1);
        let order = Mutex::new(Vec::new());
        let call = async |number: usize| {
            // Refused once: the second try has to stand in line again.
            for turn in 0..2 {
                let slot = pace.start(soon()).await.unwrap();
                order.lock().unwrap().push((turn, number));
                sleep(Duration::from_millis(1)).await;
                slot.refused(Duration::from_millis(1));
            }
        };
        join_all((0..4).map(call)).await;
        let expected: Vec<(usize, usize)> =
            (0..2).flat_map(|turn| (0..4).map(move |number| (turn, number))).collect();
        assert_eq!(order.into_inner().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_may_not_wait_that_long_hears_so_at_once() {
        let pace = Pace::new(1);
        pace.start(soon()).await.unwrap().refused(Duration::from_secs(60));
        let before = Instant::now();
        let refused = pace.start(before + Duration::from_secs(10)).await.expect_err("held back");
        assert_eq!((refused, before), (HeldBack(Duration::from_secs(60)), Instant::now()));
    }
}
