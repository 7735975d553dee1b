//! Which tools does an answer call? Models say it in different ways; a call is one that names a tool of the request.

use serde_json::{Map, Value, json};
use sprat_wire::openai::chat::{Tool, ToolCall};

/// What stands around calls: Qwen's, SmolLM's and Hermes' way. Mistral's and Llama's marks are tokens that have no text.
const OPENS: &str = "<tool_call>";
const CLOSES: &str = "</tool_call>";

/// The form of an answer that must call one of these tools: `{"name": …, "arguments": {…}}`.
pub fn schema(tools: &[Tool]) -> Value {
    // Schemas refer to their own definitions from the root, which is ours.
    let mut definitions = Map::new();
    let calls: Vec<Value> = tools
        .iter()
        .filter_map(|tool| tool.function.as_ref())
        .map(|function| {
            let mut arguments = function.parameters.clone().unwrap_or_else(|| json!({ "type": "object" }));
            for key in ["$defs", "definitions"] {
                if let Some(Value::Object(own)) =
                    arguments.as_object_mut().and_then(|object| object.remove(key))
                {
                    let all = definitions.entry(key).or_insert_with(|| json!({}));
                    all.as_object_mut().into_iter().for_each(|all| all.extend(own.clone()));
                }
            }
            json!({
                "type": "object",
                "properties": { "name": { "const": function.name }, "arguments": arguments },
                "required": ["name", "arguments"],
                "additionalProperties": false,
            })
        })
        .collect();
    let mut schema = match <[Value; 1]>::try_from(calls) {
        Ok([only]) => only,
        Err(several) => json!({ "anyOf": several }),
    };
    schema.as_object_mut().into_iter().for_each(|schema| schema.extend(definitions.clone()));
    schema
}

/// The calls in an answer, and what it says before them; `None` where it calls none of `tools`. `name` names each call.
pub fn find(
    answer: &str,
    tools: &[String],
    mut name: impl FnMut() -> String,
) -> Option<(String, Vec<ToolCall>)> {
    let (before, said) = match answer.split_once(OPENS) {
        Some((before, marked)) => {
            let each = marked.split(OPENS).map(|said| said.split_once(CLOSES).map_or(said, |(said, _)| said));
            (before.trim(), each.map(read).collect::<Option<Vec<_>>>()?)
        }
        None => ("", vec![read(answer)?]),
    };
    let calls: Vec<Value> = said.into_iter().flatten().collect();
    let calls: Option<Vec<ToolCall>> = calls.iter().map(|said| call(said, tools, name())).collect();
    calls.filter(|calls| !calls.is_empty()).map(|calls| (before.to_owned(), calls))
}

/// One call, or a list of them.
fn read(said: &str) -> Option<Vec<Value>> {
    match serde_json::from_str(said.trim()).ok()? {
        Value::Array(calls) => Some(calls),
        call @ Value::Object(_) => Some(vec![call]),
        _ => None,
    }
}

fn call(said: &Value, tools: &[String], id: String) -> Option<ToolCall> {
    // Some models say the function within a call, and some its parameters.
    let function = if said["function"].is_object() { &said["function"] } else { said };
    let name = function["name"].as_str().filter(|name| tools.iter().any(|tool| tool == name))?;
    let arguments = function.get("arguments").or_else(|| function.get("parameters"));
    let arguments = match arguments {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(written)) => written.clone(),
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        Some(_) => return None,
    };
    Some(ToolCall::function(id, name, arguments))
}
