//! Calls from imported logs, with their text: the user gave it, and can have it forgotten.

use rusqlite::{Connection, Row, named_params};
use sprat_task::{Money, Sha256Hex};

use crate::columns::{
    count, count_option, from_json, from_word, hash, money_option, signed, to_json, unsigned,
};
use crate::error::{Fault, StoreError};
use crate::pages::pages;
use crate::store::Store;

/// The imported calls of a store.
#[derive(Clone, Copy)]
pub struct Calls<'a> {
    pub(super) store: &'a Store,
}

/// One call from a log.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedCall {
    /// Digest of the call itself: the same call imported again is known.
    pub content: Sha256Hex,
    /// The model that answered, as the log names it.
    pub model: Option<String>,
    /// Digest of the system prompt.
    pub system_prompt: Option<Sha256Hex>,
    /// Digest of the schema the answer was asked in.
    pub schema: Option<Sha256Hex>,
    /// When, in milliseconds since 1970, where the log says.
    pub time_unix_ms: Option<i64>,
    /// Tokens in, where the log says.
    pub input_tokens: Option<u64>,
    /// Tokens out, where the log says.
    pub output_tokens: Option<u64>,
    /// What it cost, where that is known.
    pub cost: Option<Money>,
    /// The conversation or user it belongs to, where the log says.
    pub session: Option<String>,
    /// The whole call, normalised.
    pub call: serde_json::Value,
}

/// Which calls. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Those that came first with this import.
    pub import: Option<i64>,
    /// Those with this system prompt.
    pub system_prompt: Option<Sha256Hex>,
    /// Those that this model answered.
    pub model: Option<String>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its number.
    pub id: i64,
    /// The file it came from, as the user named it.
    pub source: String,
    /// When it was begun, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Calls that were new.
    pub added: u64,
    /// Calls that had been imported before.
    pub known: u64,
}

impl Calls<'_> {
    /// Begins an import; returns its number for [`add`](Self::add).
    pub fn begin_import(&self, source: &str, time_unix_ms: i64) -> Result<i64, StoreError> {
        let source = source.to_owned();
        self.store.write(move |connection| {
            Ok(connection.query_row(
                "INSERT INTO import (source, time_unix_ms, added, known) VALUES (?1, ?2, 0, 0) RETURNING id",
                (source, time_unix_ms),
                |row| row.get(0),
            )?)
        })
    }

    /// Adds calls to an import, some thousand at a time for speed; they are on the disk when this returns. Returns how
    /// many were new: the others were imported before, and stay as they were.
    pub fn add(&self, import: i64, calls: Vec<ImportedCall>) -> Result<u64, StoreError> {
        self.store.write(move |connection| {
            let mut added = 0;
            for call in &calls {
                added += insert(connection, import, call)?;
            }
            let known = calls.len() as u64 - added;
            let changed = connection
                .prepare_cached("UPDATE import SET added = added + ?2, known = known + ?3 WHERE id = ?1")?
                .execute((import, signed(added), signed(known)))?;
            match changed {
                0 => Err(StoreError::NoSuch { what: "import", number: import }.into()),
                _ => Ok(added),
            }
        })
    }

    /// The imports, oldest first.
    pub fn imports(&self) -> Result<Vec<Import>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM import ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut imports = Vec::new();
            while let Some(row) = rows.next()? {
                imports.push(Import {
                    id: row.get("id")?,
                    source: row.get("source")?,
                    time_unix_ms: row.get("time_unix_ms")?,
                    added: count(row, "added")?,
                    known: count(row, "known")?,
                });
            }
            Ok(imports)
        })
    }

    /// How many calls the filter lets through.
    pub fn count(&self, filter: &CallFilter) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            let sql = format!("SELECT count(*) FROM call WHERE {}", condition(filter));
            let number = connection.query_row(
                &sql,
                named_params! {
                    ":import": filter.import,
                    ":system_prompt": filter.system_prompt.as_ref().map(Sha256Hex::as_str),
                    ":model": filter.model,
                },
                |row| row.get(0),
            )?;
            Ok(unsigned(number))
        })
    }

    /// The calls, in the order they were imported, in constant memory.
    pub fn iter(
        &self,
        filter: &CallFilter,
    ) -> impl Iterator<Item = Result<ImportedCall, StoreError>> + use<> {
        let filter = filter.clone();
        let sql = format!(
            "SELECT * FROM call WHERE id > :after AND {} ORDER BY id LIMIT :limit",
            condition(&filter)
        );
        pages(self.store.clone(), 0, move |connection, after, limit| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
                ":after": after,
                ":limit": limit as i64,
                ":import": filter.import,
                ":system_prompt": filter.system_prompt.as_ref().map(Sha256Hex::as_str),
                ":model": filter.model,
            })?;
            let mut page = Vec::new();
            while let Some(row) = rows.next()? {
                page.push((row.get("id")?, read_call(row)?));
            }
            Ok(page)
        })
    }

    /// Deletes calls and their text: those that came first with one import, or all. The text is overwritten in the
    /// file. Returns how many there were.
    pub fn forget(&self, import: Option<i64>) -> Result<u64, StoreError> {
        let forgotten = self.store.write(move |connection| {
            let calls =
                connection.execute("DELETE FROM call WHERE ?1 IS NULL OR import = ?1", [import])? as u64;
            connection.execute("DELETE FROM import WHERE ?1 IS NULL OR id = ?1", [import])?;
            Ok(calls)
        })?;
        self.store.shorten_log()?;
        Ok(forgotten)
    }
}

/// Every parameter occurs, so that one set fits every filter.
fn condition(filter: &CallFilter) -> String {
    let one = |column: &str, given: bool| {
        if given { format!("{column} = :{column}") } else { format!(":{column} IS NULL") }
    };
    [
        one("import", filter.import.is_some()),
        one("system_prompt", filter.system_prompt.is_some()),
        one("model", filter.model.is_some()),
    ]
    .join(" AND ")
}

fn insert(connection: &Connection, import: i64, call: &ImportedCall) -> Result<u64, Fault> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO call (import, content, model, system_prompt, schema, time_unix_ms, input_tokens,
                               output_tokens, cost, session, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (content) DO NOTHING",
        )?
        .execute((
            import,
            call.content.as_str(),
            &call.model,
            call.system_prompt.as_ref().map(Sha256Hex::as_str),
            call.schema.as_ref().map(Sha256Hex::as_str),
            call.time_unix_ms,
            call.input_tokens.map(signed),
            call.output_tokens.map(signed),
            call.cost.map(Money::micro),
            &call.session,
            to_json("call", &call.call)?,
        ))?;
    Ok(changed as u64)
}

fn read_call(row: &Row<'_>) -> Result<ImportedCall, Fault> {
    let digest = |column: &str| -> Result<Option<Sha256Hex>, Fault> {
        row.get::<_, Option<String>>(column)?.map(|text| from_word("digest", text)).transpose()
    };
    Ok(ImportedCall {
        content: hash(row, "content")?,
        model: row.get("model")?,
        system_prompt: digest("system_prompt")?,
        schema: digest("schema")?,
        time_unix_ms: row.get("time_unix_ms")?,
        input_tokens: count_option(row, "input_tokens")?,
        output_tokens: count_option(row, "output_tokens")?,
        cost: money_option(row, "cost")?,
        session: row.get("session")?,
        call: from_json("call", &row.get::<_, String>("json")?)?,
    })
}
