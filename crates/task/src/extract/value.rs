//! The one way in which a value is written: what a record holds, whoever found it and however the text says it.

mod date;
mod money;
mod number;

use serde_json::{Value, json};

use super::field::{Field, FieldType};
use crate::names::nearest;

impl Field {
    /// A value as somebody said it in JSON, in the one way in which records hold it; `None` where it is none of this
    /// field's. What says nothing (`null`, an empty text or list) must be told apart before: see [`says_nothing`].
    pub fn value(&self, said: &Value) -> Option<Value> {
        match (self.kind, said) {
            (FieldType::List, Value::Array(items)) => self.list(items.iter()),
            (FieldType::List, one @ Value::String(_)) => self.list(std::iter::once(one)),
            (FieldType::Money, Value::Object(said)) => {
                let currency = said.get("currency").filter(|currency| !says_nothing(currency));
                let names_only_these = said.keys().all(|key| key == "amount" || key == "currency");
                let amount = self.amount(said.get("amount")?).filter(|_| names_only_these)?;
                let currency = match currency {
                    Some(said) => Some(money::code(said.as_str()?, self.currency.as_deref())?),
                    None => self.currency.clone(),
                };
                Some(money_value(amount, currency))
            }
            (FieldType::Money, Value::Number(amount)) => {
                Some(money_value(amount.as_f64()?, self.currency.clone()))
            }
            (FieldType::Number, Value::Number(number)) => number_value(number.as_f64()?),
            (FieldType::Enum, Value::String(word)) => self.nearest_value(word),
            (_, Value::String(text)) => self.read(text),
            (FieldType::Text, Value::Number(number)) => self.read(&number.to_string()),
            _ => None,
        }
    }

    /// A value as a piece of text says it; `None` where the piece is none of this field's, or could be read two ways.
    /// Of a list, one item. Nothing is guessed: an enum's value or a synonym must stand there, but for its case.
    pub fn read(&self, text: &str) -> Option<Value> {
        match self.kind {
            FieldType::Text => self.text(text).map(Value::String),
            FieldType::List => self.text(text).map(|item| json!([item])),
            FieldType::Number => number_value(number::parse(text, self.decimal)?),
            FieldType::Date => date::parse(text, self.order).map(Value::String),
            FieldType::Money => {
                let (amount, currency) = money::parse(text, self.decimal, self.currency.as_deref())?;
                Some(money_value(amount, currency.or_else(|| self.currency.clone())))
            }
            FieldType::Enum => self.named_value(text).map(Value::from),
        }
    }

    /// White space as single spaces; `None` where nothing is left or the pattern doesn't match.
    fn text(&self, text: &str) -> Option<String> {
        let clean = clean(text);
        let fits = self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&clean));
        (!clean.is_empty() && fits).then_some(clean)
    }

    fn list<'a>(&self, items: impl Iterator<Item = &'a Value>) -> Option<Value> {
        let items = items.filter(|item| !says_nothing(item)).map(|item| self.text(item.as_str()?));
        let mut items = items.collect::<Option<Vec<String>>>()?;
        items.sort();
        items.dedup();
        Some(json!(items))
    }

    fn amount(&self, said: &Value) -> Option<f64> {
        match said {
            Value::Number(amount) => amount.as_f64(),
            Value::String(text) => number::parse(text, self.decimal),
            _ => None,
        }
    }

    /// The declared value that a text is, or is a synonym of, whatever its case and white space.
    fn named_value(&self, text: &str) -> Option<&str> {
        let wanted = folded(text);
        let synonym = || {
            let named = self.synonyms.iter().find(|(synonym, _)| folded(synonym) == wanted);
            named.map(|(_, value)| value.as_str())
        };
        self.values.iter().map(String::as_str).find(|value| folded(value) == wanted).or_else(synonym)
    }

    /// The same, or the one that the text is a slip of the pen for.
    fn nearest_value(&self, text: &str) -> Option<Value> {
        let near = || nearest(text.trim(), self.values.iter().map(String::as_str));
        self.named_value(text).or_else(near).map(Value::from)
    }
}

/// Whether a value in JSON means that there is none.
pub fn says_nothing(said: &Value) -> bool {
    match said {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(fields) => fields.values().all(says_nothing),
        _ => false,
    }
}

/// A text with white space as single spaces.
pub fn clean(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as it is compared: lower case, and no white space, which texts and their readers set as they like.
pub(super) fn folded(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// Beyond this a number of 64 bits skips whole numbers.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A number as JSON; whole ones without a fraction, so that `9` and `9.0` are the same.
fn number_value(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() < LARGEST_WHOLE {
        return Some(json!(number as i64));
    }
    number.is_finite().then(|| json!(number))
}

fn money_value(amount: f64, currency: Option<String>) -> Value {
    let mut money = serde_json::Map::new();
    money.insert("amount".to_owned(), number_value(amount).unwrap_or_default());
    if let Some(currency) = currency {
        money.insert("currency".to_owned(), Value::from(currency));
    }
    Value::Object(money)
}

#[cfg(test)]
mod tests;
