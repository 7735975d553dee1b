//! Which fields a task declares.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field that an `extract` task looks for. Made by [`read_task`](crate::file::read_task), which checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name: the key in a record.
    pub name: String,
    /// What sort of value it has.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether a record without it is no answer.
    pub required: bool,
    /// What the large model is told of it, in the user's words.
    pub description: String,
    /// What a text, or each text of a list, looks like.
    pub pattern: Option<Pattern>,
    /// Values it may have, for the large model and for the small one's dictionary.
    pub examples: Vec<String>,
    /// Every value it can have (`enum`), in the order of the file.
    pub values: Vec<String>,
    /// Other ways in which texts say one of `values` (`enum`).
    pub synonyms: BTreeMap<String, String>,
    /// Which of two numbers is the day where both could be (`date`); `None` takes only dates that leave no doubt.
    pub order: Option<DateOrder>,
    /// The currency where the text names none (`money`), as ISO 4217 has it.
    pub currency: Option<String>,
    /// What stands before decimals, where a number could be read both ways (`number`, `money`): `.` or `,`.
    pub decimal: char,
}

/// What sort of value a field has, and how it is written in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A text as it stands in the input: `"Urban Hits"`.
    Text,
    /// A number: `1234.5`.
    Number,
    /// A day: `"2026-11-21"`.
    Date,
    /// An amount and its currency: `{"amount": 1234.5, "currency": "EUR"}`.
    Money,
    /// One of the declared values.
    Enum,
    /// Any number of texts, sorted, none twice.
    List,
}

impl FieldType {
    /// All of them, in the order the documentation has them.
    pub const ALL: [Self; 6] = [Self::Text, Self::Number, Self::Date, Self::Money, Self::Enum, Self::List];

    /// The word in a task file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Money => "money",
            Self::Enum => "enum",
            Self::List => "list",
        }
    }

    /// The type of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What a value of it looks like, for messages.
    pub fn looks_like(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number, such as 1234.5",
            Self::Date => "a day, such as \"2026-11-21\"",
            Self::Money => "an amount, such as {\"amount\": 9.5, \"currency\": \"EUR\"} or \"9.50 EUR\"",
            Self::Enum => "one of its declared values",
            Self::List => "a list of texts",
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// In which order a date's numbers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// 21/11/2026.
    Dmy,
    /// 11/21/2026.
    Mdy,
    /// 26/11/21, with a year of two digits.
    Ymd,
}

impl DateOrder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dmy, Self::Mdy, Self::Ymd];

    /// The word in a task file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dmy => "dmy",
            Self::Mdy => "mdy",
            Self::Ymd => "ymd",
        }
    }

    /// The order of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

/// A regular expression that a whole value matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

/// Above this many bytes a compiled pattern is refused: it would cost more than the model it guards.
const LARGEST_PATTERN: usize = 1 << 20;

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The regex crate's own words where it is none, or too large.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(LARGEST_PATTERN)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), whole })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of a value matches.
    pub fn matches(&self, value: &str) -> bool {
        self.whole.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}
