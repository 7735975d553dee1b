//! Records asked for in words and by a schema, and read from what is said.

use serde_json::{Map, Value, json};
use sprat_task::{Answer, Field, FieldType, Task, WrongRecord};

use crate::remote::quoting::quote_answer;

/// What the model is told of the fields, one a line.
pub(crate) fn described(task: &Task) -> String {
    let mut said = String::from("\n\nThe fields of the record, one a line:\n");
    for field in &task.fields {
        said.push_str(&format!("{}: {}", field.name, sort_of(field)));
        if !field.description.is_empty() {
            said.push_str(&format!("; {}", field.description));
        }
        if let Some(pattern) = &field.pattern {
            said.push_str(&format!("; matches {}", pattern.as_str()));
        }
        if !field.examples.is_empty() {
            said.push_str(&format!("; for example {}", field.examples.join(", ")));
        }
        said.push_str(if field.required { "; always there\n" } else { "\n" });
    }
    said
}

/// How the answer is asked for.
pub(crate) const ASKED: &str = "Answer with the record as JSON and nothing else, with every field in it, null where the \
                                text says nothing of it. Texts are copied from the text as they stand there.";

fn sort_of(field: &Field) -> String {
    match field.kind {
        FieldType::Text => "a piece of the text".to_owned(),
        FieldType::Number => "a number".to_owned(),
        FieldType::Date => "a day, written YYYY-MM-DD".to_owned(),
        FieldType::Money => "an amount of money and its currency's code (ISO 4217)".to_owned(),
        FieldType::Enum => format!("one of {}", field.values.join(", ")),
        FieldType::List => "a list of pieces of the text".to_owned(),
    }
}

/// The schema of a record. Both protocols' strict modes want every field among `required` and take `null` for none.
pub(crate) fn schema(task: &Task) -> Value {
    let properties: Map<String, Value> =
        task.fields.iter().map(|field| (field.name.clone(), property(field))).collect();
    let required: Vec<&str> = task.fields.iter().map(|field| field.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn property(field: &Field) -> Value {
    let or_none = |sort: &str| if field.required { json!(sort) } else { json!([sort, "null"]) };
    match field.kind {
        FieldType::Text | FieldType::Date => json!({ "type": or_none("string") }),
        FieldType::Number => json!({ "type": or_none("number") }),
        FieldType::List => json!({ "type": "array", "items": { "type": "string" } }),
        FieldType::Enum => {
            let mut values: Vec<Value> = field.values.iter().map(|value| json!(value)).collect();
            if !field.required {
                values.push(Value::Null);
            }
            json!({ "type": or_none("string"), "enum": values })
        }
        FieldType::Money => json!({
            "type": or_none("object"),
            "properties": { "amount": { "type": "number" }, "currency": { "type": ["string", "null"] } },
            "required": ["amount", "currency"],
            "additionalProperties": false,
        }),
    }
}

/// The task's record that these words are: a JSON object, every field of which can be read as its type.
pub(crate) fn parse(task: &Task, said: &str, input: &str) -> Result<Answer, String> {
    let Ok(Value::Object(said)) = serde_json::from_str(said.trim()) else {
        return Err(format!("it is no JSON object: {}", quote_answer(said, input)));
    };
    let record = task.record(&said, input).map_err(|wrong| match &wrong {
        // Only what gives nothing of the text away is quoted.
        WrongRecord::Value { said: Value::String(said), .. } => {
            format!("{wrong}: {}", quote_answer(said, input))
        }
        WrongRecord::Unknown { name } => format!("{} is not one of the fields", quote_answer(name, input)),
        WrongRecord::Value { .. } | WrongRecord::Missing { .. } => wrong.to_string(),
    })?;
    Ok(Answer::Fields(record))
}

/// Tokens of a record as records usually are: its keys, what JSON adds, and a few words a value.
pub(crate) fn usual_tokens(task: &Task) -> u64 {
    task.fields.iter().map(|field| field.name.len() as u64 / 2 + 16).sum()
}

/// Room for every record but one that copies pages.
pub(crate) fn most_tokens(task: &Task) -> u64 {
    (4 * usual_tokens(task)).max(2_048)
}

#[cfg(test)]
mod tests {
    use sprat_task::{Source, read_task};

    use super::*;

    fn task() -> Task {
        let text = "kind = \"extract\"\n\
            [[fields]]\nname = \"shop\"\ntype = \"text\"\nrequired = true\ndescription = \"who sold it\"\n\
            [[fields]]\nname = \"total\"\ntype = \"money\"\ncurrency = \"EUR\"\n\
            [[fields]]\nname = \"size\"\ntype = \"enum\"\nvalues = [\"small\", \"large\"]\n";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    #[test]
    fn the_schema_takes_what_a_record_holds_and_null_for_what_may_be_missing() {
        assert_eq!(
            schema(&task()),
            json!({
                "type": "object",
                "properties": {
                    "shop": {"type": "string"},
                    "total": {
                        "type": ["object", "null"],
                        "properties": {"amount": {"type": "number"}, "currency": {"type": ["string", "null"]}},
                        "required": ["amount", "currency"],
                        "additionalProperties": false,
                    },
                    "size": {"type": ["string", "null"], "enum": ["small", "large", null]},
                },
                "required": ["shop", "total", "size"],
                "additionalProperties": false,
            })
        );
        assert!(described(&task()).contains("shop: a piece of the text; who sold it; always there\n"));
    }

    #[test]
    fn what_the_model_says_becomes_the_record_that_a_row_would_have() {
        let input = "2 large teas at Corner Shop, 4.50";
        let said = r#"{"shop": "corner shop", "total": {"amount": 4.5, "currency": null}, "size": "Large"}"#;
        assert_eq!(
            parse(&task(), said, input).map(|answer| answer.to_line()).as_deref(),
            Ok(r#"{"shop":"Corner Shop","total":{"amount":4.5,"currency":"EUR"},"size":"large"}"#)
        );
        for (said, why) in [
            ("a tea", "it is no JSON object: `a tea`"),
            (r#"{"shop": null}"#, "the required field `shop` is missing"),
            (r#"{"shop": "x", "size": "teapot"}"#, "field `size` is enum, and its value is not: `teapot`"),
            (
                r#"{"shop": "x", "size": "2 large teas at Corner"}"#,
                "field `size` is enum, and its value is not: an answer of 22 characters",
            ),
            (r#"{"shop": "x", "colour": "red"}"#, "`colour` is not one of the fields"),
            (r#"{"shop": "x", "total": "a lot"}"#, "field `total` is money, and its value is not: `a lot`"),
        ] {
            assert_eq!(parse(&task(), said, input), Err(why.to_owned()), "{said}");
        }
    }
}
