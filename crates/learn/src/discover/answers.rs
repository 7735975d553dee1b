//! What forms do a group's answers take, and how often is each said?

use std::collections::BTreeMap;

use serde_json::Value;

/// Distinct values counted for each field; a field with more has no closed set.
const MOST_VALUES: usize = 400;
/// Fields counted; an answer with more is no record anybody declared.
const MOST_FIELDS: usize = 64;
/// A value longer than this, in characters, is no label.
const LONGEST_LABEL: usize = 80;

/// The answers of a group, each taken apart: a JSON object into its fields, anything else as one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// Answers counted.
    pub(super) count: u64,
    /// Of these, those that are a JSON object.
    pub(super) objects: u64,
    /// The answer as a whole, where it is no object.
    pub(super) text: Field,
    /// The fields of objects.
    pub(super) fields: BTreeMap<String, Field>,
}

/// One field, or the text as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    /// Answers that have it.
    pub(super) present: u64,
    /// Of these, those where it is a list of short texts.
    pub(super) lists: u64,
    /// Of these, those where it is no label: long, nested, or a fraction.
    pub(super) free: u64,
    /// Values that found no place to be counted.
    uncounted: u64,
    /// Values by their folded spelling.
    pub(super) values: BTreeMap<String, Spellings>,
}

/// One value, however it is spelt.
#[derive(Clone, Debug, Default)]
pub(super) struct Spellings(BTreeMap<String, u64>);

impl Answers {
    pub(super) fn add(&mut self, answer: &str) {
        self.count += 1;
        match object(answer) {
            Some(object) => {
                self.objects += 1;
                for (name, value) in object {
                    if self.fields.len() < MOST_FIELDS || self.fields.contains_key(&name) {
                        self.fields.entry(name).or_default().add(&value);
                    }
                }
            }
            None => self.text.add_text(plain_label(answer)),
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.objects += other.objects;
        self.text.merge(other.text);
        for (name, field) in other.fields {
            self.fields.entry(name).or_default().merge(field);
        }
    }
}

impl Field {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Array(items) if items.iter().all(|item| scalar(item).is_some()) => {
                self.present += 1;
                self.lists += 1;
                items.iter().filter_map(scalar).for_each(|item| self.count(&item));
            }
            other => match scalar(other) {
                Some(text) => self.add_text(&text),
                None => {
                    self.present += 1;
                    self.free += 1;
                }
            },
        }
    }

    fn add_text(&mut self, text: &str) {
        self.present += 1;
        if text.chars().nth(LONGEST_LABEL).is_some() {
            self.free += 1;
        } else {
            self.count(text);
        }
    }

    fn count(&mut self, text: &str) {
        let folded = fold(text);
        if self.values.len() >= MOST_VALUES && !self.values.contains_key(&folded) {
            self.uncounted += 1;
            return;
        }
        *self.values.entry(folded).or_default().0.entry(text.trim().to_owned()).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        self.present += other.present;
        self.lists += other.lists;
        self.free += other.free;
        self.uncounted += other.uncounted;
        for (folded, spellings) in other.values {
            if self.values.len() >= MOST_VALUES && !self.values.contains_key(&folded) {
                self.uncounted += spellings.count();
                continue;
            }
            let mine = self.values.entry(folded).or_default();
            spellings.0.into_iter().for_each(|(text, count)| *mine.0.entry(text).or_default() += count);
        }
    }

    /// Whether every value was counted.
    pub(super) fn is_counted(&self) -> bool {
        self.uncounted == 0
    }
}

impl Spellings {
    pub(super) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The commonest spelling; of equally common ones the first in the alphabet.
    pub(super) fn best(&self) -> &str {
        let best = self.0.iter().min_by_key(|(text, count)| (std::cmp::Reverse(**count), text.as_str()));
        best.map_or("", |(text, _)| text)
    }
}

/// The JSON object an answer is, also inside a code fence.
pub(super) fn object(answer: &str) -> Option<serde_json::Map<String, Value>> {
    let answer = answer.trim();
    let unfenced = answer.strip_prefix("```json").or_else(|| answer.strip_prefix("```"));
    let text = unfenced.and_then(|inside| inside.strip_suffix("```")).unwrap_or(answer).trim();
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A value that could be a label, as text. A fraction is a measurement.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Null => Some("null".to_owned()),
        _ => None,
    }
}

/// The label in a plain answer: without quotes, emphasis and full stop, and without a word such as `Category:`
/// before it.
pub(super) fn plain_label(answer: &str) -> &str {
    const WORDS: [&str; 12] = [
        "label",
        "category",
        "class",
        "classification",
        "intent",
        "sentiment",
        "answer",
        "output",
        "result",
        "topic",
        "team",
        "language",
    ];
    let bare = strip(answer);
    match bare.split_once(':') {
        Some((word, label)) if WORDS.contains(&fold(word).as_str()) => strip(label),
        _ => bare,
    }
}

fn strip(text: &str) -> &str {
    let quotes = ['"', '\'', '`', '*', '“', '”'];
    text.trim().trim_end_matches('.').trim_matches(quotes).trim_end_matches('.').trim()
}

/// What two spellings of one label have in common.
pub(super) fn fold(label: &str) -> String {
    strip(label).split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_in_several_dresses_is_one_value() {
        let mut answers = Answers::default();
        for answer in ["Billing", "billing.", "\"Billing\"", "Category: Billing", "**billing**", "Billing"] {
            answers.add(answer);
        }
        let values: Vec<(&str, u64)> =
            answers.text.values.values().map(|value| (value.best(), value.count())).collect();
        assert_eq!(values, [("Billing", 6)]);
    }

    #[test]
    fn an_object_is_taken_apart_also_inside_a_fence() {
        let mut answers = Answers::default();
        answers.add("```json\n{\"label\": \"spam\", \"score\": 0.93, \"tags\": [\"a\", \"b\"], \"who\": {\"x\": 1}}\n```");
        assert_eq!((answers.count, answers.objects), (1, 1));
        let free = |name: &str| answers.fields[name].free;
        assert_eq!([free("label"), free("score"), free("tags"), free("who")], [0, 1, 0, 1]);
        assert_eq!(answers.fields["tags"].lists, 1);
        assert_eq!(answers.fields["tags"].values.len(), 2);
    }

    #[test]
    fn a_field_with_too_many_values_is_not_closed() {
        let mut answers = Answers::default();
        (0..2_000).for_each(|number| answers.add(&format!("answer {number}")));
        assert!(!answers.text.is_counted());
        assert_eq!(answers.text.values.len(), MOST_VALUES);
    }
}
