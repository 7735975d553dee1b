//! A TOML text that knows its file, so that every fault in it has a line, a column and a caret.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::problem::{Place, Problem, list};

/// A TOML text and the name of the file it came from.
#[derive(Clone, Debug)]
pub struct Source {
    file: String,
    text: String,
}

impl Source {
    /// A text and the file's name as the user knows it.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the text as `T`; unknown keys and wrong types come back with their place.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml::from_str(&self.text).map_err(|error| self.explain(&error))
    }

    /// The text as a table whose keys and values know their place: for a file whose parts are read one by one, so
    /// that a fault in one part doesn't hide those of the others.
    pub fn table(&self) -> Result<DeTable<'_>, Problem> {
        DeTable::parse(&self.text).map(Spanned::into_inner).map_err(|error| self.explain(&error))
    }

    /// Reads one value of [`table`](Self::table) as `T`; unknown keys and wrong types come back with their place.
    pub fn parse_part<T: DeserializeOwned>(&self, value: Spanned<DeValue<'_>>) -> Result<T, Problem> {
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.explain(&error))
    }

    /// A problem with the bytes `span` of this text.
    pub fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let wrong = self.text.get(start..span.end.min(self.text.len())).unwrap_or("");
        let width = wrong.lines().next().unwrap_or("").chars().count();
        Problem {
            message: message.into(),
            place: Some(Place {
                file: self.file.clone(),
                line: self.line_of(start),
                column: Some(before[line_start..].chars().count() as u64 + 1),
                excerpt: Some((line.replace('\t', " "), width)),
            }),
            allowed: None,
            hint: None,
        }
    }

    /// A problem with a value.
    pub fn problem_at<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> Problem {
        self.problem(value.span(), message)
    }

    /// A problem with the file as a whole.
    pub fn problem_in_file(&self, message: impl Into<String>) -> Problem {
        Problem::in_file(&self.file, message)
    }

    /// The line (from 1) on which a key stands, given its path: `["target", "max_error"]`. `None` where the file
    /// doesn't have it, so that a default is in force.
    pub fn line_of_key(&self, path: &[&str]) -> Option<u64> {
        let document = toml::de::DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        for (depth, name) in path.iter().enumerate() {
            let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
            if depth + 1 == path.len() {
                return Some(self.line_of(key.span().start));
            }
            table = value.get_ref().as_table()?;
        }
        None
    }

    fn line_of(&self, offset: usize) -> u64 {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() as u64 + 1
    }

    fn explain(&self, error: &toml::de::Error) -> Problem {
        let (message, wrong, valid) = plain_words(error.message());
        let problem = match error.span() {
            Some(span) => self.problem(span, message),
            None => self.problem_in_file(message),
        };
        match (wrong, valid.is_empty()) {
            (_, true) => problem,
            (wrong, false) => {
                let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
                problem.allowed(list(valid.iter().copied())).did_you_mean(&wrong.unwrap_or_default(), valid)
            }
        }
    }
}

/// serde's words for a misspelt key or variant, in ours: the message, the wrong name, the valid ones.
fn plain_words(message: &str) -> (String, Option<String>, Vec<String>) {
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let first = message.lines().next().unwrap_or("").trim_end();
    if first.starts_with("unknown field") {
        let wrong = quoted.next();
        let name = wrong.clone().unwrap_or_default();
        return (format!("unknown key `{name}`"), wrong, quoted.collect());
    }
    if first.starts_with("unknown variant") {
        let wrong = quoted.next();
        let name = wrong.clone().unwrap_or_default();
        return (format!("`{name}` is not a value this key knows"), wrong, quoted.collect());
    }
    if let Some(rest) = first.strip_prefix("missing field ") {
        return (format!("the key {rest} is missing"), None, Vec::new());
    }
    if let Some(rest) = first.strip_prefix("invalid type: ") {
        let (found, wanted) = rest.split_once(", expected ").unwrap_or((rest, "another type"));
        return (format!("wrong type: found {found}, expected {wanted}"), None, Vec::new());
    }
    (first.to_owned(), None, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Small {
        colour: Option<String>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        depth: u8,
    }

    fn fault(text: &str) -> String {
        Source::new("a.toml", text).parse::<Small>().expect_err("the text is wrong").to_string()
    }

    #[test]
    fn an_unknown_key_is_shown_with_a_caret_and_the_nearest_name() {
        assert_eq!(
            fault("# one\ncolor = \"red\"\n"),
            "error: unknown key `color`\n  --> a.toml:2:1\n   |\n 2 | color = \"red\"\n   | ^^^^^\n  \
             allowed: colour, inner\nhint: did you mean `colour`?"
        );
    }

    #[test]
    fn a_wrong_type_names_what_was_found_and_what_was_expected() {
        let said = fault("[inner]\ndepth = \"deep\"\n");
        assert!(
            said.starts_with("error: wrong type: found string \"deep\", expected u8\n  --> a.toml:2:9"),
            "{said}"
        );
    }

    #[test]
    fn a_part_read_by_itself_still_knows_its_place_in_the_file() {
        let source = Source::new("a.toml", "# one\n[inner]\ndepth = 1\ndeep = 2\n");
        let (_, part) = source.table().expect("it is TOML").into_iter().next().expect("it has one table");
        let said = source.parse_part::<Inner>(part).expect_err("`deep` is unknown").to_string();
        assert!(said.starts_with("error: unknown key `deep`\n  --> a.toml:4:1"), "{said}");
    }

    #[test]
    fn broken_toml_has_a_place() {
        assert!(fault("colour = \n").contains("a.toml:1:"), "{}", fault("colour = \n"));
    }

    #[test]
    fn a_key_knows_its_line() {
        let source = Source::new("a.toml", "x = 1\n\n[target]\nmax_error = 0.1\n");
        assert_eq!(source.line_of_key(&["target", "max_error"]), Some(4));
        assert_eq!(source.line_of_key(&["target", "confidence"]), None);
    }
}
