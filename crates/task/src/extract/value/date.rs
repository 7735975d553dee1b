//! Days as people write them. Months by name are English.

use jiff::civil::Date;

use super::super::field::DateOrder;
use crate::calendar::{MONTHS, WEEKDAYS};

/// The day that a text is, as ISO 8601 has it: `2026-11-21`. `None` where it is none, names no year, or could be two
/// days and no order is declared.
pub fn parse(text: &str, order: Option<DateOrder>) -> Option<String> {
    let lower = text.trim().to_lowercase();
    // What stands before or after a date is no part of it.
    if lower.starts_with(is_between) || lower.ends_with(is_between) {
        return None;
    }
    let parts: Vec<&str> = lower.split(is_between).filter(|part| !part.is_empty()).collect();
    let parts = match parts[..] {
        [weekday, ref rest @ ..] if is_weekday(weekday) => rest,
        ref all => all,
    };
    let [first, second, third] = parts[..] else { return None };
    let (year, month, day) = match (month(first), month(second)) {
        (Some(month), None) => (year(third)?, month, day(second)?),
        (None, Some(month)) if third.len() >= 4 || first.len() < 4 => (year(third)?, month, day(first)?),
        (None, Some(month)) => (year(first)?, month, day(third)?),
        (None, None) => numeric([first, second, third], order)?,
        (Some(_), Some(_)) => return None,
    };
    let number = |number: u32| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, number(month)?, number(day)?).ok()?;
    Some(date.to_string())
}

fn is_between(character: char) -> bool {
    character.is_whitespace() || matches!(character, '/' | '-' | '.' | ',')
}

/// Three numbers. A year of four digits says where it stands; a number above 12 is no month.
fn numeric(parts: [&str; 3], order: Option<DateOrder>) -> Option<(u32, u32, u32)> {
    if parts.iter().any(|part| part.is_empty() || part.len() > 4 || !part.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let [first, second, third] = parts;
    let number = |part: &str| part.parse::<u32>().ok();
    if first.len() == 4 {
        return Some((year(first)?, number(second)?, number(third)?));
    }
    if order == Some(DateOrder::Ymd) && third.len() <= 2 {
        return Some((year(first)?, number(second)?, number(third)?));
    }
    let (a, b, year) = (number(first)?, number(second)?, year(third)?);
    match (order, a, b) {
        (Some(DateOrder::Mdy), ..) => Some((year, a, b)),
        (Some(_), ..) => Some((year, b, a)),
        (None, same, other) if same == other => Some((year, a, b)),
        // Two digits could as well be a day: without an order only a whole year leaves no doubt.
        (None, 13.., 1..=12) if third.len() == 4 => Some((year, b, a)),
        (None, 1..=12, 13..) if third.len() == 4 => Some((year, a, b)),
        _ => None,
    }
}

/// A year of four digits; one of two lies between 1970 and 2069.
fn year(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    match text.len() {
        4 => Some(number),
        2 => Some(if number < 70 { 2000 + number } else { 1900 + number }),
        _ => None,
    }
}

/// `1`, `01`, `1st`, `22nd`.
fn day(text: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text);
    digits.parse().ok().filter(|_| digits.len() <= 2)
}

/// A month by its name, or by the first three letters of it.
fn month(text: &str) -> Option<u32> {
    let named = |name: &&str| {
        *name == text
            || (text.len() == 3 && name.starts_with(text))
            || (text == "sept" && name.starts_with(text))
    };
    (1..).zip(&MONTHS).find(|(_, name)| named(name)).map(|(number, _)| number)
}

fn is_weekday(text: &str) -> bool {
    text.len() >= 3 && WEEKDAYS.iter().any(|day| *day == text || (text.len() <= 5 && day.starts_with(text)))
}
