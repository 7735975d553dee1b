//! `GET /v1/models`.

use serde::{Deserialize, Serialize};

use crate::{Object, lenient};

/// The models a server has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// `list`.
    #[serde(default = "list_object")]
    pub object: String,
    /// The models.
    pub data: Vec<ModelEntry>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ModelList {
    /// A list of these models.
    pub fn new(data: Vec<ModelEntry>) -> Self {
        Self { object: list_object(), data, rest: Object::new() }
    }
}

/// A model by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// The name a request gives.
    pub id: String,
    /// `model`.
    #[serde(default = "model_object")]
    pub object: String,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::seconds", skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Who made it.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub owned_by: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ModelEntry {
    /// A model of this name.
    pub fn new(id: impl Into<String>, created: u64, owned_by: impl Into<String>) -> Self {
        let owned_by = owned_by.into();
        Self { id: id.into(), object: model_object(), created: Some(created), owned_by, rest: Object::new() }
    }
}

fn list_object() -> String {
    "list".to_owned()
}

fn model_object() -> String {
    "model".to_owned()
}
