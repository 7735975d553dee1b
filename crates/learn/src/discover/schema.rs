//! Which fields does a JSON schema declare, and which of them have a closed set of values?

use serde_json::Value;

/// A declared field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declared {
    pub(super) name: String,
    /// The only values it may have; `None` where it is free.
    pub(super) values: Option<Vec<String>>,
    /// Whether it is a list.
    pub(super) is_list: bool,
}

/// The fields at the top of a schema, in its order; `None` where it is no schema of an object.
pub(super) fn fields(schema: &Value) -> Option<Vec<Declared>> {
    let properties = resolve(schema, schema).get("properties")?.as_object()?;
    let declared = properties.iter().map(|(name, field)| {
        let field = resolve(field, schema);
        let items = field.get("items").map(|items| resolve(items, schema));
        let values = allowed(items.unwrap_or(field), schema);
        Declared { name: name.clone(), values, is_list: items.is_some() }
    });
    Some(declared.collect())
}

/// Follows a reference inside the schema, as generators write them for enums.
fn resolve<'a>(part: &'a Value, schema: &'a Value) -> &'a Value {
    let target = part.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    target.and_then(|path| schema.pointer(path)).unwrap_or(part)
}

fn allowed(field: &Value, schema: &Value) -> Option<Vec<String>> {
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        return Some(values.iter().filter_map(super::answers::scalar).collect());
    }
    if let Some(value) = field.get("const") {
        return super::answers::scalar(value).map(|value| vec![value]);
    }
    if field.get("type").is_some_and(|kind| kind == "boolean") {
        return Some(vec!["true".to_owned(), "false".to_owned()]);
    }
    let choices = field.get("anyOf").or_else(|| field.get("oneOf"))?.as_array()?;
    let each: Option<Vec<Vec<String>>> =
        choices.iter().map(|choice| allowed(resolve(choice, schema), schema)).collect();
    each.map(|values| values.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn closed_fields_are_found_however_they_are_declared() {
        let closed =
            |values: &[&str]| Some(values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
        for (field, values) in [
            (json!({"type": "string", "enum": ["a", "b"]}), closed(&["a", "b"])),
            (json!({"$ref": "#/$defs/Team"}), closed(&["x", "y"])),
            (json!({"anyOf": [{"const": "a"}, {"const": "b"}]}), closed(&["a", "b"])),
            (json!({"type": "array", "items": {"enum": ["a"]}}), closed(&["a"])),
            (json!({"type": "boolean"}), closed(&["true", "false"])),
            (json!({"type": "string"}), None),
            (json!({"anyOf": [{"const": "a"}, {"type": "string"}]}), None),
            (json!({"$ref": "#/$defs/Nowhere"}), None),
        ] {
            let schema = json!({"type": "object", "properties": {"f": field}, "$defs": {"Team": {"enum": ["x", "y"]}}});
            assert_eq!(fields(&schema).expect("an object")[0].values, values, "{schema}");
        }
        assert_eq!(fields(&json!({"type": "string"})), None);
    }
}
