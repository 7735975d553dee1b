//! What two texts made from one template have in common: the text with its variable parts blanked out.

use sprat_task::calendar::{MONTHS, WEEKDAYS};

/// Quoted texts at least this long, in characters, are taken for something filled in. Shorter ones are mostly the
/// words an answer may consist of, and those tell tasks apart.
const LONG_QUOTE: usize = 16;
/// Words at least this long that are half made of digits are taken for an identifier.
const LONG_WORD: usize = 16;

/// A text in lower case, whitespace as single spaces, and numbers, dates, e-mail addresses, URLs, identifiers, long
/// quoted strings and code blocks as `<number>`, `<date>` and so on.
pub(super) fn mask(text: &str) -> String {
    let mut masked: Vec<String> = Vec::new();
    for word in blank_quotes(text).split_whitespace() {
        let word = mask_word(word);
        // "20 November 2026" and "1 2 3" are one variable each.
        let repeats = masked.last().is_some_and(|last| is_same_variable(last, &word));
        if !repeats {
            masked.push(word);
        }
    }
    masked.join(" ")
}

const NUMBER: &str = "<number>";
const DATE: &str = "<date>";

fn is_same_variable(last: &str, word: &str) -> bool {
    (last == DATE || last == NUMBER) && (word == last || (last == DATE && word == NUMBER))
}

/// Long quoted strings and code blocks become `<quote>`. A quote that never closes is left alone.
fn blank_quotes(text: &str) -> String {
    const QUOTES: [(&str, &str); 5] =
        [("```", "```"), ("\"\"\"", "\"\"\""), ("\"", "\""), ("“", "”"), ("«", "»")];
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(first) = rest.chars().next() {
        for (open, close) in QUOTES {
            let Some(inside) = rest.strip_prefix(open) else { continue };
            let Some(length) = inside.find(close) else { continue };
            if inside[..length].chars().take(LONG_QUOTE).count() == LONG_QUOTE {
                blanked.push_str("<quote>");
                rest = &inside[length + close.len()..];
                continue 'text;
            }
        }
        blanked.push(first);
        rest = &rest[first.len_utf8()..];
    }
    blanked
}

fn mask_word(word: &str) -> String {
    let is_outside = |c: char| !c.is_alphanumeric() && !matches!(c, '<' | '>' | '@' | '/' | '#' | '+' | '-');
    let core = word.trim_matches(is_outside);
    let Some((before, after)) = word.split_once(core).filter(|_| !core.is_empty()) else {
        return word.to_lowercase();
    };
    let variable = match core {
        _ if is_url(core) => "<url>",
        _ if is_email(core) => "<email>",
        _ if is_date(core) => DATE,
        _ if is_identifier(core) => "<id>",
        _ => return format!("{before}{}{after}", blank_digits(&core.to_lowercase())),
    };
    format!("{before}{variable}{after}")
}

fn is_url(core: &str) -> bool {
    ["http://", "https://", "www."].iter().any(|start| core.starts_with(start))
}

fn is_email(core: &str) -> bool {
    core.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}

/// Digits in three parts, or the name of a month or a weekday.
fn is_date(core: &str) -> bool {
    let starts_with_digit = core.starts_with(|c: char| c.is_ascii_digit());
    let only_date_signs = core.chars().all(|c| c.is_ascii_digit() || "-/.:TZ+".contains(c));
    let parts = core.split(['-', '/', '.', ':', 'T']).filter(|part| !part.is_empty()).count();
    let lower = core.to_lowercase();
    let named = MONTHS.iter().chain(&WEEKDAYS).any(|name| *name == lower);
    (starts_with_digit && only_date_signs && parts >= 3) || named
}

fn is_identifier(core: &str) -> bool {
    let (mut characters, mut digits) = (0, 0);
    for character in core.chars() {
        if !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_')) {
            return false;
        }
        characters += 1;
        digits += usize::from(character.is_ascii_digit());
    }
    characters >= LONG_WORD && digits * 4 >= characters
}

/// Runs of digits, with the signs inside numbers, as one number.
fn blank_digits(word: &str) -> String {
    let mut blanked = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_digit() {
            blanked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        blanked.push_str(NUMBER);
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',')));
        let number = &rest[..end.unwrap_or(rest.len())];
        rest = &rest[number.trim_end_matches(['.', ',']).len()..];
    }
    blanked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_varies_is_blanked_and_the_rest_is_kept() {
        for (text, masked) in [
            ("Classify the  ticket:\n", "classify the ticket:"),
            ("Order #4711 of 1,299.00 EUR, please.", "order #<number> of <number> eur, please."),
            ("Today is Friday, 20 November 2026.", "today is <date>, <number> <date> <number>."),
            ("since 2026-11-20T10:00:00Z (UTC)", "since <date> (utc)"),
            ("Mail anna.b@example.com or see https://example.com/a?b=1!", "mail <email> or see <url>!"),
            ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id <id>"),
            ("Say \"yes\" or \"no\".", "say \"yes\" or \"no\"."),
            ("The text is \"a rather long text, you know\".", "the text is <quote>."),
            ("Fix:\n```\nfn main() { panic!() }\n```", "fix: <quote>"),
            ("an \"open quote that never ends", "an \"open quote that never ends"),
            ("", ""),
            ("…", "…"),
        ] {
            assert_eq!(mask(text), masked, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_masked_without_a_digit(text in "\\PC{0,60}") {
            prop_assert!(!mask(&text).contains(|c: char| c.is_ascii_digit()));
        }
    }
}
