//! How does a person write a value on one line, and what does such a line say?

use serde_json::{Value, json};

use super::field::{Field, FieldType};

/// What separates the items of a list on one line.
const BETWEEN_ITEMS: char = '|';

impl Field {
    /// The value that a person's line says: as a text says it, the items of a list separated by `|`, or as JSON in quotes,
    /// brackets or braces. `None` where it is none of this field's.
    pub fn said(&self, line: &str) -> Option<Value> {
        let line = line.trim();
        if line.starts_with(['"', '[', '{'])
            && let Ok(json) = serde_json::from_str::<Value>(line)
        {
            return self.value(&json);
        }
        let read = match self.kind {
            FieldType::List => self.value(&line.split(BETWEEN_ITEMS).collect()),
            _ => self.value(&Value::from(line)),
        };
        // Numbers as no text writes them, such as 1e-7.
        read.or_else(|| self.value(&serde_json::from_str(line).ok().filter(Value::is_number)?))
    }

    /// A value of this field's as a person would write it: [`said`](Self::said) reads the same again.
    pub fn written(&self, value: &Value) -> String {
        let comma = |number: &Value| match self.decimal {
            ',' => number.to_string().replace('.', ","),
            _ => number.to_string(),
        };
        let plain = match (self.kind, value) {
            (FieldType::List, Value::Array(items)) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                items.join(&format!(" {BETWEEN_ITEMS} "))
            }
            (FieldType::Money, Value::Object(money)) => {
                let currency = money.get("currency").and_then(Value::as_str).unwrap_or_default();
                format!("{} {currency}", comma(money.get("amount").unwrap_or(&json!(null)))).trim().to_owned()
            }
            (_, Value::String(text)) => text.clone(),
            (_, other) => comma(other),
        };
        if self.said(&plain).as_ref() == Some(value) { plain } else { value.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Source, Task, read_task};

    fn task() -> Task {
        let text = "kind = \"extract\"\n\
            [[fields]]\nname = \"text\"\ntype = \"text\"\n\
            [[fields]]\nname = \"number\"\ntype = \"number\"\n\
            [[fields]]\nname = \"nombre\"\ntype = \"number\"\ndecimal = \",\"\n\
            [[fields]]\nname = \"date\"\ntype = \"date\"\norder = \"dmy\"\n\
            [[fields]]\nname = \"money\"\ntype = \"money\"\n\
            [[fields]]\nname = \"geld\"\ntype = \"money\"\ndecimal = \",\"\n\
            [[fields]]\nname = \"enum\"\ntype = \"enum\"\nvalues = [\"inside\", \"terrace\"]\nsynonyms = { outside = \"terrace\" }\n\
            [[fields]]\nname = \"list\"\ntype = \"list\"\n";
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid")
    }

    #[test]
    fn a_line_says_a_value_as_a_text_or_as_json_would() {
        let task = task();
        for (field, line, value) in [
            ("text", " Ada  Holm ", json!("Ada Holm")),
            ("text", "\"q\"", json!("q")),
            ("text", "\"unclosed", json!("\"unclosed")),
            ("number", "1,234.5", json!(1234.5)),
            ("nombre", "1.234,5", json!(1234.5)),
            ("date", "3/4/2026", json!("2026-04-03")),
            ("money", "9 EUR", json!({"amount": 9, "currency": "EUR"})),
            ("money", "{\"amount\": 9, \"currency\": \"eur\"}", json!({"amount": 9, "currency": "EUR"})),
            ("enum", "outside", json!("terrace")),
            ("list", "nuts| milk", json!(["milk", "nuts"])),
            ("list", "[\"a|b\"]", json!(["a|b"])),
        ] {
            assert_eq!(task.field(field).expect("declared").said(line), Some(value), "{field}: {line}");
        }
        for (field, line) in [("number", "five"), ("enum", "roof"), ("date", "soon"), ("number", "")] {
            assert_eq!(task.field(field).expect("declared").said(line), None, "{field}: {line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_says_the_same_again(
            text in "[a-z|\"\\[{ ,.0-9]{1,12}", amount in -1e9..1e9_f64, whole in -1_000_000..1_000_000_i64,
            items in prop::collection::vec("[a-z|\" ]{1,6}", 1..4), coin in 0..3_usize,
        ) {
            let task = task();
            let currency = ["EUR", "USD", "GBP"][coin];
            let given = [
                ("text", json!(text)), ("number", json!(amount)), ("nombre", json!(amount)), ("number", json!(whole)),
                ("nombre", json!(whole)), ("date", json!("2026-12-24")), ("list", json!(items)),
                ("money", json!({"amount": amount, "currency": currency})), ("money", json!({"amount": whole})),
                ("geld", json!({"amount": amount, "currency": currency})), ("enum", json!("terrace")),
            ];
            for (name, value) in given {
                let field = task.field(name).expect("declared");
                // What is no value of the field needn't be written.
                let Some(value) = field.value(&value) else { continue };
                let line = field.written(&value);
                prop_assert_eq!(field.said(&line), Some(value), "{}: {}", name, line);
            }
        }
    }
}
