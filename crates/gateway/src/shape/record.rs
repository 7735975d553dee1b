//! Can every record of a task be said in the schema that a client gives, and how is one written and read?

use serde_json::{Map, Value};
use sprat_task::{Answer, Field, FieldType, Record, Task};

use super::{MOST_FIELDS, resolved, texts};

/// The keys that a client's schema wants even where a record has no such field: they are `null` then. `None` where the
/// schema doesn't take every record of the task.
pub(super) fn wanted_keys(schema: &Value, task: &Task) -> Option<Vec<String>> {
    let object = resolved(schema, schema)?;
    let properties = object.get("properties")?.as_object().filter(|fields| fields.len() <= MOST_FIELDS)?;
    let is_object = object.get("type").and_then(Value::as_str) == Some("object");
    let required: Vec<&str> = strings(object.get("required"));
    let all_known = required.iter().all(|name| task.field(name).is_some());
    let takes = |field: &Field| {
        let property = properties.get(&field.name).and_then(|property| resolved(schema, property));
        property.is_some_and(|property| {
            let may_lack = !field.required && required.contains(&field.name.as_str());
            takes_value(schema, property, field) && (!may_lack || takes_type(property, "null"))
        })
    };
    (is_object && all_known && task.fields.iter().all(takes))
        .then(|| required.into_iter().map(str::to_owned).collect())
}

/// Whether a property takes every value of a field.
fn takes_value(schema: &Value, property: &Value, field: &Field) -> bool {
    match field.kind {
        FieldType::Text | FieldType::Date => takes_type(property, "string") && is_open(property),
        FieldType::Number => takes_type(property, "number") && is_open(property),
        FieldType::Enum => {
            let listed = texts(schema, property);
            listed.is_some_and(|listed| field.values.iter().all(|value| listed.contains(&value.as_str())))
                || (takes_type(property, "string") && is_open(property))
        }
        FieldType::List => {
            let items = property.get("items").and_then(|items| resolved(schema, items));
            takes_type(property, "array")
                && items.is_some_and(|items| takes_type(items, "string") && is_open(items))
        }
        FieldType::Money => takes_type(property, "object") && takes_money(schema, property),
    }
}

fn takes_money(schema: &Value, property: &Value) -> bool {
    let part = |name: &str| resolved(schema, property.get("properties")?.get(name)?);
    let takes = |name: &str, sorts: &[&str]| {
        part(name).is_some_and(|part| sorts.iter().all(|sort| takes_type(part, sort)) && is_open(part))
    };
    let required = strings(property.get("required"));
    let only_ours = required.iter().all(|name| matches!(*name, "amount" | "currency"));
    only_ours && takes("amount", &["number"]) && takes("currency", &["string", "null"])
}

/// What a schema can ask beyond a type; a record isn't made to fit it.
const LIMITS: [&str; 14] = [
    "enum",
    "const",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "anyOf",
    "allOf",
    "oneOf",
];

fn is_open(part: &Value) -> bool {
    !LIMITS.iter().any(|limit| part.get(limit).is_some())
}

/// Whether a part of a schema names a type, by itself, in a list, or (as Pydantic writes what may be missing) beside it.
fn takes_type(part: &Value, sort: &str) -> bool {
    match part.get("type") {
        Some(Value::String(only)) => only == sort,
        Some(Value::Array(sorts)) => sorts.iter().any(|one| one.as_str() == Some(sort)),
        _ => false,
    }
}

fn strings(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The record as a JSON object with these keys, `null` where the record has none; an amount's currency likewise.
pub(super) fn write(record: &Record, keys: &[String]) -> String {
    let mut object: Map<String, Value> = record.clone();
    // Where a schema names keys, an amount's currency may be one of them; `null` says the same as nothing.
    for amount in object.values_mut().filter_map(Value::as_object_mut).filter(|_| !keys.is_empty()) {
        amount.entry("currency").or_insert(Value::Null);
    }
    for key in keys {
        object.entry(key.clone()).or_insert(Value::Null);
    }
    Value::Object(object).to_string()
}

/// The record that a message is.
pub(super) fn read(text: &str, task: &Task) -> Option<Answer> {
    let said: Map<String, Value> = serde_json::from_str(text).ok()?;
    task.record(&said, "").ok().map(Answer::Fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sprat_task::{Source, read_task};
    use sprat_wire::openai::chat::{ResponseFormat, ResponseFormatKind};

    use super::super::Shape;
    use super::*;

    fn task() -> Task {
        let text = "kind = \"extract\"\n\
            [[fields]]\nname = \"shop\"\ntype = \"text\"\nrequired = true\n\
            [[fields]]\nname = \"total\"\ntype = \"money\"\n\
            [[fields]]\nname = \"size\"\ntype = \"enum\"\nvalues = [\"small\", \"large\"]\n";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "shop": {"type": "string"},
                "total": {
                    "type": ["object", "null"],
                    "properties": {"amount": {"type": "number"}, "currency": {"type": ["string", "null"]}},
                    "required": ["amount", "currency"],
                },
                "size": {"type": ["string", "null"], "enum": ["small", "large", null]},
            },
            "required": ["shop", "total", "size"],
            "additionalProperties": false,
        })
    }

    fn shape(schema: Value) -> Option<Shape> {
        Shape::of(Some(&ResponseFormat::json_schema("record", schema)), &task())
    }

    fn record(said: Value) -> Answer {
        Answer::Fields(task().record(said.as_object().unwrap(), "").unwrap())
    }

    #[test]
    fn a_record_is_written_with_the_keys_that_the_schema_wants_and_read_again() {
        let some = record(json!({"shop": "Aldi", "total": 4.5}));
        let fits = shape(schema()).unwrap();
        let written = fits.write(&some);
        assert_eq!(written, r#"{"shop":"Aldi","total":{"amount":4.5,"currency":null},"size":null}"#);
        assert_eq!(fits.read(&written, &task()), Some(some.clone()));
        let plain = Shape::of(None, &task()).unwrap();
        assert_eq!(plain.write(&some), r#"{"shop":"Aldi","total":{"amount":4.5}}"#);
        let json = Shape::of(Some(&ResponseFormat::new(ResponseFormatKind::JsonObject)), &task()).unwrap();
        assert_eq!(json.write(&some), plain.write(&some));
        assert_eq!(plain.read("no record", &task()), None);
        assert_eq!(plain.read(r#"{"size":"small"}"#, &task()), None, "a required field is missing");
    }

    #[test]
    fn a_schema_that_a_record_may_not_fit_is_refused() {
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 7] = [
            ("a field that the task doesn't have", |s| s["required"] = json!(["shop", "colour"])),
            ("no null for what may be missing", |s| s["properties"]["size"]["type"] = json!("string")),
            ("another type", |s| s["properties"]["shop"]["type"] = json!("number")),
            ("fewer values", |s| s["properties"]["size"]["enum"] = json!(["small", null])),
            ("a pattern", |s| s["properties"]["shop"]["pattern"] = json!("^A")),
            ("no place for a field", |s| drop(s["properties"].as_object_mut().unwrap().remove("total"))),
            ("an amount with tax", |s| s["properties"]["total"]["required"] = json!(["amount", "tax"])),
        ];
        for (what, change) in changes {
            let mut changed = schema();
            change(&mut changed);
            assert_eq!(shape(changed), None, "{what}");
        }
    }
}
