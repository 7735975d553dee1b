//! What of somebody else's words may stand in an error: errors are recorded where texts may not be.

use std::collections::HashSet;

/// So many characters in common are no coincidence.
const WINDOW: usize = 12;

/// Whether `said` gives away a part of `text`: the one holds the other (3 characters or more), or both share 12
/// characters in a row. Case is ignored.
pub(super) fn echoes(said: &str, text: &str) -> bool {
    let said: Vec<char> = said.to_lowercase().trim().chars().collect();
    let text: Vec<char> = text.to_lowercase().trim().chars().collect();
    let (shorter, longer) = if said.len() < text.len() { (&said, &text) } else { (&text, &said) };
    if shorter.len() < 3 {
        return false;
    }
    if shorter.len() < WINDOW {
        return longer.windows(shorter.len()).any(|window| window == shorter.as_slice());
    }
    let seen: HashSet<&[char]> = shorter.windows(WINDOW).collect();
    longer.windows(WINDOW).any(|window| seen.contains(window))
}

/// A text on one line, no longer than `most` characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// An answer that fits no label, quoted where it is short and gives nothing of the input away.
pub(crate) fn quote_answer(answer: &str, input: &str) -> String {
    let count = answer.chars().count();
    match count {
        0 => "it is empty".to_owned(),
        1..=40 if !echoes(answer, input) && !answer.contains(['\n', '\r', '`']) => format!("`{answer}`"),
        _ => format!("an answer of {count} characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_text_is_recognised_and_a_chance_word_is_not() {
        let text = "My name is John Smith and my card was charged twice";
        for (said, gives_away) in [
            ("john smith", true),
            ("cannot process 'card was charged twice'", true),
            ("billing", false),
            ("the model is overloaded, my apologies", false),
            ("", false),
        ] {
            assert_eq!(echoes(said, text), gives_away, "{said}");
        }
        assert!(echoes("you wrote: hello", "hello"));
    }

    #[test]
    fn a_short_answer_is_quoted_and_a_telling_one_is_not() {
        assert_eq!(quote_answer("refnud", "I want my money"), "`refnud`");
        assert_eq!(quote_answer("John Smith", "I am John Smith"), "an answer of 10 characters");
        assert_eq!(quote_answer(&"x".repeat(60), ""), "an answer of 60 characters");
        assert_eq!(quote_answer("", ""), "it is empty");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(one_line("ä\n ä  ä", 3), "ä ä…");
        assert_eq!(one_line("short", 5), "short");
    }
}
