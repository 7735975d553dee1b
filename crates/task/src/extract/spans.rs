//! Where in a text a value stands: as often as it does, in whatever dress, or nowhere.

use std::ops::Range;

use serde_json::Value;

use super::field::{Field, FieldType};
use super::value::{clean, folded};
use super::words::words;

/// A text cut into words, ready to be searched.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    text: &'a str,
    words: Vec<Range<usize>>,
}

/// A field's value in a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The field's place among the task's fields.
    pub field: usize,
    /// The first word, and the one behind the last.
    pub words: Range<usize>,
}

/// Words that a number, a date, an amount or an enum's value can take up.
const LONGEST_TYPED: usize = 8;

impl<'a> Place<'a> {
    /// Cuts a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, words: words(text) }
    }

    /// Cuts the beginning of a text, of at most so many words.
    pub fn beginning(text: &'a str, most: usize) -> Self {
        let mut place = Self::new(text);
        place.words.truncate(most);
        place
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The words, as ranges of the text's bytes.
    pub fn words(&self) -> &[Range<usize>] {
        &self.words
    }

    /// A word.
    pub fn word(&self, at: usize) -> &'a str {
        &self.text[self.words[at].clone()]
    }

    /// The text from one word to another; empty where there are none.
    pub fn slice(&self, words: Range<usize>) -> &'a str {
        match (self.words.get(words.start), words.end.checked_sub(1).and_then(|last| self.words.get(last))) {
            (Some(first), Some(last)) if first.start <= last.end => &self.text[first.start..last.end],
            _ => "",
        }
    }

    /// The words that a piece of the text covers exactly; `None` where it begins or ends inside a word.
    pub fn words_of(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        let start = self.words.iter().position(|word| word.start == bytes.start)?;
        let last = self.words.iter().position(|word| word.end == bytes.end)?;
        (start <= last).then_some(start..last + 1)
    }

    /// Every place of one value (of one item, where the field is a list), first to last, none inside another.
    pub fn of_value(&self, field: &Field, value: &Value) -> Vec<Range<usize>> {
        match (field.kind, value) {
            (FieldType::Text | FieldType::List, Value::String(text)) => self.of_text(text),
            (FieldType::Text | FieldType::List, _) => Vec::new(),
            _ => self.of_typed(field, value),
        }
    }

    /// A text's words, whatever their case and the white space between them. Places in its own case come alone, where
    /// there are such.
    fn of_text(&self, wanted: &str) -> Vec<Range<usize>> {
        let folded_wanted = folded(wanted);
        let mut places = Vec::new();
        let mut start = 0;
        while start < self.words.len() {
            let end = self.match_from(start, &folded_wanted);
            places.extend(end.map(|end| start..end));
            start = end.unwrap_or(start + 1);
        }
        let wanted = clean(wanted);
        let own: Vec<Range<usize>> =
            places.iter().filter(|place| clean(self.slice((*place).clone())) == wanted).cloned().collect();
        if own.is_empty() { places } else { own }
    }

    /// The end of the words from `start` on that together are `wanted`.
    fn match_from(&self, start: usize, wanted: &str) -> Option<usize> {
        let mut rest = wanted;
        for at in start..self.words.len() {
            rest = rest.strip_prefix(folded(self.word(at)).as_str())?;
            if rest.is_empty() {
                return Some(at + 1);
            }
        }
        None
    }

    /// The longest runs of words that read as this value.
    fn of_typed(&self, field: &Field, value: &Value) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        while start < self.words.len() {
            let longest = (start + LONGEST_TYPED).min(self.words.len());
            let reads = |end: &usize| field.read(self.slice(start..*end)).as_ref() == Some(value);
            match (start + 1..=longest).rev().find(reads) {
                Some(end) => {
                    places.push(start..end);
                    start = end;
                }
                None => start += 1,
            }
        }
        places
    }

    /// A text's own form of a value: what is found in it is written as it stands there.
    pub fn own_form(&self, wanted: &str) -> Option<String> {
        self.of_text(wanted).into_iter().next().map(|place| clean(self.slice(place)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::extract::DateOrder;

    fn field(kind: FieldType) -> Field {
        Field {
            name: "f".to_owned(),
            kind,
            required: false,
            description: String::new(),
            pattern: None,
            examples: Vec::new(),
            values: vec!["large".to_owned()],
            synonyms: [("big".to_owned(), "large".to_owned())].into(),
            order: Some(DateOrder::Dmy),
            currency: Some("MYR".to_owned()),
            decimal: '.',
        }
    }

    #[test]
    fn a_value_is_found_in_every_dress_and_at_every_place() {
        use FieldType::{Date, Enum, Money, Number, Text};
        for (kind, value, text, places) in [
            (Text, json!("Urban Hits"), "add to urban\nhits", &["urban\nhits"][..]),
            (Text, json!("Urban Hits"), "URBAN HITS or Urban Hits", &["Urban Hits"]),
            (Text, json!("No.53"), "at No. 53, here", &["No. 53"]),
            (Text, json!("song"), "a song, a Song, songs", &["song"]),
            (Text, json!("8"), "at 8pm", &[]),
            (Number, json!(1234.5), "1,234.50 or 1234.5", &["1,234.50", "1234.5"]),
            (Date, json!("2018-12-25"), "on 25/12/2018 8:13 (25 Dec 2018)", &["25/12/2018", "25 Dec 2018"]),
            (Money, json!({"amount": 9, "currency": "MYR"}), "TOTAL RM 9.00 CASH 10.00 9", &["RM 9.00", "9"]),
            (Enum, json!("large"), "a Big one, not small", &["Big"]),
            (Number, json!(7), "table for 7, 25 Dec 2018, name", &["7"]),
            (Date, json!("2018-12-25"), "table for 7, 25 Dec 2018, name", &["25 Dec 2018"]),
        ] {
            let place = Place::new(text);
            let found: Vec<&str> =
                place.of_value(&field(kind), &value).into_iter().map(|words| place.slice(words)).collect();
            assert_eq!(found, places, "{value} in {text:?}");
        }
    }

    #[test]
    fn bytes_are_words_only_where_they_begin_and_end_with_one() {
        let place = Place::new("to Urban Hits!");
        assert_eq!(place.words_of(3..13), Some(1..3));
        assert_eq!(place.words_of(3..12), None);
        assert_eq!(place.words_of(4..13), None);
    }

    proptest::proptest! {
        #[test]
        fn any_run_of_words_is_found_again(text in "[a-cA-C0-9 .,]{1,30}", from in 0_usize..8, length in 1_usize..4) {
            let place = Place::new(&text);
            let words = from..from + length;
            if words.end <= place.words().len() {
                let value = json!(place.slice(words.clone()));
                let found = place.of_value(&field(FieldType::Text), &value);
                proptest::prop_assert!(!found.is_empty(), "{} in {:?}", value, text);
            }
        }
    }
}
