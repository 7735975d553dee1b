//! When a row was asked: RFC 3339, or seconds or milliseconds since 1970.

/// Milliseconds since 1970 of a time as people write it; `None` where it is none of the forms.
///
/// `2026-11-20T10:15:00Z`, with an offset or a fraction; `2026-11-20 10:15:00` and `2026-11-20`, read as UTC; a number
/// below 10^11 as seconds (until the year 5138), from there as milliseconds (from 1973 on).
pub fn unix_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) => unix_ms_of_number(number),
        Err(_) => of_rfc3339(text),
    }
}

/// The same for a number.
pub fn unix_ms_of_number(number: f64) -> Option<i64> {
    let ms = if number.abs() < 1e11 { number * 1000.0 } else { number };
    // Above that, it is microseconds or something else.
    (ms.abs() < 1e14).then_some(ms.round() as i64)
}

/// Milliseconds since 1970 as RFC 3339 in UTC: `2026-11-20T10:15:00.000Z`.
pub fn to_rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

fn of_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = date_days(date)?;
    if rest.is_empty() {
        return Some(days * 86_400_000);
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset_minutes) = split_offset(clock)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms = number(&padded, 3)?;
    Some(((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1000 + ms)
}

fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Some((clock, 0)) };
    let (clock, offset) = clock.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    Some((clock, sign * (number(hours, 2)? * 60 + number(minutes, 2)?)))
}

fn date_days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let days = days_since_1970(year, month, day);
    // A day that doesn't exist comes back as another.
    (parts.next().is_none() && civil(days) == (year, month, day)).then_some(days)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day (the same source, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29", Some(951_782_400_000)),
            ("2026-11-20T10:15:00.25Z", Some(1_795_169_700_250)),
            ("2026-11-20T11:15:00.25+01:00", Some(1_795_169_700_250)),
            ("2026-11-20 10:15", Some(1_795_169_700_000)),
            ("1795169700", Some(1_795_169_700_000)),
            ("1795169700250", Some(1_795_169_700_250)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("20.11.2026", None),
            ("yesterday", None),
            ("NaN", None),
            ("1e300", None),
            ("", None),
            ("2026-11-2é", None),
        ] {
            assert_eq!(unix_ms(text), ms, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for ms in [0, -1, 1_795_169_700_250, 951_782_400_000, -62_135_596_800_000] {
            assert_eq!(unix_ms(&to_rfc3339(ms)), Some(ms), "{ms}");
        }
    }
}
