//! How our words become columns, and columns our words again.

use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sprat_task::{Money, Sha256Hex};

use crate::error::{Fault, StoreError};

/// A value as JSON text.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}

/// JSON text as a value.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

/// An optional value as JSON text.
pub(crate) fn to_json_option<T: Serialize>(
    what: &'static str,
    value: Option<&T>,
) -> Result<Option<String>, Fault> {
    value.map(|value| to_json(what, value)).transpose()
}

/// Optional JSON text as a value.
pub(crate) fn from_json_option<T: DeserializeOwned>(
    what: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Fault> {
    text.map(|text| from_json(what, &text)).transpose()
}

/// The word of an enum without data, as serde spells it.
pub(crate) fn to_word<T: Serialize>(what: &'static str, value: &T) -> Result<String, Fault> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(damaged(what, format!("{other} is not a word"))),
        Err(error) => Err(damaged(what, error)),
    }
}

/// The enum without data of that word; also any type that serde reads from one string.
pub(crate) fn from_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, Fault> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| damaged(what, error))
}

/// A count as SQLite has them: signed. Nothing we count reaches 2^63.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from SQLite. A negative one can't have been written by us, and counts as none.
pub(crate) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A column that counts something.
pub(crate) fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(unsigned(row.get(column)?))
}

/// A column that counts something, where that is known.
pub(crate) fn count_option(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(unsigned))
}

/// A column of money.
pub(crate) fn money(row: &Row<'_>, column: &str) -> rusqlite::Result<Money> {
    Ok(Money::from_micro(row.get(column)?))
}

/// A column of money that may be unknown.
pub(crate) fn money_option(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Money>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Money::from_micro))
}

/// A column that holds a digest.
pub(crate) fn hash(row: &Row<'_>, column: &str) -> Result<Sha256Hex, Fault> {
    from_word("digest", row.get(column)?)
}

pub(crate) fn damaged(what: &'static str, why: impl ToString) -> Fault {
    Fault::Ours(StoreError::Damaged { what, why: why.to_string() })
}
