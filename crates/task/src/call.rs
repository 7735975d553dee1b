//! Which ordinary chat call is it, apart from what is asked? Its system prompt and schema, as one digest.

use serde_json::Value;

use crate::hash::Sha256Hex;

impl Sha256Hex {
    /// Identifies the system prompt and the schema of a chat call. The prompt counts letter for letter, the schema as
    /// JSON: in whatever order its keys stand.
    pub fn of_call(system_prompt: Option<&str>, schema: Option<&Value>) -> Self {
        let schema = schema.map(|schema| sorted(schema).to_string());
        Self::of_parts([system_prompt.unwrap_or_default().as_bytes(), schema.unwrap_or_default().as_bytes()])
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_makes_no_difference_and_everything_else_does() {
        let schema =
            json!({"type": "object", "properties": {"team": {"enum": ["a", "b"], "type": "string"}}});
        let turned: Value = serde_json::from_str(
            r#"{"properties": {"team": {"type": "string", "enum": ["a", "b"]}}, "type": "object"}"#,
        )
        .unwrap();
        let hash = Sha256Hex::of_call(Some("Route it."), Some(&schema));
        assert_eq!(Sha256Hex::of_call(Some("Route it."), Some(&turned)), hash);
        for (prompt, schema) in [
            (Some("Route it. "), Some(&schema)),
            (None, Some(&schema)),
            (Some("Route it."), None),
            (Some("Route it."), Some(&json!({"enum": ["b", "a"]}))),
        ] {
            assert_ne!(Sha256Hex::of_call(prompt, schema), hash);
        }
    }
}
