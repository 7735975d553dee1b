//! Numbers as a person would say them.

use sprat_task::Money;

/// With thousands separators: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `12 rows`: the plural is the word with an `s`.
pub fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share in [0, 1] as a percentage with one decimal; never rounded to 0% or 100% unless it is that.
pub fn share(share: f64) -> String {
    match share {
        _ if share.is_nan() => "unknown".to_owned(),
        0.0 => "0%".to_owned(),
        1.0 => "100%".to_owned(),
        _ if share > 0.0 && share < 0.0005 => "<0.1%".to_owned(),
        _ if share < 1.0 && share > 0.9995 => ">99.9%".to_owned(),
        _ => format!("{:.1}%", share * 100.0),
    }
}

/// An amount; what isn't known is shown as unknown, never as 0.
pub fn money(amount: Option<Money>) -> String {
    amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string())
}

/// A length of time given in microseconds: `12 us`, `3.4 ms`, `1.2 s`, `2 min 5 s`, `3 h 20 min`.
pub fn duration_us(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.1} s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A size: `512 B`, `4.9 MB`.
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// A time given in milliseconds since 1970, to the minute: `2026-11-20 23:58 UTC`.
pub fn time(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Text from a file or a model without the control characters that would steer the terminal.
pub fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_would_say_them() {
        let rows = [
            (count(0), "0"),
            (count(999), "999"),
            (count(1_234_567), "1,234,567"),
            (counted(1, "row"), "1 row"),
            (counted(1_200, "row"), "1,200 rows"),
            (share(0.691), "69.1%"),
            (share(0.99999), ">99.9%"),
            (share(0.00001), "<0.1%"),
            (share(1.0), "100%"),
            (share(-0.5), "-50.0%"),
            (share(f64::NAN), "unknown"),
            (money(None), "unknown"),
            (money(Some(Money::from_micro(2_100))), "$0.0021"),
            (duration_us(12), "12 us"),
            (duration_us(3_400), "3.4 ms"),
            (duration_us(125_000_000), "2 min 5 s"),
            (duration_us(12_000_000_000), "3 h 20 min"),
            (bytes(512), "512 B"),
            (bytes(4_900_000), "4.9 MB"),
            (time(0), "1970-01-01 00:00 UTC"),
            (time(1_795_219_080_000), "2026-11-20 23:58 UTC"),
            (plain("a\u{1b}[31mb"), "a\u{fffd}[31mb"),
        ];
        for (said, expected) in rows {
            assert_eq!(said, expected);
        }
    }
}
