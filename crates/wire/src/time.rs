//! Times as logs and tables write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Milliseconds since 1970 of a text or a number; `None` where it is no time. See [`of_text`] and [`of_number`].
pub fn unix_ms(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => of_number(number.as_f64()?),
        Value::String(text) => of_text(text),
        _ => None,
    }
}

/// `2026-11-20T23:43:07.25+01:00`: the seconds, their fraction, the clock and the offset may be missing, a space may
/// stand for the `T`; without an offset it is UTC. Or a number.
pub fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let utc = text.strip_suffix("UTC").map_or(text, str::trim_end);
    let time = utc.parse::<Timestamp>().ok();
    let time = time.or_else(|| TimeZone::UTC.to_timestamp(utc.parse::<DateTime>().ok()?).ok());
    time.map(Timestamp::as_millisecond).or_else(|| of_number(text.parse().ok()?))
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size. The four ranges meet at
/// the year 5138 in one unit, which is 1973 in the next.
pub fn of_number(number: f64) -> Option<i64> {
    let ms = match number {
        n if n < 0.0 => return None,
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n if n < 1e17 => n / 1e3,
        n if n < 1e20 => n / 1e6,
        _ => return None,
    };
    Some(ms.round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_read_however_a_log_writes_it() {
        let rows = [
            (json!("1970-01-01T00:00:00Z"), Some(0)),
            (json!("2000-03-01"), Some(951_868_800_000)), // date -ud 2000-03-01 +%s
            (json!("2026-11-20T23:43:07Z"), Some(1_795_218_187_000)),
            (json!("2026-11-20 23:43:07.25"), Some(1_795_218_187_250)),
            (json!("2026-11-21T00:43:07.2501239+01:00"), Some(1_795_218_187_250)),
            (json!("2026-11-20T18:13:07-0530"), Some(1_795_218_187_000)),
            (json!("2026-11-20T23:43"), Some(1_795_218_180_000)),
            (json!(" 2026-11-20 23:43:07 UTC "), Some(1_795_218_187_000)),
            (json!("1969-12-31T23:59:59Z"), Some(-1_000)),
            (json!("2026-02-29"), None),
            (json!("20.11.2026"), None),
            (json!("1e300"), None),
            (json!(""), None),
            (json!(1_795_218_187), Some(1_795_218_187_000)),
            (json!(1_795_218_187.25), Some(1_795_218_187_250)),
            (json!("1795218187"), Some(1_795_218_187_000)),
            (json!(1_795_218_187_250_i64), Some(1_795_218_187_250)),
            (json!(1_795_218_187_250_000_i64), Some(1_795_218_187_250)),
            (json!(1_795_218_187_250_000_000_i64), Some(1_795_218_187_250)),
            (json!("2026-13-01T00:00:00Z"), None),
            (json!("2026-11-20T25:00:00Z"), None),
            (json!("yesterday"), None),
            (json!("2026-11-2é"), None),
            (json!(-1), None),
            (json!("NaN"), None),
            (json!(null), None),
        ];
        for (written, expected) in rows {
            assert_eq!(unix_ms(&written), expected, "{written}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}", digits in "[0-9+:.TZ -]{0,30}") {
            unix_ms(&json!(text));
            unix_ms(&json!(digits));
        }
    }
}
