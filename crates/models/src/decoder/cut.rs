//! Where is a text cut that is too long? Near the middle, where it means the least: between paragraphs, else lines, else
//! sentences, else words; and its parts again, until each is short enough.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// A part of a text, and the white space that stood between it and the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The part.
    pub text: &'a str,
    /// What stood behind it; nothing behind the last.
    pub space: &'a str,
}

/// How far from the middle a better place is looked for: a quarter of the text to each side.
const REACH: usize = 4;

/// The parts of a text, each of `longest` bytes at most, as far as characters let it be cut: one that is longer is a single
/// character, or nothing but white space. Parts and spaces, one behind the other, are the text. `None` where there would be
/// more than `most`.
pub fn cut(text: &str, longest: usize, most: usize) -> Option<Vec<Cut<'_>>> {
    let mut parts = Vec::new();
    let mut left = vec![Cut { text, space: "" }];
    while let Some(part) = left.pop() {
        if parts.len() + left.len() + 1 > most {
            return None;
        }
        match if part.text.len() > longest { halves(part.text) } else { None } {
            None => parts.push(part),
            Some((first, second)) => {
                left.push(Cut { text: second, space: part.space });
                left.push(first);
            }
        }
    }
    Some(parts)
}

/// What may stand where a text is cut, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Boundary {
    Paragraph,
    Line,
    Sentence,
    Word,
}

/// Two parts of a text, neither of them empty; `None` where it can't be cut.
fn halves(text: &str) -> Option<(Cut<'_>, &str)> {
    let middle = text.len() / 2;
    let mut found: Vec<(Boundary, usize, (usize, usize))> = candidates(text)
        .map(|(boundary, (from, to))| {
            (boundary, from.saturating_sub(middle) + middle.saturating_sub(to), (from, to))
        })
        .filter(|(_, away, _)| *away <= text.len() / REACH)
        .collect();
    found.sort_unstable();
    let between = found.into_iter().map(|(_, _, place)| place);
    let (from, to) = between
        .into_iter()
        .find(|(from, to)| is_between_characters(text, *from) && is_between_characters(text, *to))
        .or_else(|| between_characters(text, middle).map(|at| (at, at)))?;
    Some((Cut { text: &text[..from], space: &text[from..to] }, &text[to..]))
}

/// Each place where something ends, but for the text: from where what ends to where the next begins.
fn candidates(text: &str) -> impl Iterator<Item = (Boundary, (usize, usize))> + '_ {
    let inside = |(from, to): (usize, usize)| from > 0 && to < text.len();
    let sentences: Vec<usize> = text.split_sentence_bound_indices().map(|(at, _)| at).collect();
    let runs = spaces(text).map(|(from, to)| {
        let breaks = text[from..to].matches('\n').count();
        let boundary = match breaks {
            0 if sentences.binary_search(&to).is_ok() => Boundary::Sentence,
            0 => Boundary::Word,
            1 => Boundary::Line,
            _ => Boundary::Paragraph,
        };
        (boundary, (from, to))
    });
    let runs: Vec<_> = runs.collect();
    // Where no blank stands between two sentences, as in Chinese.
    let is_after_space = |at: usize| text[..at].ends_with(char::is_whitespace);
    let without: Vec<_> = sentences.iter().copied().filter(|at| !is_after_space(*at)).collect();
    let without = without.into_iter().map(|at| (Boundary::Sentence, (at, at)));
    runs.into_iter().chain(without).filter(move |(_, place)| inside(*place))
}

/// Each run of white space, from where to where.
fn spaces(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + text[at..].find(char::is_whitespace)?;
        let length = text[from..].find(|letter: char| !letter.is_whitespace()).unwrap_or(text.len() - from);
        at = from + length;
        Some((from, at))
    })
}

fn is_between_characters(text: &str, at: usize) -> bool {
    text.is_char_boundary(at)
        && GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(false)
}

/// Where two characters as people see them meet, near a place and not at an end of the text.
fn between_characters(text: &str, near: usize) -> Option<usize> {
    if text.trim().is_empty() {
        return None;
    }
    let near = (0..=near).rev().find(|at| text.is_char_boundary(*at))?;
    if near > 0 && is_between_characters(text, near) {
        return Some(near);
    }
    let cursor = || GraphemeCursor::new(near, text.len(), true);
    let before = cursor().prev_boundary(text, 0).ok().flatten().filter(|at| *at > 0);
    before.or_else(|| cursor().next_boundary(text, 0).ok().flatten().filter(|at| *at < text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str, longest: usize) -> Vec<&str> {
        cut(text, longest, usize::MAX).unwrap().into_iter().map(|cut| cut.text).collect()
    }

    #[test]
    fn a_text_is_cut_where_it_means_the_least() {
        for (text, longest, expected) in [
            // Paragraphs before lines, lines before sentences, sentences before words.
            ("one two. three\nfour\n\nfive six seven.", 20, vec!["one two. three\nfour", "five six seven."]),
            ("one two. three\nfour five. six seven", 20, vec!["one two. three", "four five. six seven"]),
            ("One two three. Four five six seven", 20, vec!["One two three.", "Four five six seven"]),
            ("one two three four five six", 14, vec!["one two three", "four five six"]),
            // A line's end at the very beginning is not near the middle.
            ("a\nbcdef ghijkl mnopqr stuvwx yz", 20, vec!["a\nbcdef ghijkl", "mnopqr stuvwx yz"]),
            ("今天天气很好。我们去公园吧。", 24, vec!["今天天气很好。", "我们去公园吧。"]),
            ("abcdefgh", 3, vec!["ab", "cd", "ef", "gh"]),
            ("short", 5, vec!["short"]),
            ("", 5, vec![""]),
        ] {
            assert_eq!(parts(text, longest), expected, "{text:?}");
        }
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        let family = "👨‍👩‍👧";
        assert_eq!(parts(&family.repeat(3), 1), [family; 3]);
        // A blank that an accent stands on is no blank to cut at.
        assert_eq!(parts("ab \u{301}cd", 5), ["ab", " \u{301}cd"]);
        assert_eq!(parts("e\u{301}", 1), ["e\u{301}"]);
        assert_eq!(parts("\r\n", 1), ["\r\n"]);
    }

    #[test]
    fn more_parts_than_may_be_are_none() {
        let text = "word ".repeat(100);
        assert!(cut(&text, 100, 16).is_some_and(|parts| parts.len() <= 16));
        assert_eq!(cut(&text, 20, 16), None);
        assert_eq!(cut(&"x".repeat(1 << 16), 10, 16), None);
        assert_eq!(cut("x", 0, 1).map(|parts| parts.len()), Some(1));
    }

    fn texts() -> impl Strategy<Value = String> {
        let words = prop_oneof![
            "[a-z]{1,9}",
            "[ä-ü漢字。]{1,6}",
            Just(". ".to_owned()),
            Just("\n".to_owned()),
            Just("\r\n\r\n".to_owned()),
            Just("  ".to_owned()),
            Just("🇩🇪🇨🇭".to_owned()),
            Just("e\u{301}\u{302}".to_owned()),
            Just("👨‍👩‍👧".to_owned()),
            any::<String>(),
        ];
        proptest::collection::vec(words, 0..40).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn parts_and_spaces_are_the_text_and_no_character_is_cut(text in texts(), longest in 0_usize..60) {
            let parts = cut(&text, longest, usize::MAX).unwrap();
            let whole: String = parts.iter().flat_map(|part| [part.text, part.space]).collect();
            prop_assert_eq!(&whole, &text);
            let ends: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            let mut at = 0;
            for (place, part) in parts.iter().enumerate() {
                prop_assert!(ends.binary_search(&at).is_ok(), "a part begins within a character, at {}", at);
                at += part.text.len();
                prop_assert!(ends.binary_search(&at).is_ok(), "a part ends within a character, at {}", at);
                at += part.space.len();
                prop_assert!(part.space.chars().all(char::is_whitespace));
                prop_assert!(place + 1 < parts.len() || part.space.is_empty());
                let is_whole = part.text.trim().is_empty() || part.text.graphemes(true).count() == 1;
                prop_assert!(part.text.len() <= longest || is_whole, "{:?} is longer than {}", part.text, longest);
                prop_assert!(!part.text.is_empty() || text.is_empty());
            }
        }

        #[test]
        fn as_many_parts_as_may_be_are_given_and_never_more(text in texts(), longest in 1_usize..60, most in 1_usize..20) {
            let all = cut(&text, longest, usize::MAX).unwrap();
            match cut(&text, longest, most) {
                Some(parts) => prop_assert!(parts.len() <= most && parts == all),
                None => prop_assert!(all.len() > most),
            }
        }
    }
}
