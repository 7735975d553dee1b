//! Folds a sentence to the terminal's width, between words.

use unicode_width::UnicodeWidthStr;

/// The text with line breaks where a line would be wider than `width` columns; as it is without a width.
pub fn fold(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    text.lines().map(|line| fold_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn fold_line(line: &str, width: usize) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut folded = String::from(indent);
    let mut used = indent.len();
    for (at, word) in line.split_whitespace().enumerate() {
        let wide = word.width();
        if at > 0 && used + 1 + wide > width {
            folded.push('\n');
            folded.push_str(indent);
            used = indent.len();
        } else if at > 0 {
            folded.push(' ');
            used += 1;
        }
        folded.push_str(word);
        used += wide;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_folded_between_words_and_keeps_its_indent() {
        assert_eq!(fold("  one two three", Some(9)), "  one two\n  three");
        assert_eq!(fold("one two three", None), "one two three");
        assert_eq!(fold("unbreakable", Some(4)), "unbreakable");
    }
}
