//! A JSON object of which a few fields are set, and everything else stays byte for byte as it came.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::body::BodyError;

/// An object's fields in their order, values unread.
#[derive(Debug, Default)]
pub struct RawObject<'a> {
    fields: Vec<(String, Raw<'a>)>,
}

#[derive(Debug)]
enum Raw<'a> {
    Kept(&'a RawValue),
    Set(String),
}

impl<'a> RawObject<'a> {
    /// Reads an object. Values are checked for being JSON, and not taken apart.
    pub fn parse(body: &'a [u8]) -> Result<Self, BodyError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// The bytes of a field's value; of a field given twice, the last one's.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value.text())
    }

    /// Sets a field to a value that is JSON already: in the field's place, or at the end.
    pub fn set(&mut self, name: &str, json: String) {
        match self.fields.iter().position(|(field, _)| field == name) {
            Some(place) => {
                self.fields[place].1 = Raw::Set(json);
                // Given twice, it would leave the choice to whoever reads it.
                let mut is_set = false;
                self.fields.retain(|(field, _)| field != name || !std::mem::replace(&mut is_set, true));
            }
            None => self.fields.push((name.to_owned(), Raw::Set(json))),
        }
    }
}

impl fmt::Display for RawObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (number, (name, value)) in self.fields.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
            write!(f, "{comma}{name}:{}", value.text())?;
        }
        f.write_str("}")
    }
}

impl Raw<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Kept(value) => value.get(),
            Self::Set(json) => json,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, Raw::Kept(value)));
                }
                Ok(RawObject { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(body: &str, name: &str, json: &str) -> String {
        let mut object = RawObject::parse(body.as_bytes()).unwrap();
        object.set(name, json.to_owned());
        object.to_string()
    }

    #[test]
    fn a_field_is_set_in_its_place_and_the_rest_stays_byte_for_byte() {
        let rows = [
            (r#"{"model":"a","n":1}"#, r#"{"model":"b","n":1}"#),
            (r#"{"n":1}"#, r#"{"n":1,"model":"b"}"#),
            ("{}", r#"{"model":"b"}"#),
            // Numbers that no machine number holds, escapes, spaces within values.
            (
                r#"{"x":1e999,"y":0.10,"model":"a","t":"\u00e9\/","o":{ "k" : [1, 2] }}"#,
                r#"{"x":1e999,"y":0.10,"model":"b","t":"\u00e9\/","o":{ "k" : [1, 2] }}"#,
            ),
            (r#"{"model":"a","n":1,"model":"c"}"#, r#"{"model":"b","n":1}"#),
            (r#"{"mod\u0065l":"a"}"#, r#"{"model":"b"}"#),
        ];
        for (body, expected) in rows {
            assert_eq!(set(body, "model", r#""b""#), expected);
        }
    }

    #[test]
    fn a_field_given_twice_means_the_last_one() {
        let object = RawObject::parse(br#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(object.get("a"), Some("2"));
        assert_eq!(object.get("b"), None);
    }

    #[test]
    fn what_is_no_object_is_an_error_with_its_place() {
        for body in ["[1]", "{\"a\":}", "{\"a\":1", "1", ""] {
            let error = RawObject::parse(body.as_bytes()).expect_err(body);
            assert!(error.line >= 1 || body.is_empty(), "{error}");
        }
    }
}
