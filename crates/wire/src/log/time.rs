//! Times as logs write them.

use serde_json::Value;

const MS_PER_DAY: i64 = 86_400_000;

/// A time in milliseconds since 1970: ISO 8601, or a number of seconds, milliseconds, microseconds or nanoseconds,
/// told apart by size. The four ranges meet at the year 5138 in one unit, which is 1973 in the next.
pub(super) fn unix_ms(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => of_number(number.as_f64()?),
        Value::String(text) => iso_unix_ms(text.trim())
            .or_else(|| of_number(text.trim().parse().ok().filter(|n: &f64| n.is_finite())?)),
        _ => None,
    }
}

fn of_number(number: f64) -> Option<i64> {
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

/// `2026-11-20T23:43:07.25+01:00`: the seconds, their fraction and the offset may be missing, a space may stand for
/// the `T`.
fn iso_unix_ms(text: &str) -> Option<i64> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    let month =
        after(&mut rest, '-').and_then(|()| digits(&mut rest, 2)).filter(|month| (1..=12).contains(month))?;
    let day =
        after(&mut rest, '-').and_then(|()| digits(&mut rest, 2)).filter(|day| (1..=31).contains(day))?;
    let midnight = days_since_1970(year, month, day) * MS_PER_DAY;
    if rest.is_empty() {
        return Some(midnight);
    }
    after(&mut rest, 'T').or_else(|| after(&mut rest, 't')).or_else(|| after(&mut rest, ' '))?;
    let hour = digits(&mut rest, 2).filter(|hour| *hour < 24)?;
    let minute = after(&mut rest, ':').and_then(|()| digits(&mut rest, 2)).filter(|minute| *minute < 60)?;
    let mut ms = (hour * 60 + minute) * 60_000;
    if after(&mut rest, ':').is_some() {
        ms += digits(&mut rest, 2).filter(|second| *second <= 60)? * 1_000; // 60 is a leap second
    }
    if after(&mut rest, '.').or_else(|| after(&mut rest, ',')).is_some() {
        ms += fraction_ms(&mut rest)?;
    }
    Some(midnight + ms - offset_ms(rest.trim_start())?)
}

fn after(rest: &mut &str, sign: char) -> Option<()> {
    *rest = rest.strip_prefix(sign)?;
    Some(())
}

fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let number = rest.get(..count).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    *rest = &rest[count..];
    number.parse().ok()
}

fn fraction_ms(rest: &mut &str) -> Option<i64> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, left) = rest.split_at(length);
    *rest = left;
    let first_three = fraction.bytes().chain(*b"00").take(3).map(|digit| i64::from(digit - b'0'));
    (length > 0).then(|| first_three.fold(0, |ms, digit| ms * 10 + digit))
}

fn offset_ms(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z" | "UTC") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut rest = text.strip_prefix(['+', '-'])?;
    let hours = digits(&mut rest, 2).filter(|hours| *hours < 24)?;
    let _ = after(&mut rest, ':');
    let minutes = if rest.is_empty() { 0 } else { digits(&mut rest, 2).filter(|minutes| *minutes < 60)? };
    rest.is_empty().then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Days since 1970-01-01 in the Gregorian calendar, after Howard Hinnant's `days_from_civil`, for years from 0.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
