//! On which day and in which month is a moment? In UTC, by the proleptic Gregorian calendar.
//!
//! Days to dates and back after Howard Hinnant, "chrono-compatible low-level date algorithms".

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The first millisecond of the day.
pub fn start_of_day(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// The first millisecond of the month.
pub fn start_of_month(unix_ms: i64) -> i64 {
    let (year, month, _) = date(unix_ms);
    day_number(year, month, 1).saturating_mul(DAY_MS)
}

/// The first millisecond of the month after.
pub fn start_of_next_month(unix_ms: i64) -> i64 {
    let (year, month, _) = date(unix_ms);
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    day_number(year, month, 1).saturating_mul(DAY_MS)
}

/// The day as people write it: `2026-11-21`.
pub fn day(unix_ms: i64) -> String {
    let (year, month, day) = date(unix_ms);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month from 1, day from 1.
fn date(unix_ms: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that a leap day ends its year and an era of 400 years has 146,097 days.
    let days = unix_ms.div_euclid(DAY_MS) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
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
    fn every_day_of_four_centuries_comes_back_from_its_date() {
        for number in -36_525..109_575 {
            let (year, month, day) = date(number * DAY_MS);
            assert_eq!(day_number(year, month, day), number);
        }
    }
}
