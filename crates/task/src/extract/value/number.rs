//! Numbers as people write them.

/// The number that a text is: `1,234.50`, `1.234,50`, `1 234,50`, `1'234.50`, `-3`, `(3)`.
///
/// Where both `.` and `,` stand in it, the later one is the decimal point; one that stands once before other than three
/// digits is it too. What is left is undecided (`1,234`), and `decimal` decides.
pub fn parse(text: &str, decimal: char) -> Option<f64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => (true, inner.trim()),
        None => match text.strip_prefix(['-', '\u{2212}']) {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text.strip_prefix('+').unwrap_or(text).trim_start()),
        },
    };
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = split(text, decimal)?;
    let digits = format!("{}.{fraction}0", without_groups(whole)?);
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some(if negative && number != 0.0 { -number } else { number })
}

/// The part before the decimal point, groups and all, and the digits after it.
fn split(text: &str, decimal: char) -> Option<(&str, &str)> {
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let last = |mark: char| text.rfind(mark);
    let point = match (last('.'), last(',')) {
        (None, None) => None,
        (Some(dot), Some(comma)) => Some(dot.max(comma)),
        (Some(at), None) | (None, Some(at)) => {
            let mark = if text.as_bytes()[at] == b'.' { '.' } else { ',' };
            let is_group = text.matches(mark).count() > 1 || (mark != decimal && text.len() - at == 4);
            (!is_group).then_some(at)
        }
    };
    match point {
        None => Some((text, "")),
        Some(at) => {
            let (whole, fraction) = (&text[..at], &text[at + 1..]);
            // The point's own mark stands nowhere else.
            let once = !whole.contains(char::from(text.as_bytes()[at]));
            // A point without digits behind it ends a sentence, or separates this number from what follows.
            (once && !fraction.is_empty() && all_digits(fraction)).then_some((whole, fraction))
        }
    }
}

/// The digits of a whole number whose groups of three are separated by one mark.
fn without_groups(whole: &str) -> Option<String> {
    let is_mark =
        |c: char| matches!(c, ',' | '.' | '\'' | '\u{2019}' | ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}');
    let marks: Vec<char> = whole.chars().filter(|c| is_mark(*c)).collect();
    let mut groups = whole.split(is_mark);
    let first = groups.next()?;
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if marks.is_empty() {
        return is_number(first).then(|| if first.is_empty() { "0".to_owned() } else { first.to_owned() });
    }
    let one_mark = marks.iter().all(|mark| *mark == marks[0]);
    let well_grouped = (1..=3).contains(&first.len()) && groups.clone().all(|group| group.len() == 3);
    let digits: String = std::iter::once(first).chain(groups).collect();
    (one_mark && well_grouped && is_number(&digits)).then_some(digits)
}
