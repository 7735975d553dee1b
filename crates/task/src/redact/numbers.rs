//! Cards, bank accounts, telephone numbers.

use std::ops::Range;

use super::{begins, ends};

/// A digit in any of the scripts that phones and keyboards write: ASCII, full width, Arabic, Persian, Devanagari.
fn digit(c: char) -> Option<u32> {
    const ZEROES: [char; 4] = ['\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}'];
    c.to_digit(10).or_else(|| {
        ZEROES
            .into_iter()
            .find_map(|zero| u32::from(c).checked_sub(u32::from(zero)).filter(|digit| *digit < 10))
    })
}

fn is_digit(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(|c| digit(*c).is_some())
}

/// What stands between the groups of a number.
fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '-' | '\u{2011}' | '\u{2013}')
}

/// The longest of the ends that `fits` likes, trying each place where a find may begin.
fn longest(
    text: &[char],
    may_begin: impl Fn(usize) -> bool,
    fits: impl Fn(usize) -> Option<usize>,
) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match may_begin(at).then(|| fits(at)).flatten() {
            Some(end) => {
                found.push(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// Payment cards: from the beginning of a group of digits to the end of one.
pub(super) fn cards(text: &[char]) -> Vec<Range<usize>> {
    longest(text, |at| is_digit(text, at) && (at == 0 || !is_digit(text, at - 1)), |at| card(text, at))
}

fn card(text: &[char], start: usize) -> Option<usize> {
    let mut digits = Vec::with_capacity(19);
    let mut end = None;
    let mut at = start;
    while let Some(value) = text.get(at).and_then(|c| digit(*c)).filter(|_| digits.len() < 19) {
        digits.push(value);
        at += 1;
        if !is_digit(text, at) && digits.len() >= 13 && passes_luhn(&digits) {
            end = Some(at);
        }
        if text.get(at).is_some_and(|c| is_gap(*c)) && is_digit(text, at + 1) {
            at += 1;
        }
    }
    end
}

/// The check digit of ISO/IEC 7812.
fn passes_luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let places = digits.iter().rev().enumerate();
    places.map(|(place, digit)| if place % 2 == 1 { doubled(*digit) } else { *digit }).sum::<u32>() % 10 == 0
}

/// Bank accounts: two letters, two digits, and 11 to 30 more letters and digits.
pub(super) fn ibans(text: &[char]) -> Vec<Range<usize>> {
    let letter = |at: usize| text.get(at).is_some_and(char::is_ascii_alphabetic);
    let may_begin = |at| {
        letter(at) && letter(at + 1) && begins(text, at) && is_digit(text, at + 2) && is_digit(text, at + 3)
    };
    longest(text, may_begin, |at| iban(text, at))
}

fn iban(text: &[char], start: usize) -> Option<usize> {
    let value = |at: usize| {
        let c = *text.get(at)?;
        digit(c).or_else(|| c.to_ascii_lowercase().to_digit(36).filter(|_| c.is_ascii_alphabetic()))
    };
    let append = |rest: u32, value: u32| (rest * if value < 10 { 10 } else { 100 } + value) % 97;
    // The first four are read last.
    let country: Vec<u32> = (start..start + 4).filter_map(value).collect();
    let (mut rest, mut count, mut end, mut at) = (0, 4, None, start + 4);
    while count < 34 {
        if text.get(at).is_some_and(|c| is_gap(*c)) {
            at += 1;
        }
        let Some(next) = value(at) else { break };
        rest = append(rest, next);
        count += 1;
        at += 1;
        let is_right = || country.iter().fold(rest, |rest, value| append(rest, *value)) == 1;
        if count >= 15 && ends(text, at) && is_right() {
            end = Some(at);
        }
    }
    end
}

/// Telephone numbers.
pub(super) fn phones(text: &[char]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let opens =
            matches!(text[at], '+' | '(') && (is_digit(text, at + 1) || text.get(at + 1) == Some(&'('));
        if !begins(text, at) || !(opens || is_digit(text, at)) {
            at += 1;
            continue;
        }
        let number = Number::read(text, at);
        if number.is_phone(&text[at..number.end]) {
            found.push(at..number.end);
        }
        at = number.end.max(at + 1);
    }
    found
}

/// Groups of digits that stand together.
struct Number {
    groups: Vec<usize>,
    end: usize,
}

impl Number {
    /// As many groups as a telephone number can have digits: a group that would be too much begins another number.
    fn read(text: &[char], start: usize) -> Self {
        let mut number = Self { groups: Vec::new(), end: start };
        let mut at = start;
        loop {
            let gap = (at..text.len().min(at + 3)).take_while(|at| is_phone_gap(text[*at])).count();
            at += gap;
            let group = text[at..].iter().take_while(|c| digit(**c).is_some()).count();
            let digits: usize = number.groups.iter().sum();
            if group == 0 || (gap == 0 && !number.groups.is_empty()) || (digits > 0 && digits + group > 15) {
                return number;
            }
            at += group;
            number.groups.push(group);
            number.end = at;
            // The time that may follow a date is no part of a number.
            if number.is_date(&text[start..at]) {
                return number;
            }
        }
    }

    fn is_phone(&self, written: &[char]) -> bool {
        let digits: usize = self.groups.iter().sum();
        let least = if written.starts_with(&['+']) { 7 } else { 9 };
        let is_local = self.groups == [3, 4] && written[3] == '-';
        is_local || ((least..=15).contains(&digits) && !self.is_date(written))
    }

    /// 2026-11-21, 21.11.2026, 11/21/2026.
    fn is_date(&self, written: &[char]) -> bool {
        matches!(self.groups[..], [4, 2, 2] | [2, 2, 4])
            && matches!(
                written.iter().filter(|c| digit(**c).is_none()).collect::<String>().as_str(),
                "--" | ".." | "//"
            )
    }
}

fn is_phone_gap(c: char) -> bool {
    is_gap(c) || matches!(c, '(' | ')' | '.' | '/' | '+')
}
