//! How often may it ask? Buckets that fill evenly, a minute's worth at most, and a number of requests at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use sprat_task::Allowance;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const MINUTE_US: i64 = 60_000_000;

/// The limits of one key. A few numbers each, however many requests come.
pub struct Limits {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    places: Option<Arc<Semaphore>>,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Requests a minute; there is room for one after this time.
    Requests(u32, Duration),
    /// Tokens a minute; there is room for so many after this time.
    Tokens(u32, Duration),
    /// More tokens than a minute has.
    TooManyTokens(u32),
    /// Requests at once.
    AtOnce(u32),
}

impl Limits {
    /// The limits that an allowance sets; everything is there at the beginning.
    pub fn new(allowance: &Allowance, now: Instant) -> Self {
        Self {
            requests: allowance.requests_per_minute.map(|most| Bucket::new(most, now)),
            tokens: allowance.tokens_per_minute.map(|most| Bucket::new(most, now)),
            places: allowance.concurrency.map(|most| Arc::new(Semaphore::new(most as usize))),
        }
    }

    /// Lets a request in. It holds its place as long as what is returned.
    pub fn enter(
        &self,
        allowance: &Allowance,
        now: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, Reached> {
        let place = match &self.places {
            None => None,
            Some(places) => Some(
                Arc::clone(places)
                    .try_acquire_owned()
                    .map_err(|_| Reached::AtOnce(allowance.concurrency.unwrap_or_default()))?,
            ),
        };
        if let Some(requests) = &self.requests {
            requests.take(1, now).map_err(|wait| Reached::Requests(requests.per_minute, wait))?;
        }
        Ok(place)
    }

    /// Takes the tokens that a call may need.
    pub fn take_tokens(&self, most: u64, now: Instant) -> Result<(), Reached> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        if most > u64::from(tokens.per_minute) {
            return Err(Reached::TooManyTokens(tokens.per_minute));
        }
        tokens.take(most, now).map_err(|wait| Reached::Tokens(tokens.per_minute, wait))
    }

    /// So many were taken, and so many were used.
    pub fn used_tokens(&self, taken: u64, used: u64) {
        if let Some(tokens) = &self.tokens {
            tokens.correct(taken, used);
        }
    }

    /// The limits as OpenAI's clients read them.
    pub fn tell(&self, headers: &mut HeaderMap, now: Instant) {
        const NAMES: [[&str; 3]; 2] = [
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        ];
        for (names, bucket) in NAMES.into_iter().zip([&self.requests, &self.tokens]) {
            let Some(bucket) = bucket else { continue };
            let (remaining, reset) = bucket.look(now);
            headers.insert(names[0], HeaderValue::from(bucket.per_minute));
            headers.insert(names[1], HeaderValue::from(remaining));
            if let Ok(reset) = HeaderValue::from_str(&written(reset)) {
                headers.insert(names[2], reset);
            }
        }
    }
}

/// Fills evenly, up to a minute's worth. Counted in millionths of a minute's share, so that nothing is rounded away.
struct Bucket {
    per_minute: u32,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// One unit has [`MINUTE_US`] of these. Below nothing where more was used than was taken.
    level: i64,
    seen: Instant,
}

impl Bucket {
    fn new(per_minute: u32, now: Instant) -> Self {
        let level = i64::from(per_minute) * MINUTE_US;
        Self { per_minute, state: Mutex::new(State { level, seen: now }) }
    }

    /// Takes so many; else says after what time there are enough.
    fn take(&self, units: u64, now: Instant) -> Result<(), Duration> {
        let mut state = self.filled(now);
        let wanted = wide(units);
        if state.level >= wanted {
            state.level -= wanted;
            return Ok(());
        }
        Err(self.time_for(wanted - state.level))
    }

    fn correct(&self, taken: u64, used: u64) {
        let mut state = self.state();
        let level = state.level.saturating_add(wide(taken)).saturating_sub(wide(used));
        // Two minutes in debt are enough: nobody waits longer for what one call got wrong.
        state.level = level.clamp(-2 * self.full(), self.full());
    }

    /// How many there are, and after what time it is full.
    fn look(&self, now: Instant) -> (u64, Duration) {
        let state = self.filled(now);
        let remaining = u64::try_from(state.level / MINUTE_US).unwrap_or(0);
        (remaining, self.time_for(self.full() - state.level))
    }

    fn full(&self) -> i64 {
        i64::from(self.per_minute) * MINUTE_US
    }

    fn time_for(&self, missing: i64) -> Duration {
        let micros = missing.max(0).unsigned_abs().div_ceil(u64::from(self.per_minute.max(1)));
        Duration::from_micros(micros)
    }

    fn filled(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let passed = now.saturating_duration_since(state.seen).as_micros();
        // In three minutes everything is full, whatever the debt was.
        let passed = i64::try_from(passed).unwrap_or(i64::MAX).min(3 * MINUTE_US);
        state.level = (state.level + passed * i64::from(self.per_minute)).min(self.full());
        state.seen = now.max(state.seen);
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wide(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(MINUTE_US)
}

/// A time as OpenAI writes it: `120ms`, `7s`, `1m30s`.
fn written(time: Duration) -> String {
    match time.as_millis() {
        ms @ ..1_000 => format!("{ms}ms"),
        ms => match ms.div_ceil(1_000) {
            s @ ..60 => format!("{s}s"),
            s => format!("{}m{}s", s / 60, s % 60),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(allowance: &Allowance) -> (Limits, Instant) {
        let now = Instant::now();
        (Limits::new(allowance, now), now)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_minute_has_its_number_of_requests_and_fills_evenly() {
        let allowance = Allowance { requests_per_minute: Some(30), ..Allowance::default() };
        let (limits, now) = limits(&allowance);
        for _ in 0..30 {
            assert!(limits.enter(&allowance, now).is_ok());
        }
        let full = limits.enter(&allowance, now).unwrap_err();
        assert_eq!(full, Reached::Requests(30, 2 * SECOND));
        assert!(limits.enter(&allowance, now + 2 * SECOND).is_ok());
        assert!(limits.enter(&allowance, now + 2 * SECOND).is_err());
        let later = (0..99).filter(|_| limits.enter(&allowance, now + 999 * SECOND).is_ok()).count();
        assert_eq!(later, 30, "no more than a minute's worth is saved up");
    }

    #[test]
    fn asking_often_loses_no_time() {
        let allowance = Allowance { requests_per_minute: Some(1), ..Allowance::default() };
        let (limits, now) = limits(&allowance);
        assert!(limits.enter(&allowance, now).is_ok());
        let refused =
            (1..60_000).filter(|ms| limits.enter(&allowance, now + Duration::from_millis(*ms)).is_err());
        assert_eq!(refused.count(), 59_999);
        assert!(limits.enter(&allowance, now + 60 * SECOND).is_ok());
    }

    #[test]
    fn tokens_that_were_not_used_come_back_and_those_used_beyond_are_owed() {
        let allowance = Allowance { tokens_per_minute: Some(600), ..Allowance::default() };
        let (limits, now) = limits(&allowance);
        limits.take_tokens(500, now).unwrap();
        assert_eq!(limits.take_tokens(200, now), Err(Reached::Tokens(600, 10 * SECOND)));
        limits.used_tokens(500, 50);
        limits.take_tokens(550, now).unwrap();
        limits.used_tokens(550, 850);
        assert_eq!(limits.take_tokens(0, now), Err(Reached::Tokens(600, 30 * SECOND)));
        assert_eq!(limits.take_tokens(601, now), Err(Reached::TooManyTokens(600)));
        limits.used_tokens(0, u64::MAX);
        assert!(limits.take_tokens(600, now + 180 * SECOND).is_ok(), "no debt lasts longer");
    }

    #[test]
    fn a_place_is_free_again_when_its_request_has_ended() {
        let allowance = Allowance { concurrency: Some(2), ..Allowance::default() };
        let (limits, now) = limits(&allowance);
        let (first, _second) =
            (limits.enter(&allowance, now).unwrap(), limits.enter(&allowance, now).unwrap());
        assert_eq!(limits.enter(&allowance, now).unwrap_err(), Reached::AtOnce(2));
        drop(first);
        assert!(limits.enter(&allowance, now).is_ok());
    }

    #[test]
    fn the_headers_say_what_is_left_and_when_all_is() {
        let allowance = Allowance {
            requests_per_minute: Some(30),
            tokens_per_minute: Some(6_000),
            ..Allowance::default()
        };
        let (limits, now) = limits(&allowance);
        limits.enter(&allowance, now).unwrap();
        limits.take_tokens(6_000, now).unwrap();
        limits.used_tokens(6_000, 9_000);
        let mut headers = HeaderMap::new();
        limits.tell(&mut headers, now);
        let told: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("x-ratelimit-limit-requests", "30"),
                ("x-ratelimit-remaining-requests", "29"),
                ("x-ratelimit-reset-requests", "2s"),
                ("x-ratelimit-limit-tokens", "6000"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "1m30s"),
            ]
        );
        assert_eq!(written(Duration::from_millis(120)), "120ms");
    }
}
