//! What is a decoder told of a task's fields, and what does its answer say? It writes a record as JSON, held to the task's
//! schema while it writes, so that every record is one of the task's; how sure it was shows in the tokens of the values, and
//! only in those: the rest of the JSON could not have been written otherwise.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::value::RawValue;
use sprat_engine::protocol::{Constraint, Prompt, Sampling, Written};
use sprat_task::{
    Answer, Features, Field, FieldType, Label, LabelledRow, ModelError, Prediction, Record, Score, Task,
};

use super::generate::{Answered, Wanted};
use super::prompt::{LONGEST_EXAMPLE, named, one_line};
use crate::fields;

/// Raised whenever the features below, or what stands behind them, change.
pub const SCORER_VERSION: u32 = 1;

/// What the confidence head reads. Log-probabilities are in nats, of values' tokens.
pub const FEATURES: [&str; 8] = [
    "least_log_probability",
    "least_of_a_field",
    "sum_of_log_probabilities",
    "least_margin",
    "values",
    "values_not_in_the_text",
    "log_tokens_read",
    "log_tokens_written",
];

/// Records shown at most.
const EXAMPLES: usize = 6;

/// The rows to show, by their places: those that have fields which none before has, then others; middling ones first.
pub fn examples(rows: &[LabelledRow]) -> Vec<usize> {
    let record = |place: &usize| match rows[*place].target() {
        Some(Answer::Fields(record)) => Some(record),
        _ => None,
    };
    // What was captured is forgotten in its time, and a prompt is kept.
    let may_be_shown =
        |place: &usize| rows[*place].input.text.len() <= LONGEST_EXAMPLE && !rows[*place].captured;
    let mut places: Vec<usize> =
        (0..rows.len()).filter(|place| may_be_shown(place) && record(place).is_some()).collect();
    places.sort_by_key(|place| (rows[*place].input.text.len(), *place));
    let middle = places.len() / 2;
    places.rotate_left(middle);
    let mut shown: Vec<usize> = Vec::new();
    let mut known: Vec<&String> = Vec::new();
    for place in &places {
        let new: Vec<&String> = record(place).into_iter().flat_map(|record| record.keys()).collect();
        if shown.len() < EXAMPLES && new.iter().any(|field| !known.contains(field)) {
            known.extend(new);
            shown.push(*place);
        }
    }
    let others: Vec<usize> = places.into_iter().filter(|place| !shown.contains(place)).collect();
    shown.into_iter().chain(others).take(EXAMPLES).collect()
}

/// What stands before and after each text.
pub fn prompt(task: &Task, shown: &[&LabelledRow]) -> Prompt {
    let instructions = match task.instructions.trim() {
        "" => "Find the fields of a record in the text.",
        instructions => instructions,
    };
    let mut before = format!("{instructions}{}\n{}\n", fields::described(task), fields::ASKED);
    for row in shown {
        if let Some(Answer::Fields(record)) = row.target() {
            before.push_str(&format!(
                "\nText: {}\nRecord:\n{}\n",
                one_line(&row.input.text),
                written(task, record)
            ));
        }
    }
    before.push_str("\nText: ");
    named(before, "\nRecord:\n".to_owned(), Vec::new())
}

/// A record with every field in it, as the schema has it.
pub fn written(task: &Task, record: &Record) -> String {
    let all = task.fields.iter().map(|field| {
        let none = || {
            if field.kind == FieldType::List { Vec::<String>::new().into() } else { serde_json::Value::Null }
        };
        (field.name.clone(), record.get(&field.name).cloned().unwrap_or_else(none))
    });
    serde_json::Value::Object(all.collect()).to_string()
}

/// What is asked of the engine for one text.
pub fn wanted(prompt: &Prompt, schema: &str, most_tokens: u32, text: &str) -> Wanted {
    Wanted {
        prompt: Some(prompt.clone()),
        text: one_line(text),
        most_tokens,
        sampling: Sampling::GREEDY,
        constraint: Some(Constraint::JsonSchema(schema.to_owned())),
        ..Wanted::default()
    }
}

/// The schema of a task's records, and the most tokens that one may take.
pub fn form(task: &Task) -> (String, u32) {
    (fields::schema(task).to_string(), u32::try_from(fields::most_tokens(task)).unwrap_or(u32::MAX))
}

/// The answer in what was written.
///
/// # Errors
/// It is none of the task's records: it broke off, or a value can't be read as its field's type.
pub fn prediction(task: &Task, text: &str, answered: &Answered) -> Result<Prediction, ModelError> {
    let Answer::Fields(record) = fields::parse(task, &answered.text, text).map_err(ModelError::BadAnswer)?
    else {
        return Err(ModelError::BadAnswer("it is no record".to_owned()));
    };
    let places =
        places(&answered.text).ok_or_else(|| ModelError::BadAnswer("it is no JSON object".to_owned()))?;
    let sure: Vec<(&Field, Sure)> = task
        .fields
        .iter()
        .map(|field| {
            (field, places.get(&field.name).map_or(Sure::NONE, |place| Sure::of(place, &answered.written)))
        })
        .collect();
    let least = |of: fn(&Sure) -> f32| sure.iter().map(|(_, sure)| of(sure)).fold(f32::INFINITY, f32::min);
    let features = vec![
        least(|sure| sure.least),
        least(|sure| sure.sum),
        sure.iter().map(|(_, sure)| sure.sum).sum(),
        least(|sure| sure.margin).min(MOST_MARGIN),
        record.len() as f32,
        record.values().map(|value| missing(value, text)).sum::<usize>() as f32,
        (answered.read as f32).ln_1p(),
        (answered.written.len() as f32).ln_1p(),
    ];
    let score = Score(least(|sure| sure.sum).exp());
    let alternatives =
        sure.iter().map(|(field, sure)| (Label::from(field.name.as_str()), Score(sure.sum.exp())));
    Ok(Prediction {
        alternatives: alternatives.collect(),
        answer: Answer::Fields(record),
        score,
        features: Features(features),
    })
}

/// Margins beyond this say nothing more.
const MOST_MARGIN: f32 = 30.0;

/// How sure the model was of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sure {
    /// The log-probability of its unlikeliest token.
    least: f32,
    /// Of all its tokens.
    sum: f32,
    /// The least lead of a first choice over its second.
    margin: f32,
}

impl Sure {
    /// A value that isn't there leaves no doubt.
    const NONE: Self = Self { least: 0.0, sum: 0.0, margin: f32::INFINITY };

    /// Of the value at `place` in what these tokens are the text of.
    fn of(place: &Range<usize>, written: &[Written]) -> Self {
        let mut end = 0;
        written.iter().fold(Self::NONE, |sure, token| {
            let begin = end;
            end += token.bytes as usize;
            if begin >= place.end || end <= place.start {
                return sure;
            }
            Self {
                least: sure.least.min(token.log_probability),
                sum: sure.sum + token.log_probability,
                margin: sure.margin.min(token.margin),
            }
        })
    }
}

/// Where the values of an object's fields stand in it, in bytes; `None` where it is none.
fn places(json: &str) -> Option<HashMap<String, Range<usize>>> {
    let values: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    let place = |value: &str| {
        let start = (value.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
        Some(start..start + value.len())
    };
    values.into_iter().map(|(field, value)| Some((field, place(value.get())?))).collect()
}

/// How many of a value's texts don't stand in the text.
fn missing(value: &serde_json::Value, text: &str) -> usize {
    match value {
        serde_json::Value::String(said) => usize::from(!text.contains(said.as_str())),
        serde_json::Value::Array(items) => items.iter().map(|item| missing(item, text)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, log_probability: f32) -> Written {
        let bytes = text.len() as u32;
        Written { bytes, log_probability, margin: -log_probability, text: Vec::new(), likeliest: Vec::new() }
    }

    #[test]
    fn a_value_is_as_sure_as_the_tokens_that_it_shares() {
        let json = r#"{"shop": "Müller & Co", "total": null}"#;
        let places = places(json).unwrap();
        assert_eq!(&json[places["shop"].clone()], "\"Müller & Co\"");
        assert_eq!(&json[places["total"].clone()], "null");
        let tokens = [
            ("{\"shop\": ", -9.0),
            ("\"M", -0.5),
            ("üller", -0.25),
            (" & Co\", \"", -1.0),
            ("total\": ", -9.0),
            ("null", -0.125),
            ("}", -9.0),
        ];
        let written: Vec<Written> = tokens.map(|(text, log_probability)| token(text, log_probability)).into();
        assert_eq!(Sure::of(&places["shop"], &written), Sure { least: -1.0, sum: -1.75, margin: 0.25 });
        assert_eq!(Sure::of(&places["total"], &written), Sure { least: -0.125, sum: -0.125, margin: 0.125 });
        assert_eq!(super::places("[1]"), None);
    }
}
