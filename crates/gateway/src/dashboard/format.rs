//! How numbers, times and strangers' texts are written. What isn't known reads `unknown`, never 0.

use std::borrow::Borrow;
use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
pub use sprat_task::certificate::count;
use sprat_task::{Money, Provenance};

/// What stands where nothing is known.
pub const UNKNOWN: &str = "unknown";

/// A share as a percentage with one decimal, so that columns line up: `92.3%`, `−4.0%`.
pub fn percent(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1}%", (share * 1000.0).round() / 10.0 + 0.0).replace('-', "−"),
        false => UNKNOWN.to_owned(),
    }
}

/// A part of a whole as a percentage; unknown where the whole is nothing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 { UNKNOWN.to_owned() } else { percent(part as f64 / whole as f64) }
}

/// A probability with four decimals: confidences crowd near 1, and thresholds lie among them.
pub fn probability(probability: f64) -> String {
    format!("{probability:.4}")
}

/// So many things by name: `1 row`, `12,345 rows`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// An amount with a true minus sign: `$4.12`, `−$0.0021`.
pub fn money(amount: Money) -> String {
    amount.to_string().replace('-', "−")
}

/// An amount with the number of those that nobody knows; unknown where none is known.
pub fn known(amount: Money, unknown: u64, of: u64) -> String {
    match unknown {
        0 => money(amount),
        all if all >= of => UNKNOWN.to_owned(),
        some => format!("{} + {} unknown", money(amount), count(some)),
    }
}

/// Where a figure comes from, in a word, unless it was measured here.
pub fn unless_measured(provenance: impl Borrow<Provenance>) -> Option<String> {
    let provenance = *provenance.borrow();
    (provenance != Provenance::Measured).then(|| provenance.to_string())
}

/// A time in the unit it is read in: `38 µs`, `3.30 ms`, `1.20 s`.
pub fn duration_us(microseconds: u64) -> String {
    let digits = |number: f64| match number {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    };
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", digits(microseconds as f64 / 1e3)),
        _ => format!("{} s", digits(microseconds as f64 / 1e6)),
    }
}

/// The same for a time that may be unknown.
pub fn duration_or_unknown(microseconds: Option<u64>) -> String {
    microseconds.map_or_else(|| UNKNOWN.to_owned(), duration_us)
}

/// A sentence as it stands alone: with a capital and a full stop.
pub fn closed(sentence: &str) -> String {
    let sentence = shown(sentence.trim());
    let mut chars = sentence.chars();
    let Some(first) = chars.next() else { return sentence };
    let stop = if sentence.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
}

/// A text that others wrote, fit to be shown: control characters become their pictures, and what turns the direction of
/// writing is spelled out, since it could dress up what follows it. Line breaks stay; escaping is the template's.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' | '\n' => shown.push(char),
            '\r' => {}
            '\0'..'\u{20}' => shown.extend(char::from_u32(0x2400 + char as u32)),
            '\u{7f}' => shown.push('\u{2421}'),
            '\u{80}'..'\u{a0}' => shown.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push_str(&format!("[U+{:04X}]", char as u32));
            }
            _ => shown.push(char),
        }
    }
    shown
}

/// What we wrote for a terminal, where names stand between backticks, with quotation marks in their place.
pub fn quoted(text: &str) -> String {
    let mut opens = false;
    let mark = |char| match char {
        '`' => {
            opens = !opens;
            if opens { '“' } else { '”' }
        }
        other => other,
    };
    shown(text).chars().map(mark).collect()
}

/// The same on one line, cut after so many characters.
pub fn shown_within(text: &str, longest: usize) -> String {
    let shown = shown(text).replace(['\n', '\t'], " ");
    match shown.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", shown[..end].trim_end()),
        None => shown,
    }
}

/// A text as a segment of a path.
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => segment.push(byte as char),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// A moment as a `<time>` element; scripts rewrite it in the viewer's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    unix_ms: i64,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Second,
    Minute,
    Day,
}

impl When {
    /// To the second.
    pub fn second(unix_ms: i64) -> Self {
        Self { unix_ms, style: Style::Second }
    }

    /// To the minute.
    pub fn minute(unix_ms: i64) -> Self {
        Self { unix_ms, style: Style::Minute }
    }

    /// A day (UTC).
    pub fn day(unix_ms: i64) -> Self {
        Self { unix_ms, style: Style::Day }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = Timestamp::from_millisecond(self.unix_ms) else { return f.write_str("unknown") };
        let date = time.strftime("%Y-%m-%d");
        let clock = time.strftime("%H:%M:%S").to_string();
        let (style, text) = match self.style {
            Style::Second => ("second", format!("{date} {clock} UTC")),
            Style::Minute => ("minute", format!("{date} {} UTC", &clock[..5])),
            Style::Day => return write!(f, "<time datetime=\"{date}\">{date}</time>"),
        };
        write!(f, "<time datetime=\"{date}T{clock}Z\" data-to=\"{style}\">{text}</time>")
    }
}

// Digits and our own words only.
impl HtmlSafe for When {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_would_write_them() {
        let cent = Money::from_micro(10_000);
        for (written, text) in [
            (percent(0.9234), "92.3%"),
            (percent(-0.04), "−4.0%"),
            (percent(-0.0001), "0.0%"),
            (percent(f64::NAN), "unknown"),
            (share(1, 4), "25.0%"),
            (share(0, 0), "unknown"),
            (counted(1, "row"), "1 row"),
            (money(Money::from_micro(-2_000_000)), "−$2.00"),
            (known(cent, 0, 5), "$0.010"),
            (known(cent, 2, 5), "$0.010 + 2 unknown"),
            (known(Money::ZERO, 5, 5), "unknown"),
            (duration_us(38), "38 µs"),
            (duration_us(3_300), "3.30 ms"),
            (duration_us(61_000_000), "61.0 s"),
            (duration_or_unknown(None), "unknown"),
            (closed("nothing has been certified"), "Nothing has been certified."),
            (closed(""), ""),
        ] {
            assert_eq!(written, text);
        }
    }

    #[test]
    fn moments_are_written_in_utc_for_a_script_to_rewrite() {
        let at = 1_795_169_703_250;
        for (when, html) in [
            (
                When::second(at),
                r#"<time datetime="2026-11-20T10:15:03Z" data-to="second">2026-11-20 10:15:03 UTC</time>"#,
            ),
            (
                When::minute(at),
                r#"<time datetime="2026-11-20T10:15:03Z" data-to="minute">2026-11-20 10:15 UTC</time>"#,
            ),
            (When::day(0), r#"<time datetime="1970-01-01">1970-01-01</time>"#),
            (When::day(951_782_400_000), r#"<time datetime="2000-02-29">2000-02-29</time>"#),
        ] {
            assert_eq!(when.to_string(), html);
        }
    }

    #[test]
    fn what_strangers_wrote_can_neither_hide_nor_break_out_of_a_path() {
        for (text, seen) in [
            ("a\u{0}b\u{7f}\r\n", "a␀b␡\n"),
            ("evil\u{202e}txt.exe", "evil[U+202E]txt.exe"),
            ("مرحبا 👩‍👧", "مرحبا 👩‍👧"),
        ] {
            assert_eq!(shown(text), seen, "{text:?}");
        }
        assert_eq!(quoted("answers `a\u{0}` and `b`"), "answers “a␀” and “b”");
        assert_eq!(shown_within("grüße\nan alle", 8), "grüße an…");
        assert_eq!(segment("../a b?ü"), "..%2Fa%20b%3F%C3%BC");
    }
}
