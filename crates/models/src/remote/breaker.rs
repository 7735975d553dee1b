//! When to stop asking a provider that is down: a circuit breaker.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Closed: calls pass. Open: none does, for a pause. Half-open: one does, and decides. The time is passed in.
#[derive(Debug)]
pub struct Breaker {
    /// Failures in a row that open it.
    failures: u32,
    /// The first pause; it doubles with every probe that fails.
    pause: Duration,
    state: Mutex<State>,
}

/// The pause doubles this many times at most: 5 s become 80.
const DOUBLINGS: u32 = 4;

#[derive(Debug)]
enum State {
    Closed { failed: u32 },
    Open { until: Instant, opened: u32 },
    HalfOpen { opened: u32 },
}

impl Breaker {
    /// A closed breaker that opens after so many failures in a row, for such a pause.
    pub fn new(failures: u32, pause: Duration) -> Self {
        Self { failures: failures.max(1), pause, state: Mutex::new(State::Closed { failed: 0 }) }
    }

    /// Leave to make one call now, to be given back with what came of it; or how long to wait before asking again.
    pub fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Pass { breaker: self, probe: false, told: false }),
            State::Open { until, opened } if now >= until => {
                *state = State::HalfOpen { opened };
                Ok(Pass { breaker: self, probe: true, told: false })
            }
            State::Open { until, .. } => Err(until - now),
            State::HalfOpen { .. } => Err(self.pause),
        }
    }

    /// Whether calls pass freely.
    pub fn is_closed(&self) -> bool {
        matches!(*self.lock(), State::Closed { .. })
    }

    fn open(&self, now: Instant, opened: u32) -> State {
        State::Open {
            until: now + self.pause * 2u32.pow(opened.min(DOUBLINGS)),
            opened: opened.saturating_add(1),
        }
    }

    /// A panic elsewhere leaves the state as good as it was.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to make one call. Dropped without a word (the caller left), it counts neither way.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Pass<'_> {
    /// The provider answered, be it with a refusal.
    pub fn answered(mut self) {
        self.told = true;
        let mut state = self.breaker.lock();
        // A call from before the breaker opened doesn't close it again: the probe decides.
        if self.probe || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failed: 0 };
        }
    }

    /// The provider could not be reached, or broke.
    pub fn failed(mut self, now: Instant) {
        self.told = true;
        let mut state = self.breaker.lock();
        let next = match *state {
            State::Closed { failed } if failed + 1 < self.breaker.failures => {
                State::Closed { failed: failed + 1 }
            }
            State::Closed { .. } => self.breaker.open(now, 0),
            State::HalfOpen { opened } if self.probe => self.breaker.open(now, opened),
            State::Open { .. } | State::HalfOpen { .. } => return,
        };
        *state = next;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe && !self.told {
            let mut state = self.breaker.lock();
            if let State::HalfOpen { opened } = *state {
                // The next caller probes: waiting again would punish it for a client that left.
                *state = State::Open { until: Instant::now(), opened };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(3, PAUSE);
        for _ in 0..3 {
            breaker.enter(now).unwrap().failed(now);
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_not_before() {
        let now = Instant::now();
        let breaker = Breaker::new(3, PAUSE);
        for outcome in [false, false, true, false, false] {
            let pass = breaker.enter(now).unwrap();
            if outcome {
                pass.answered()
            } else {
                pass.failed(now)
            }
            assert!(breaker.is_closed());
        }
        breaker.enter(now).unwrap().failed(now);
        assert_eq!(breaker.enter(now).err(), Some(PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_call_probes_and_the_others_wait() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + PAUSE;
        let probe = breaker.enter(later).unwrap();
        assert!(breaker.enter(later).is_err());
        probe.answered();
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_doubles_the_pause_up_to_a_limit() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for doublings in [1, 2, 3, 4, 4, 4] {
            now += PAUSE * 2u32.pow(DOUBLINGS);
            breaker.enter(now).unwrap().failed(now);
            assert_eq!(breaker.enter(now).err(), Some(PAUSE * 2u32.pow(doublings)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_left_leaves_the_probe_to_the_next() {
        let now = Instant::now();
        let breaker = opened(now);
        tokio::time::advance(PAUSE).await;
        drop(breaker.enter(Instant::now()).unwrap());
        breaker.enter(Instant::now()).unwrap().answered();
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_call_that_comes_back_late_does_not_close_it() {
        let now = Instant::now();
        let breaker = Breaker::new(1, PAUSE);
        let old = breaker.enter(now).unwrap();
        breaker.enter(now).unwrap().failed(now);
        old.answered();
        assert!(!breaker.is_closed());
    }
}
