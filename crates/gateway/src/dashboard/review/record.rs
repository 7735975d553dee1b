//! A record as a form: a line for each field, and what is wrong beside it.

use serde_json::Map;
use sprat_store::NewReview;
use sprat_task::extract::FieldType;
use sprat_task::{Answer, Field, Task};

use super::super::format::{shown, shown_within};

/// What the names of a form's fields begin with.
const FIELD: &str = "field.";

/// A field to fill in.
pub struct Line {
    /// Its name in the form.
    pub input: String,
    /// Its name.
    pub name: String,
    /// What a value looks like.
    pub looks_like: &'static str,
    /// Whether a record without it is no answer.
    pub required: bool,
    /// What stands there.
    pub value: String,
    /// Every value it can have, where they are declared.
    pub values: Vec<String>,
    /// Why what stands there can't stay.
    pub wrong: Option<String>,
}

impl Line {
    fn of(field: &Field, value: String) -> Self {
        Self {
            input: format!("{FIELD}{}", field.name),
            name: shown(&field.name),
            looks_like: match field.kind {
                FieldType::Date => "a day, such as 2026-11-21",
                FieldType::Money => "an amount, such as 9.50 EUR",
                FieldType::List => "texts, separated by |",
                kind => kind.looks_like(),
            },
            required: field.required,
            value,
            values: field.values.clone(),
            wrong: None,
        }
    }
}

/// The lines of a row's form, filled with what a model has found; none where the task has no fields.
pub fn lines(row: &NewReview, task: &Task) -> Vec<Line> {
    let found = match row.large.as_ref().or(row.small.as_ref()) {
        Some(Answer::Fields(record)) => Some(record),
        _ => None,
    };
    let value = |field: &Field| Some(shown(&field.written(found?.get(&field.name)?)));
    task.fields.iter().map(|field| Line::of(field, value(field).unwrap_or_default())).collect()
}

/// The record that a form says; else its lines, with what is wrong.
pub fn answer(row: &NewReview, task: &Task, form: &[(String, String)]) -> Result<Answer, Vec<Line>> {
    let typed = |field: &Field| {
        let name = format!("{FIELD}{}", field.name);
        form.iter().find(|(given, _)| *given == name).map(|(_, typed)| typed.trim()).unwrap_or_default()
    };
    let mut lines: Vec<Line> = task.fields.iter().map(|field| Line::of(field, shown(typed(field)))).collect();
    let mut record = Map::new();
    for (field, line) in task.fields.iter().zip(&mut lines) {
        match (typed(field), field.said(typed(field))) {
            ("", _) if field.required => line.wrong = Some("A record needs it.".to_owned()),
            ("", _) => {}
            (_, Some(value)) => drop(record.insert(field.name.clone(), value)),
            (typed, None) => {
                line.wrong = Some(format!("“{}” is not {}.", shown_within(typed, 60), line.looks_like));
            }
        }
    }
    if lines.iter().any(|line| line.wrong.is_some()) {
        return Err(lines);
    }
    task.record(&record, &row.text).map(Answer::Fields).map_err(|wrong| {
        if let Some(first) = lines.first_mut() {
            first.wrong = Some(format!("{wrong}."));
        }
        lines
    })
}
