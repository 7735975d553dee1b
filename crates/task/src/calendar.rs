//! On which day and in which month is a moment? In UTC. And what days and months are called, in English.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The months, in order.
pub const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The days of a week.
pub const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The first millisecond of the day.
pub fn start_of_day(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// The first millisecond of the month.
pub fn start_of_month(unix_ms: i64) -> i64 {
    midnight(date(unix_ms).first_of_month())
}

/// The first millisecond of the month after.
pub fn start_of_next_month(unix_ms: i64) -> i64 {
    midnight(date(unix_ms).first_of_month().saturating_add(1.month()))
}

/// The day as people write it: `2026-11-21`.
pub fn day(unix_ms: i64) -> String {
    date(unix_ms).to_string()
}

/// A moment before the year -9999 or after 9999 counts as the first or the last.
fn date(unix_ms: i64) -> Date {
    let nearest = if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    TimeZone::UTC.to_datetime(Timestamp::from_millisecond(unix_ms).unwrap_or(nearest)).date()
}

fn midnight(date: Date) -> i64 {
    TimeZone::UTC.to_timestamp(date.into()).map_or(i64::MAX, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_where_the_calendar_says() {
        // From `date -u -d @SECONDS`.
        for (seconds, today, month, next) in [
            (0, "1970-01-01", "1970-01-01", "1970-02-01"),
            (1_795_262_399, "2026-11-21", "2026-11-01", "2026-12-01"),
            (1_709_164_800, "2024-02-29", "2024-02-01", "2024-03-01"),
            (1_798_761_599, "2026-12-31", "2026-12-01", "2027-01-01"),
            (-1, "1969-12-31", "1969-12-01", "1970-01-01"),
        ] {
            let ms = seconds * 1_000 + 999;
            assert_eq!(day(ms), today);
            assert_eq!(day(start_of_day(ms)), today);
            assert_eq!(day(start_of_month(ms)), month, "{today}");
            assert_eq!(day(start_of_next_month(ms)), next, "{today}");
            assert_eq!(start_of_month(ms).rem_euclid(DAY_MS), 0);
        }
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_its_edge() {
        assert_eq!(day(i64::MAX), "9999-12-30");
        assert_eq!(day(i64::MIN), "-009999-01-02");
        assert!(start_of_next_month(i64::MAX) > start_of_month(i64::MAX));
    }
}
