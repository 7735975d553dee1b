//! Where the words of a text begin and end. One function answers it for aligning, training and serving.

use std::ops::Range;

/// The words of a text as ranges of its bytes, in order.
///
/// A word is a run of letters and digits; a number keeps the separators inside it (`1,234.50`, `25/12/2018`, `18:30`);
/// every other character that isn't white space is a word of its own, as is every ideograph and kana.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((start, first)) = characters.next() {
        if first.is_whitespace() || first.is_control() {
            continue;
        }
        let mut end = start + first.len_utf8();
        if is_inner(first) {
            let mut last = first;
            while let Some(&(at, next)) = characters.peek() {
                let follows = text[at + next.len_utf8()..].chars().next();
                if !is_inner(next) && !joins_digits(last, next, follows) {
                    break;
                }
                last = next;
                end = at + next.len_utf8();
                characters.next();
            }
        }
        words.push(start..end);
    }
    words
}

/// Whether a character goes on with the word before it.
fn is_inner(character: char) -> bool {
    character.is_alphanumeric() && !is_written_without_spaces(character)
}

fn joins_digits(before: char, between: char, after: Option<char>) -> bool {
    matches!(between, '.' | ',' | ':' | '/' | '-')
        && before.is_ascii_digit()
        && after.is_some_and(|after| after.is_ascii_digit())
}

/// Kana, and the ideographs of Chinese and Japanese: nothing but a dictionary knows where their words end.
fn is_written_without_spaces(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn numbers_stay_whole_and_punctuation_stands_alone() {
        for (text, expected) in [
            ("Table for 4 at 18:30.", &["Table", "for", "4", "at", "18:30", "."][..]),
            ("RM 1,234.50, on 25/12/2018", &["RM", "1,234.50", ",", "on", "25/12/2018"]),
            ("Pre-Party R&B", &["Pre", "-", "Party", "R", "&", "B"]),
            ("l'été\u{a0}2026", &["l", "'", "été", "2026"]),
            ("東京 for 2", &["東", "京", "for", "2"]),
            ("5.", &["5", "."]),
            ("", &[]),
            ("\u{0}\n ", &[]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn words_come_in_order_and_leave_out_nothing_but_white_space(text in "\\PC{0,40}") {
            let (mut end, mut between) = (0, String::new());
            for word in words(&text) {
                proptest::prop_assert!(word.start >= end && word.end > word.start);
                between.push_str(&text[end..word.start]);
                end = word.end;
            }
            between.push_str(&text[end..]);
            proptest::prop_assert!(between.chars().all(|c| c.is_whitespace() || c.is_control()), "{:?}", between);
        }
    }
}
