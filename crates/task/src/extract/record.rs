//! Which record is the same as which: one form for each, so that equal records are equal values.

use serde_json::{Map, Value};

use super::field::{Field, FieldType};
use super::spans::Place;
use super::value::says_nothing;
use crate::problem::{Problem, list};
use crate::task::Task;

/// The fields that were found, in the order in which the task declares them; what wasn't found is left out.
pub type Record = Map<String, Value>;

/// Why an object is none of a task's records.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WrongRecord {
    /// A key that is no field.
    #[error("`{name}` is not one of this task's fields")]
    Unknown {
        /// The key.
        name: String,
    },
    /// A value that is none of its field's.
    #[error("field `{field}` is {kind}, and its value is not")]
    Value {
        /// The field.
        field: String,
        /// What it should be.
        kind: FieldType,
        /// What it is: words of the text, as far as anybody knows.
        said: Value,
    },
    /// A required field that isn't there.
    #[error("the required field `{field}` is missing")]
    Missing {
        /// The field.
        field: String,
    },
}

impl Task {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// An object in the one form that records of this task have: every value as [`Field::value`] writes it, and texts
    /// as they stand in the input where they stand there, whatever the case and white space somebody gave them.
    pub fn record(&self, said: &Map<String, Value>, text: &str) -> Result<Record, WrongRecord> {
        if let Some(name) = said.keys().find(|name| self.field(name).is_none()) {
            return Err(WrongRecord::Unknown { name: name.clone() });
        }
        let place = Place::new(text);
        let mut record = Record::new();
        for field in &self.fields {
            match said.get(&field.name).filter(|value| !says_nothing(value)) {
                Some(value) => {
                    let value =
                        field.value(&in_own_form(field, value, &place)).ok_or_else(|| wrong(field, value))?;
                    record.insert(field.name.clone(), value);
                }
                None if field.required => return Err(WrongRecord::Missing { field: field.name.clone() }),
                None => {}
            }
        }
        Ok(record)
    }
}

fn wrong(field: &Field, value: &Value) -> WrongRecord {
    WrongRecord::Value { field: field.name.clone(), kind: field.kind, said: value.clone() }
}

fn in_own_form(field: &Field, value: &Value, place: &Place<'_>) -> Value {
    match (field.kind, value) {
        (FieldType::Text | FieldType::List, Value::String(text)) => {
            place.own_form(text).map_or_else(|| value.clone(), Value::String)
        }
        (FieldType::List, Value::Array(items)) => {
            Value::Array(items.iter().map(|item| in_own_form(field, item, place)).collect())
        }
        _ => value.clone(),
    }
}

impl WrongRecord {
    /// The fault, told to whoever can mend it.
    pub fn problem(&self, task: &Task) -> Problem {
        let names = || task.fields.iter().map(|field| field.name.as_str());
        match self {
            Self::Unknown { name } => {
                Problem::new(self.to_string()).allowed(list(names())).did_you_mean(name, names())
            }
            Self::Value { field, kind, said } => {
                let problem = Problem::new(format!("{} is not a value of field `{field}`", shown(said)));
                let declared = task.field(field);
                let values =
                    || declared.into_iter().flat_map(|field| field.values.iter().map(String::as_str));
                let problem = match declared.and_then(|field| field.pattern.as_ref()) {
                    _ if *kind == FieldType::Enum => problem.allowed(list(values())),
                    Some(pattern) => {
                        problem.allowed(format!("{} that matches {}", kind.looks_like(), pattern.as_str()))
                    }
                    None => problem.allowed(kind.looks_like()),
                };
                match (kind, declared.and_then(|field| field.order)) {
                    (FieldType::Date, None) => problem
                        .hint("where day and month could be exchanged, say which comes first: order = \"dmy\" or \"mdy\""),
                    _ => problem,
                }
            }
            Self::Missing { field } => Problem::new(self.to_string())
                .hint(format!("give the row its `{field}`, or take `required` from the field")),
        }
    }
}

/// A value on a line that is short enough for a message.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short: String = text.chars().take(60).collect();
    format!("`{}`", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Answer, Source, read_task};

    fn task() -> Task {
        let text = "kind = \"extract\"\n\
            [[fields]]\nname = \"shop\"\ntype = \"text\"\nrequired = true\n\
            [[fields]]\nname = \"day\"\ntype = \"date\"\n\
            [[fields]]\nname = \"items\"\ntype = \"list\"\n";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
    }

    fn record(said: Value, text: &str) -> Result<String, String> {
        let said = said.as_object().expect("an object");
        match task().record(said, text) {
            Ok(record) => {
                assert!(task().admits(&Answer::Fields(record.clone())), "{record:?}");
                Ok(Value::Object(record).to_string())
            }
            Err(wrong) => Err(wrong.problem(&task()).to_string()),
        }
    }

    #[test]
    fn records_that_say_the_same_are_the_same() {
        let text = "Bought Milk and EGGS at corner shop on 25 Dec 2018";
        for said in [
            json!({"shop": "corner shop", "day": "2018-12-25", "items": ["EGGS", "Milk"]}),
            json!({"items": ["milk", "eggs", "milk"], "day": "25 Dec 2018", "shop": " Corner  Shop "}),
        ] {
            assert_eq!(
                record(said, text).as_deref(),
                Ok(r#"{"shop":"corner shop","day":"2018-12-25","items":["EGGS","Milk"]}"#)
            );
        }
        assert_eq!(
            record(json!({"shop": "Aldi", "day": null, "items": []}), text).as_deref(),
            Ok(r#"{"shop":"Aldi"}"#),
            "what says nothing isn't there, and what the text doesn't say is kept"
        );
    }

    #[test]
    fn what_is_no_record_is_told_with_what_would_be_one() {
        for (said, start, hint) in [
            (
                json!({"shop": "a", "dya": "x"}),
                "error: `dya` is not one of this task's fields",
                "did you mean `day`?",
            ),
            (
                json!({"shop": "a", "day": "03/04/2018"}),
                "error: `03/04/2018` is not a value of field `day`",
                "order = \"dmy\"",
            ),
            (
                json!({"shop": "a", "items": [1]}),
                "error: `[1]` is not a value of field `items`",
                "a list of texts",
            ),
            (json!({"day": "2018-12-25"}), "error: the required field `shop` is missing", "`required`"),
        ] {
            let said = record(said, "").expect_err("wrong");
            assert!(said.starts_with(start) && said.contains(hint), "{said}");
        }
    }
}
