//! How numbers, times and strangers' texts are written in the report. What isn't known reads `unknown`, never 0.

use sprat_task::Money;

/// What stands where nothing is known.
pub const UNKNOWN: &str = "unknown";

/// A share as a percentage with one decimal, so that columns line up: `92.3%`, `−4.0%`.
pub fn percent(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1}%", to_tenths(share * 100.0)).replace('-', "−"),
        false => UNKNOWN.to_owned(),
    }
}

/// The same for a share that may be unknown.
pub fn percent_or_unknown(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.to_owned(), percent)
}

/// A difference of two shares in percentage points, with its sign: `+0.4`, `−1.2`.
pub fn points(difference: f64) -> String {
    if !difference.is_finite() {
        return UNKNOWN.to_owned();
    }
    let points = to_tenths(difference * 100.0);
    let sign = if points > 0.0 { "+" } else { "" };
    format!("{sign}{points:.1}").replace('-', "−")
}

/// A whole number with thousands apart: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many things by name: `1 row`, `12,345 rows`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// So many of a whole: `421 (60.1%)`; without the share where the whole is nothing.
pub fn part_of(part: u64, whole: u64) -> String {
    match whole {
        0 => count(part),
        whole => format!("{} ({})", count(part), percent(part as f64 / whole as f64)),
    }
}

/// An amount with a true minus sign: `$4.12`, `−$0.0021`.
pub fn money(amount: Money) -> String {
    amount.to_string().replace('-', "−")
}

/// A time in the unit it is read in: `38 µs`, `3.3 ms`, `1.2 s`.
pub fn duration_us(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(microseconds as f64 / 1e3)),
        _ => format!("{} s", three_digits(microseconds as f64 / 1e6)),
    }
}

/// A length in bytes, in powers of ten: `812 B`, `4.2 MB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", three_digits(bytes as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{} MB", three_digits(bytes as f64 / 1e6)),
        _ => format!("{} GB", three_digits(bytes as f64 / 1e9)),
    }
}

/// A moment to the minute: `2026-11-20 10:15 UTC`.
pub fn moment(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// A text that others wrote, fit to be shown on one line: control characters become their pictures, line breaks
/// become spaces, and what turns the direction of writing is spelled out, since it could dress up what follows it.
/// Escaping for HTML is left to whoever writes HTML.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => shown.push(' '),
            '\0'..'\u{20}' => shown.extend(char::from_u32(0x2400 + char as u32)),
            '\u{7f}' => shown.push('\u{2421}'),
            '\u{80}'..'\u{a0}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}' => shown.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push_str(&format!("[U+{:04X}]", char as u32))
            }
            _ => shown.push(char),
        }
    }
    shown
}

/// The same, cut after so many characters.
pub fn shown_within(text: &str, longest: usize) -> String {
    let shown = shown(text);
    match shown.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", shown[..end].trim_end()),
        None => shown,
    }
}

/// Rounded, and without the minus sign of a zero: -0.04 is 0.0.
fn to_tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0 + 0.0
}

fn three_digits(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_would_write_them() {
        for (written, text) in [
            (percent(0.9234), "92.3%"),
            (percent(-0.0001), "0.0%"),
            (percent(f64::NAN), "unknown"),
            (percent_or_unknown(None), "unknown"),
            (points(0.004), "+0.4"),
            (points(-0.012), "−1.2"),
            (points(-0.0001), "0.0"),
            (count(0), "0"),
            (count(999), "999"),
            (count(1_234_567), "1,234,567"),
            (counted(1, "row"), "1 row"),
            (part_of(1, 4), "1 (25.0%)"),
            (part_of(0, 0), "0"),
            (money(Money::from_micro(-2_000_000)), "−$2.00"),
            (duration_us(38), "38 µs"),
            (duration_us(3_300), "3.30 ms"),
            (duration_us(61_000_000), "61.0 s"),
            (bytes(812), "812 B"),
            (bytes(4_200_000), "4.20 MB"),
            (moment(1_795_169_700_250), "2026-11-20 10:15 UTC"),
        ] {
            assert_eq!(written, text);
        }
    }

    #[test]
    fn any_moment_can_be_written() {
        for (unix_ms, written) in [
            (i64::MIN, "unknown"),
            (-1, "1969-12-31 23:59 UTC"),
            (0, "1970-01-01 00:00 UTC"),
            (i64::MAX, "unknown"),
        ] {
            assert_eq!(moment(unix_ms), written, "{unix_ms}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_made_visible() {
        for (text, seen) in [
            ("a\u{0}b\u{7f}", "a␀b␡"),
            ("two\nlines\tand", "two lines and"),
            ("\u{85}", "\u{fffd}"),
            ("evil\u{202e}txt.exe", "evil[U+202E]txt.exe"),
            ("مرحبا 👩‍👧", "مرحبا 👩‍👧"),
        ] {
            assert_eq!(shown(text), seen, "{text:?}");
        }
        assert_eq!(shown_within("grüße an alle", 5), "grüße…");
        assert_eq!(shown_within("kurz", 5), "kurz");
    }
}
