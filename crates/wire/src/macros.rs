//! Two kinds of enum that a newer peer cannot break: a name with room for unknown names, and an object whose
//! `type` chooses its fields, with room for unknown types.

/// An enum of strings that keeps a name it does not know.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A name this version does not know, as it was written.
            Other(String),
        }

        impl $name {
            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(&*name))
            }
        }
    };
}

/// An enum of objects told apart by `type`, that keeps an object whose type it does not know.
///
/// Not `serde(tag)`: with an untagged last variant, a known type with a wrong field would pass as unknown.
macro_rules! tagged_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$variant_meta:meta])* $variant:ident($payload:ty) = $tag:literal),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant($payload),)+
            /// An object of a type this version does not know, `type` included, as it was written.
            Other($crate::Object),
        }

        impl $name {
            /// The `type` on the wire.
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $tag,)+
                    Self::Other(object) => object.get("type").and_then(serde_json::Value::as_str).unwrap_or(""),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(payload) => {
                        $crate::macros::Tagged { tag: $tag, payload }.serialize(serializer)
                    })+
                    Self::Other(object) => object.serialize(serializer),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut object = $crate::Object::deserialize(deserializer)?;
                let tag = $crate::macros::tag_of(&object).map_err(serde::de::Error::custom)?;
                match tag.as_str() {
                    $($tag => {
                        object.shift_remove("type");
                        let payload = $crate::macros::payload_of(&tag, object).map_err(serde::de::Error::custom)?;
                        Ok(Self::$variant(payload))
                    })+
                    _ => Ok(Self::Other(object)),
                }
            }
        }
    };
}

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Object;

/// A payload with its `type` in front.
#[derive(Serialize)]
pub(crate) struct Tagged<'a, T> {
    #[serde(rename = "type")]
    pub(crate) tag: &'static str,
    #[serde(flatten)]
    pub(crate) payload: &'a T,
}

/// The `type` of an object, or what to say when there is none.
pub(crate) fn tag_of(object: &Object) -> Result<String, String> {
    match object.get("type") {
        Some(Value::String(tag)) => Ok(tag.clone()),
        Some(_) => Err("`type` must be a string".to_owned()),
        None => Err("an object here needs a `type`".to_owned()),
    }
}

/// The fields of a known type, or what to say about the one that is wrong.
pub(crate) fn payload_of<T: DeserializeOwned>(tag: &str, object: Object) -> Result<T, String> {
    serde_json::from_value(Value::Object(object)).map_err(|error| format!("in `{tag}`: {error}"))
}
