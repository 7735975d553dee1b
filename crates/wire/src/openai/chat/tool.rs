//! Tools: what the model may call, what it must call, and what it called.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Object, lenient};

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `function`, or a kind newer than this version.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// The function, where the kind is `function`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionDefinition>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl Tool {
    /// A function the model may call, its parameters as a JSON schema.
    pub fn function(name: impl Into<String>, description: Option<String>, parameters: Option<Value>) -> Self {
        let function = FunctionDefinition {
            name: name.into(),
            description,
            parameters,
            strict: None,
            rest: Object::new(),
        };
        Self { kind: function_kind(), function: Some(function), rest: Object::new() }
    }

    /// The name it is called by.
    pub fn name(&self) -> Option<&str> {
        match &self.function {
            Some(function) => Some(&function.name),
            None => self.rest.get("custom").unwrap_or(&Value::Null).get("name").and_then(Value::as_str),
        }
    }
}

/// A function as the model sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionDefinition {
    /// The name it is called by.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its parameters, a JSON schema; `None` takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Whether arguments must follow the schema exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Whether, and which, a tool must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// `none`, `auto`, `required`, or a word newer than this version.
    Mode(String),
    /// An object, as `{"type": "function", "function": {"name": …}}`.
    Object(Object),
}

impl ToolChoice {
    /// This function must be called.
    pub fn function(name: &str) -> Self {
        let mut object = Object::new();
        object.insert("type".to_owned(), json!("function"));
        object.insert("function".to_owned(), json!({ "name": name }));
        Self::Object(object)
    }

    /// The function that must be called, where one is named.
    pub fn named_function(&self) -> Option<&str> {
        match self {
            Self::Mode(_) => None,
            Self::Object(object) => object.get("function")?.get("name")?.as_str(),
        }
    }
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mode(mode) => serializer.serialize_str(mode),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(mode) => Ok(Self::Mode(mode)),
            Value::Object(object) => Ok(Self::Object(object)),
            _ => Err(serde::de::Error::custom("`tool_choice` must be a string or an object")),
        }
    }
}

/// A call the model wants made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call, so that its result can be matched to it; some servers leave it empty.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub id: String,
    /// `function`, or a kind newer than this version.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// The function and its arguments, where the kind is `function`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionCall>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ToolCall {
    /// A call of a function, its arguments as JSON in a string.
    pub fn function(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let function = FunctionCall { name: name.into(), arguments: arguments.into(), rest: Object::new() };
        Self { id: id.into(), kind: function_kind(), function: Some(function), rest: Object::new() }
    }
}

/// A function and the arguments it is to be called with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// JSON in a string, as the model wrote it: it may not parse.
    #[serde(default, deserialize_with = "lenient::json_text")]
    pub arguments: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

pub(super) fn function_kind() -> String {
    "function".to_owned()
}
