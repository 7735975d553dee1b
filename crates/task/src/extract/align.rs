//! Where the values of a labelled row stand in its text: as somebody said, else wherever they can be found.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::field::{Field, FieldType};
use super::record::{Record, WrongRecord};
use super::spans::Place;
use crate::input::LabelledRow;
use crate::prediction::Answer;
use crate::task::Task;

/// A piece of a text that somebody marked as a field's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The field.
    pub field: String,
    /// The piece, as bytes of the text.
    pub bytes: Range<usize>,
}

/// The values of a row, each with its places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aligned {
    /// Those that stand in the text: the field's place among the task's, and the words. A marked value has one place.
    pub values: Vec<(usize, Vec<Range<usize>>)>,
    /// Fields whose value, or part of whose list, stands nowhere in the text, or only in the middle of words.
    pub nowhere: Vec<usize>,
}

/// Finds the values of what a row teaches. `None` where it teaches no record.
pub fn align(task: &Task, row: &LabelledRow) -> Option<Aligned> {
    let Some(Answer::Fields(record)) = row.target() else { return None };
    let place = Place::new(&row.input.text);
    let mut aligned = Aligned::default();
    for (number, field) in task.fields.iter().enumerate() {
        let Some(value) = record.get(&field.name) else { continue };
        let marks: Vec<&Mark> = row.marks.iter().filter(|mark| mark.field == field.name).collect();
        let places: Vec<Vec<Range<usize>>> = if marks.is_empty() {
            items(value).map(|item| place.of_value(field, item)).collect()
        } else {
            marks.iter().map(|mark| place.words_of(mark.bytes.clone()).into_iter().collect()).collect()
        };
        if places.iter().any(Vec::is_empty) {
            aligned.nowhere.push(number);
        }
        aligned
            .values
            .extend(places.into_iter().filter(|places| !places.is_empty()).map(|places| (number, places)));
    }
    Some(aligned)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    }
    .iter()
}

impl Task {
    /// The record that marked pieces of a text make. Of a field that isn't a list the first piece counts.
    pub fn record_of_marks(&self, marks: &[Mark], text: &str) -> Result<Record, WrongRecord> {
        let mut said = Map::new();
        for mark in marks {
            let piece = Value::from(text.get(mark.bytes.clone()).unwrap_or_default());
            match (self.field(&mark.field).map(|field| field.kind), said.get_mut(&mark.field)) {
                (Some(FieldType::List), Some(Value::Array(items))) => items.push(piece),
                (Some(FieldType::List), _) => {
                    drop(said.insert(mark.field.clone(), Value::Array(vec![piece])))
                }
                (_, None) => drop(said.insert(mark.field.clone(), piece)),
                (_, Some(_)) => {}
            }
        }
        self.record(&said, text)
    }
}

impl Field {
    /// Adds a piece of text that is a value of this field to a record; of a field that isn't a list the first stays.
    /// Whether it is one.
    pub fn add_to(&self, record: &mut Record, piece: &str) -> bool {
        let Some(value) = self.read(piece) else { return false };
        match (record.get_mut(&self.name), value) {
            (Some(Value::Array(items)), Value::Array(more)) => {
                items.extend(more);
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                items.dedup();
            }
            (Some(_), _) => {}
            (None, value) => drop(record.insert(self.name.clone(), value)),
        }
        true
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a value with one place")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Source, read_task};

    fn task() -> Task {
        let text = "kind = \"extract\"\n\
            [[fields]]\nname = \"items\"\ntype = \"list\"\n\
            [[fields]]\nname = \"total\"\ntype = \"number\"\n";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
    }

    fn row(text: &str, fields: Value, marks: &[(&str, Range<usize>)]) -> LabelledRow {
        let Value::Object(said) = fields else { unreachable!("an object") };
        let record = task().record(&said, text).expect("a record");
        let marks =
            marks.iter().map(|(field, bytes)| Mark { field: (*field).to_owned(), bytes: bytes.clone() });
        LabelledRow { marks: marks.collect(), ..LabelledRow::gold(text, Answer::Fields(record)) }
    }

    #[test]
    fn values_are_found_wherever_they_stand_and_what_is_not_found_is_said() {
        let aligned = |row: &LabelledRow| align(&task(), row).expect("a record");
        let text = "eggs 9.00, milk 9.00";
        let found = aligned(&row(text, json!({"items": ["Milk", "eggs"], "total": 9}), &[]));
        assert_eq!(found.values, [(0, vec![0..1]), (0, vec![3..4]), (1, vec![1..2, 4..5])]);
        assert_eq!(found.nowhere, [] as [usize; 0]);
        let found = aligned(&row(text, json!({"items": ["eggs", "bread"], "total": 18}), &[]));
        assert_eq!((found.values, found.nowhere), (vec![(0, vec![0..1])], vec![0, 1]));
        let found = aligned(&row(text, json!({"total": 9}), &[("total", 16..20)]));
        assert_eq!(found.values, [(1, vec![4..5])], "somebody said which");
        let found = aligned(&row(text, json!({"total": 9}), &[("total", 17..20)]));
        assert_eq!(found.nowhere, [1], "inside a word");
        assert_eq!(align(&task(), &LabelledRow::unlabelled(text)), None);
    }

    #[test]
    fn marks_make_a_record() {
        let text = "eggs, milk: 9.00";
        let mark = |field: &str, bytes| Mark { field: field.to_owned(), bytes };
        let marks = [mark("items", 6..10), mark("items", 0..4), mark("total", 12..16)];
        let record = task().record_of_marks(&marks, text).expect("a record");
        assert_eq!(Value::Object(record), json!({"items": ["eggs", "milk"], "total": 9}));
        assert!(task().record_of_marks(&[mark("total", 0..4)], text).is_err());
    }
}
