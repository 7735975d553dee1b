//! How far back: a length of time, or a day.

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The beginning of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds ago.
    Ago(i64),
    /// This moment, in milliseconds since 1970.
    At(i64),
}

impl Since {
    /// The beginning in milliseconds since 1970, counted from now.
    pub fn before(self, now_unix_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_unix_ms.saturating_sub(ms),
            Self::At(unix_ms) => unix_ms,
        }
    }
}

/// Reads `90m`, `24h`, `7d`, `4w`, or a day such as `2026-11-01` (from its midnight, UTC). The error says what would be
/// right.
pub fn parse(text: &str) -> Result<Since, String> {
    const RIGHT: &str = "a number with m, h, d or w such as 24h or 7d, or a day such as 2026-11-01";
    if let Ok(day) = text.parse::<Date>() {
        let midnight = day.to_zoned(TimeZone::UTC).map_err(|_| RIGHT.to_owned())?;
        return Ok(Since::At(midnight.timestamp().as_millisecond()));
    }
    let minutes = match text.chars().last() {
        Some('m') => 1,
        Some('h') => 60,
        Some('d') => 24 * 60,
        Some('w') => 7 * 24 * 60,
        _ => return Err(RIGHT.to_owned()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| RIGHT.to_owned())?;
    Ok(Since::Ago(i64::from(number) * minutes * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_counts_back_and_a_day_is_its_midnight() {
        let hour = 3_600_000;
        for (text, since) in [
            ("90m", Ok(Since::Ago(hour * 3 / 2))),
            ("24h", Ok(Since::Ago(24 * hour))),
            ("7d", Ok(Since::Ago(7 * 24 * hour))),
            ("4w", Ok(Since::Ago(28 * 24 * hour))),
            ("1970-01-02", Ok(Since::At(24 * hour))),
            ("", Err(())),
            ("d", Err(())),
            ("7", Err(())),
            ("-7d", Err(())),
            ("7 jours", Err(())),
            ("2026-13-01", Err(())),
            ("99999999999d", Err(())),
            ("7é", Err(())),
        ] {
            assert_eq!(parse(text).map_err(|_| ()), since, "{text:?}");
        }
        assert_eq!(Since::Ago(hour).before(3 * hour), 2 * hour);
        assert_eq!(Since::At(hour).before(3 * hour), hour);
    }
}
