//! In which form does the client want an answer, and can it be said in it?

mod record;

use serde_json::{Map, Value, json};
use sprat_task::{Answer, Kind, Label, Task};
use sprat_wire::openai::chat::{ResponseFormat, ResponseFormatKind};

/// How an answer is written into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As plain text; several labels joined by `|`.
    Plain,
    /// As a JSON object with this one field.
    Field(String),
    /// As a JSON object that is the record, with these keys in any case (`extract`).
    Record(Vec<String>),
}

impl Shape {
    /// The shape that a task's answer takes under a response format; `None` where the format asks for something that
    /// the task's answer isn't.
    pub fn of(format: Option<&ResponseFormat>, task: &Task) -> Option<Self> {
        if task.kind == Kind::Extract {
            return Self::of_record(format, task);
        }
        let Some(format) = format else { return Some(Self::Plain) };
        if !task.kind.has_labels() {
            // A text of any form that somebody needs has to be asked of the model that writes it.
            return (format.kind == ResponseFormatKind::Text).then_some(Self::Plain);
        }
        match &format.kind {
            ResponseFormatKind::Text => Some(Self::Plain),
            ResponseFormatKind::JsonObject => {
                Some(Self::Field(if task.multi { "labels" } else { "label" }.to_owned()))
            }
            ResponseFormatKind::JsonSchema => field_of(format.schema()?, task).map(Self::Field),
            ResponseFormatKind::Other(_) => None,
        }
    }

    fn of_record(format: Option<&ResponseFormat>, task: &Task) -> Option<Self> {
        let Some(format) = format else { return Some(Self::Record(Vec::new())) };
        match &format.kind {
            ResponseFormatKind::Text | ResponseFormatKind::JsonObject => Some(Self::Record(Vec::new())),
            ResponseFormatKind::JsonSchema => record::wanted_keys(format.schema()?, task).map(Self::Record),
            ResponseFormatKind::Other(_) => None,
        }
    }

    /// The answer that a message in this shape gives; `None` where it gives none of the task's.
    pub fn read(&self, text: &str, task: &Task) -> Option<Answer> {
        let text = text.trim();
        let answer = match self {
            Self::Record(_) => record::read(text, task)?,
            Self::Plain if !task.kind.has_labels() => Answer::Text(text.to_owned()),
            Self::Plain if task.multi => Answer::labels(names(text).map(Label::from)),
            Self::Plain => Answer::label(text),
            Self::Field(name) => {
                let object: Map<String, Value> = serde_json::from_str(text).ok()?;
                match object.get(name)? {
                    Value::String(label) => Answer::label(label.as_str()),
                    Value::Array(labels) => {
                        let labels = labels.iter().map(|label| label.as_str().map(Label::from));
                        Answer::labels(labels.collect::<Option<Vec<_>>>()?)
                    }
                    _ => return None,
                }
            }
        };
        task.admits(&answer).then_some(answer)
    }

    /// The message's text.
    pub fn write(&self, answer: &Answer) -> String {
        match self {
            Self::Record(keys) => match answer {
                Answer::Fields(record) => record::write(record, keys),
                other => other.to_line(),
            },
            Self::Plain => answer.to_line(),
            Self::Field(name) => {
                let value = match answer {
                    Answer::Label(label) => json!(label.as_str()),
                    Answer::Labels(labels) => json!(labels.iter().map(Label::as_str).collect::<Vec<_>>()),
                    Answer::Fields(fields) => json!(fields),
                    Answer::Text(text) => json!(text),
                };
                let object: Map<String, Value> = [(name.clone(), value)].into_iter().collect();
                Value::Object(object).to_string()
            }
        }
    }
}

/// The labels in a line; none in an empty one.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split('|').map(str::trim).filter(|name| !name.is_empty())
}

/// The one field of an object schema that holds the label: every label of the task is allowed there, and no other field
/// is required.
fn field_of(schema: &Value, task: &Task) -> Option<String> {
    let object = resolved(schema, schema)?;
    if object.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    let properties = object.get("properties")?.as_object().filter(|fields| fields.len() <= MOST_FIELDS)?;
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut fitting = properties.iter().filter(|(_, property)| holds(schema, property, task).is_some());
    let (name, _) = fitting.next()?;
    let alone = fitting.next().is_none() && required.iter().all(|other| other == name);
    alone.then(|| name.clone())
}

/// Whether every label of the task is allowed in a property.
fn holds(schema: &Value, property: &Value, task: &Task) -> Option<()> {
    let mut property = property;
    if task.multi {
        let list = resolved(schema, property)?;
        let is_list = list.get("type").and_then(Value::as_str) == Some("array");
        property = list.get("items").filter(|_| is_list)?;
    }
    let allowed = texts(schema, property)?;
    task.labels.iter().all(|label| allowed.contains(&label.as_str())).then_some(())
}

/// The texts that a part of a schema lists one by one, itself or as choices; `None` where it lists none, or says more.
fn texts<'a>(schema: &'a Value, part: &'a Value) -> Option<Vec<&'a str>> {
    let part = resolved(schema, part)?;
    let Some(choices) = part.get("anyOf") else { return listed(part) };
    // A list beside the choices would have to hold as well.
    let choices = choices.as_array().filter(|_| part.get("enum").is_none() && part.get("const").is_none())?;
    let mut all = Vec::new();
    for choice in choices {
        all.extend(resolved(schema, choice).and_then(listed).unwrap_or_default());
        if all.len() > MOST_TEXTS {
            return None;
        }
    }
    Some(all)
}

fn listed(part: &Value) -> Option<Vec<&str>> {
    match (part.get("enum"), part.get("const")) {
        (Some(list), None) => {
            Some(list.as_array()?.iter().filter_map(Value::as_str).take(MOST_TEXTS + 1).collect())
        }
        (None, Some(only)) => Some(vec![only.as_str()?]),
        _ => None,
    }
}

/// References make a small schema say much: no task has so many labels, and no answer that is one label has so many
/// fields.
const MOST_TEXTS: usize = 10_000;
const MOST_FIELDS: usize = 64;

/// What a part of a schema says, wherever in the schema that stands: a class of Pydantic's has its enums among `$defs`,
/// and OpenAI's clients send them so. `None` where that is elsewhere, or nowhere.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> Option<&'a Value> {
    let mut part = part;
    for _ in 0..=MOST_REFERENCES {
        let Some(reference) = part.get("$ref") else { return Some(part) };
        part = schema.pointer(reference.as_str()?.strip_prefix('#')?)?;
    }
    None
}

/// References that lead to references; a schema that has more leads in a circle.
const MOST_REFERENCES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Source, read_task};

    fn task(extra: &str) -> Task {
        let text = format!("kind = \"classify\"\nlabels = [\"refund\", \"delivery\"]\n{extra}");
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    fn shape(schema: Value, task: &Task) -> Option<Shape> {
        Shape::of(Some(&ResponseFormat::json_schema("answer", schema)), task)
    }

    fn object(properties: Value, required: Value) -> Value {
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }

    #[test]
    fn a_label_fits_a_schema_with_one_enum_that_allows_every_label() {
        let task = task("");
        let labels = json!({"enum": ["refund", "delivery", "more"]});
        let fits = shape(object(json!({"team": labels}), json!(["team"])), &task).unwrap();
        assert_eq!(fits, Shape::Field("team".into()));
        assert_eq!(fits.write(&Answer::label("refund")), r#"{"team":"refund"}"#);
        let optional = json!({"team": labels, "why": {"type": "string"}});
        assert!(shape(object(optional.clone(), json!(["team"])), &task).is_some());
        for (properties, required) in [
            (optional, json!(["team", "why"])),
            (json!({"team": {"enum": ["refund"]}}), json!(["team"])),
            (json!({"team": {"type": "string"}}), json!(["team"])),
            (json!({"team": labels, "other": labels}), json!(["team"])),
        ] {
            assert_eq!(shape(object(properties.clone(), required), &task), None, "{properties}");
        }
        assert_eq!(shape(json!({"enum": ["refund", "delivery"]}), &task), None, "not an object");
    }

    #[test]
    fn an_enum_may_stand_anywhere_in_the_schema() {
        let task = task("");
        let with = |team: Value| {
            let mut schema = object(json!({"team": team}), json!(["team"]));
            schema["$defs"] = json!({
                "Team": {"enum": ["refund", "delivery"], "title": "Team", "type": "string"},
                "Again": {"$ref": "#/$defs/Team"},
                "Circle": {"$ref": "#/$defs/Circle"},
            });
            shape(schema, &task)
        };
        let fits = Some(Shape::Field("team".into()));
        assert_eq!(
            with(json!({"$ref": "#/$defs/Team", "description": "who"})),
            fits,
            "as Pydantic writes it"
        );
        assert_eq!(with(json!({"$ref": "#/$defs/Again"})), fits);
        for nowhere in ["#/$defs/None", "#/$defs/Circle", "http://there/Team", "Team"] {
            assert_eq!(with(json!({"$ref": nowhere})), None, "{nowhere}");
        }
        let whole = object(json!({"team": {"enum": ["refund", "delivery"]}}), json!(["team"]));
        assert_eq!(shape(json!({"$ref": "#/definitions/It", "definitions": {"It": whole}}), &task), fits);
    }

    #[test]
    fn labels_may_be_listed_as_constants_and_in_a_definition() {
        let task = task("");
        let constants = json!({"anyOf": [{"const": "refund"}, {"enum": ["delivery"]}, {"type": "null"}]});
        let defined = json!({"$ref": "#/$defs/Team"});
        let with = |property: &Value, definition: Value| {
            let mut schema = object(json!({"team": property}), json!(["team"]));
            schema["$defs"] = json!({"Team": definition});
            shape(schema, &task)
        };
        let labels = json!({"enum": ["refund", "delivery"], "type": "string"});
        assert!(with(&constants, json!({})).is_some());
        assert!(with(&defined, labels.clone()).is_some());
        assert!(with(&defined, constants.clone()).is_some());
        for (property, definition) in [
            (json!({"anyOf": [{"const": "refund"}]}), json!({})),
            (json!({"anyOf": [{"anyOf": [{"const": "refund"}, {"const": "delivery"}]}]}), json!({})),
            (json!({"enum": ["refund", "delivery"], "anyOf": [{"const": "refund"}]}), json!({})),
            (json!({"oneOf": [{"const": "refund"}, {"const": "delivery"}]}), json!({})),
            (defined.clone(), json!({"anyOf": [defined.clone()]})),
            (defined.clone(), defined.clone()),
            (json!({"$ref": "#/$defs/Other"}), labels.clone()),
            (json!({"$ref": "https://example.org/team"}), labels),
        ] {
            assert_eq!(with(&property, definition), None, "{property}");
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_nothing_else_is() {
        let (one, several) = (task(""), task("multi = true"));
        let field = || Shape::Field("team".into());
        for (shape, task, answer) in [
            (Shape::Plain, &one, Answer::label("refund")),
            (field(), &one, Answer::label("refund")),
            (Shape::Plain, &several, Answer::labels(["refund".into(), "delivery".into()])),
            (Shape::Plain, &several, Answer::labels([])),
            (field(), &several, Answer::labels(["delivery".into()])),
            (field(), &several, Answer::labels([])),
        ] {
            assert_eq!(shape.read(&format!(" {}\n", shape.write(&answer)), task), Some(answer));
        }
        for (shape, task, text) in [
            (Shape::Plain, &one, "Refund"),
            (Shape::Plain, &one, "refund."),
            (Shape::Plain, &one, ""),
            (Shape::Plain, &several, "refund|other"),
            (field(), &one, "refund"),
            (field(), &one, r#"{"team":"other"}"#),
            (field(), &one, r#"{"team":["refund"]}"#),
            (field(), &one, r#"{"other":"refund"}"#),
            (field(), &one, r#"{"team":"refund""#),
            (field(), &several, r#"{"team":["refund",1]}"#),
            (field(), &several, r#"{"team":"refund"}"#),
        ] {
            assert_eq!(shape.read(text, task), None, "{text}");
        }
        let optional = r#"{"team":"refund","why":"they ask"}"#;
        assert_eq!(field().read(optional, &one), Some(Answer::label("refund")));
    }

    #[test]
    fn several_labels_need_a_list() {
        let task = task("multi = true");
        let one = json!({"enum": ["refund", "delivery"]});
        let list = json!({"type": "array", "items": one});
        assert_eq!(shape(object(json!({"teams": one}), json!([])), &task), None);
        let fits = shape(object(json!({"teams": list}), json!([])), &task).unwrap();
        assert_eq!(fits.write(&Answer::labels(["refund".into()])), r#"{"teams":["refund"]}"#);
        let mut elsewhere =
            object(json!({"teams": {"type": "array", "items": {"$ref": "#/$defs/Team"}}}), json!([]));
        elsewhere["$defs"] = json!({"Team": one});
        assert_eq!(shape(elsewhere, &task), Some(fits));
    }

    #[test]
    fn without_a_schema_the_answer_is_the_label_itself() {
        let task = task("");
        assert_eq!(Shape::of(None, &task).unwrap().write(&Answer::label("refund")), "refund");
        let json = Shape::of(Some(&ResponseFormat::new(ResponseFormatKind::JsonObject)), &task).unwrap();
        assert_eq!(json.write(&Answer::label("refund")), r#"{"label":"refund"}"#);
        let unknown = ResponseFormat::new(ResponseFormatKind::Other("grammar".into()));
        assert_eq!(Shape::of(Some(&unknown), &task), None);
    }
}
