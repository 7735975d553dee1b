//! What of an answer may be kept beside a redacted text? Labels are the task's own words; a record's are the text's.

use serde_json::Value;

use super::redact;
use crate::extract::FieldType;
use crate::input::Input;
use crate::prediction::Answer;
use crate::task::Task;

/// A text and an answer to it as a task keeps them.
pub struct Redacted {
    /// The text.
    pub text: String,
}

impl Redacted {
    /// The text without what the task wants blanked out.
    pub fn of(input: &Input, task: &Task) -> Self {
        Self { text: redact(&input.text, &task.capture.redact) }
    }

    /// An answer to the text, as it may stand beside it: in a record the same is blanked out, and texts are written as
    /// the text has them. `None` where that leaves no record of the task's, or one that gives away what the text no
    /// longer says.
    pub fn answer(&self, answer: Answer, input: &Input, task: &Task) -> Option<Answer> {
        let Answer::Fields(record) = answer else { return Some(answer) };
        let blanked = record.into_iter().map(|(field, value)| (field, blank(value, task)));
        let record = task.record(&blanked.collect(), &self.text).ok()?;
        let (before, after) = (folded(&input.text), folded(&self.text));
        let is_gone = |words: &str| before.contains(&folded(words)) && !after.contains(&folded(words));
        let copied =
            task.fields.iter().filter(|field| matches!(field.kind, FieldType::Text | FieldType::List));
        let mut words = copied.filter_map(|field| record.get(&field.name)).flat_map(words);
        (!words.any(is_gone)).then_some(Answer::Fields(record))
    }
}

fn blank(value: Value, task: &Task) -> Value {
    match value {
        Value::String(text) => redact(&text, &task.capture.redact).into(),
        Value::Array(items) => items.into_iter().map(|item| blank(item, task)).collect(),
        Value::Object(parts) => parts.into_iter().map(|(name, part)| (name, blank(part, task))).collect(),
        Value::Number(number) => {
            let digits = number.to_string();
            let blanked = redact(&digits, &task.capture.redact);
            if blanked == digits { Value::Number(number) } else { blanked.into() }
        }
        other => other,
    }
}

/// As texts are compared: whatever their case and white space.
fn folded(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Source, read_task};

    #[test]
    fn a_record_keeps_no_word_that_its_text_has_lost() {
        let text = "kind = \"extract\"\n[capture]\nenabled = true\nredact = [\"email\", \"card\", \"phone\"]\n\
            [[fields]]\nname = \"name\"\ntype = \"text\"\n[[fields]]\nname = \"mail\"\ntype = \"text\"\n\
            [[fields]]\nname = \"order\"\ntype = \"number\"\n[[fields]]\nname = \"items\"\ntype = \"list\"\n";
        let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid");
        let input = Input::new("Ada HOLM, ada@example.org, order 123456789, card 4111 1111 1111 1111: milk");
        let redacted = Redacted::of(&input, &task);
        assert_eq!(redacted.text, "Ada HOLM, [email], order [phone], card [card]: milk");
        for (said, kept) in [
            (
                json!({"name": "ada holm", "items": ["Milk"]}),
                Some(json!({"name": "Ada HOLM", "items": ["milk"]})),
            ),
            (json!({"mail": "ada@example.org"}), Some(json!({"mail": "[email]"}))),
            (json!({"items": ["a@example.org", "milk"]}), Some(json!({"items": ["[email]", "milk"]}))),
            // Blanked out, it is no number.
            (json!({"order": 123_456_789}), None),
            // A part of what was blanked out.
            (json!({"name": "4111"}), None),
            (json!({"items": ["ada@example"]}), None),
            // What the large model made up is no word of the text's.
            (json!({"name": "Grace"}), Some(json!({"name": "Grace"}))),
        ] {
            let answer = Answer::Fields(said.as_object().expect("an object").clone());
            let kept = kept.map(|kept| Answer::Fields(kept.as_object().expect("an object").clone()));
            assert_eq!(redacted.answer(answer, &input, &task), kept, "{said}");
        }
        let label = Answer::label("refund");
        assert_eq!(redacted.answer(label.clone(), &input, &task), Some(label));
    }
}
