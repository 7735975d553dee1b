//! Whether and when a call is tried again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// A pause never grows beyond this by doubling; a provider may ask for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);
/// A provider that asks for more than this is not waited for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The pause before try number `tried` + 1: the provider's own wish, with a little jitter on top so that callers
/// that were refused together don't come back together; else exponential backoff with full jitter (a random point
/// below `first * 2^tried`; Brooker, "Exponential Backoff and Jitter", 2015). `chance` is uniform in [0, 1).
pub fn pause(first: Duration, tried: u32, asked: Option<Duration>, chance: f64) -> Duration {
    match asked {
        Some(asked) => asked + (first / 2).mul_f64(chance),
        None => first.saturating_mul(2u32.saturating_pow(tried)).min(LONGEST_BACKOFF).mul_f64(chance),
    }
}

/// How long the provider asks to be left alone: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.
pub fn asked_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let seconds =
        |seconds: f64| Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(LONGEST_ASKED));
    if let Some(millis) = text("retry-after-ms").and_then(number) {
        return seconds(millis / 1e3);
    }
    let after = text("retry-after")?;
    match number(after) {
        Some(wait) => seconds(wait),
        None => {
            let until = httpdate::parse_http_date(after).ok()?;
            Some(until.duration_since(now).unwrap_or_default().min(LONGEST_ASKED))
        }
    }
}

/// Whether a call that got this status may succeed when it is tried again; the provider's own word
/// (`x-should-retry`) goes before the rule.
pub fn is_worth_a_retry(status: u16, headers: &HeaderMap) -> bool {
    match headers.get("x-should-retry").and_then(|word| word.to_str().ok()) {
        Some("true") => status >= 400,
        Some("false") => false,
        _ => matches!(status, 408 | 409 | 429 | 500..=599),
    }
}

/// Keeps retries a small share of calls: each answer earns a tenth of one, up to a reserve. Without it a provider
/// in trouble would get several times its usual load. Refusals of a busy provider need none: the pace holds those back.
#[derive(Debug)]
pub struct Budget(Mutex<f64>);

/// Retries that may be spent before any answer has earned one.
const RESERVE: f64 = 20.0;
const EARNED: f64 = 0.1;

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(RESERVE))
    }
}

impl Budget {
    /// Takes one retry, if there is one.
    pub fn take(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }

    /// An answer came.
    pub fn earn(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + EARNED).min(RESERVE);
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn headers(rows: &[(&str, &str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_wish_of_the_provider_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let rows = [
            (vec![("retry-after", "2")], Some(2000)),
            (vec![("retry-after", "0.5")], Some(500)),
            (vec![("retry-after", "2"), ("retry-after-ms", "150")], Some(150)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], Some(10_000)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")], Some(0)),
            (vec![("retry-after", "1e300")], None),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ];
        for (given, millis) in rows {
            assert_eq!(asked_wait(&headers(&given), now), millis.map(Duration::from_millis), "{given:?}");
        }
    }

    #[test]
    fn a_pause_doubles_at_most_and_never_undercuts_the_provider() {
        let first = Duration::from_millis(500);
        assert_eq!(pause(first, 0, None, 0.5), Duration::from_millis(250));
        assert_eq!(pause(first, 3, None, 0.5), Duration::from_secs(2));
        assert_eq!(pause(first, 60, None, 0.5), Duration::from_secs(10));
        assert_eq!(pause(first, 0, Some(Duration::from_secs(3)), 0.0), Duration::from_secs(3));
        assert!(pause(first, 0, Some(Duration::from_secs(3)), 0.99) > Duration::from_secs(3));
    }

    #[test]
    fn statuses_that_may_pass_are_tried_again_unless_the_provider_says_otherwise() {
        let none = HeaderMap::new();
        for status in [408, 409, 429, 500, 502, 503, 504, 529] {
            assert!(is_worth_a_retry(status, &none), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 413, 422] {
            assert!(!is_worth_a_retry(status, &none), "{status}");
        }
        assert!(!is_worth_a_retry(429, &headers(&[("x-should-retry", "false")])));
        assert!(is_worth_a_retry(400, &headers(&[("x-should-retry", "true")])));
    }

    #[test]
    fn retries_are_a_reserve_and_then_a_tenth_of_the_answers() {
        let budget = Budget::default();
        assert_eq!((0..1000).filter(|_| budget.take()).count(), 20);
        for _ in 0..11 {
            budget.earn();
        }
        assert!(budget.take() && !budget.take());
    }
}
