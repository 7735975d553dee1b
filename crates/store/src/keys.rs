//! Virtual keys: who may ask, and for how much. Of a key itself only a keyed digest is here.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use sprat_task::{Allowance, KeyDigest, KeyId};

use crate::columns::{from_json, to_json, unsigned};
use crate::error::{Fault, StoreError};
use crate::store::Store;

/// The keys of a store.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub(super) store: &'a Store,
}

/// A virtual key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its name, which is never given again.
    #[serde(rename = "name")]
    pub id: KeyId,
    /// The first characters of the key, to recognise it by.
    pub shown: String,
    /// What a key that is shown is looked up by.
    #[serde(skip)]
    pub digest: KeyDigest,
    /// What it may do.
    pub allowance: Allowance,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: i64,
    /// From when on it is no longer taken; `None`: never.
    pub expires_unix_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_unix_ms: Option<i64>,
}

impl Key {
    /// Whether it is taken at a moment, in milliseconds since 1970.
    pub fn is_good(&self, unix_ms: i64) -> bool {
        self.revoked_unix_ms.is_none() && self.expires_unix_ms.is_none_or(|end| unix_ms < end)
    }
}

impl Keys<'_> {
    /// Adds a key. A name that was ever given is refused.
    pub fn add(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        self.store.write(move |connection| {
            if read_key(connection, &key.id)?.is_some() {
                return Err(StoreError::KeyExists(key.id).into());
            }
            connection.execute(
                "INSERT INTO virtual_key
                 (name, shown, digest, allowance, created_unix_ms, expires_unix_ms, revoked_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    key.id.as_str(),
                    &key.shown,
                    key.digest.to_hex(),
                    to_json("allowance", &key.allowance)?,
                    key.created_unix_ms,
                    key.expires_unix_ms,
                    key.revoked_unix_ms,
                ),
            )?;
            raise_generation(connection)
        })
    }

    /// All keys by name, also those that are no longer taken.
    pub fn all(&self) -> Result<Vec<Key>, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM virtual_key ORDER BY name")?;
            let mut rows = statement.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(read(row)?);
            }
            Ok(keys)
        })
    }

    /// The key of a name.
    pub fn key(&self, id: &KeyId) -> Result<Key, StoreError> {
        self.store.read(|connection| find(connection, id))
    }

    /// Takes a key no longer. One that is revoked already stays revoked since then.
    pub fn revoke(&self, id: &KeyId, time_unix_ms: i64) -> Result<Key, StoreError> {
        let id = id.clone();
        self.store.write(move |connection| {
            find(connection, &id)?;
            connection.execute(
                "UPDATE virtual_key SET revoked_unix_ms = coalesce(revoked_unix_ms, ?2) WHERE name = ?1",
                (id.as_str(), time_unix_ms),
            )?;
            raise_generation(connection)?;
            find(connection, &id)
        })
    }

    /// Puts another key in a key's place: the same name, allowance and spending; what was shown before is no longer
    /// taken. A revoked key stays revoked.
    pub fn rotate(&self, id: &KeyId, shown: &str, digest: KeyDigest) -> Result<Key, StoreError> {
        let (id, shown) = (id.clone(), shown.to_owned());
        self.store.write(move |connection| {
            find(connection, &id)?;
            connection.execute(
                "UPDATE virtual_key SET shown = ?2, digest = ?3 WHERE name = ?1",
                (id.as_str(), shown, digest.to_hex()),
            )?;
            raise_generation(connection)?;
            find(connection, &id)
        })
    }

    /// Grows with every change of a key. A server that sees it grow reads them again.
    pub fn generation(&self) -> Result<u64, StoreError> {
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT number FROM key_generation")?;
            Ok(unsigned(statement.query_row([], |row| row.get(0))?))
        })
    }
}

fn find(connection: &Connection, id: &KeyId) -> Result<Key, Fault> {
    read_key(connection, id)?.ok_or_else(|| StoreError::NoKey(id.clone()).into())
}

fn read_key(connection: &Connection, id: &KeyId) -> Result<Option<Key>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM virtual_key WHERE name = ?1")?;
    let found = statement.query_row([id.as_str()], |row| Ok(read(row))).optional()?;
    found.transpose()
}

fn read(row: &Row<'_>) -> Result<Key, Fault> {
    let digest: String = row.get("digest")?;
    Ok(Key {
        id: row.get::<_, String>("name")?.into(),
        shown: row.get("shown")?,
        digest: KeyDigest::from_hex(&digest).ok_or(StoreError::Damaged {
            what: "key",
            why: "its digest is not 64 hexadecimal digits".to_owned(),
        })?,
        allowance: from_json("allowance", &row.get::<_, String>("allowance")?)?,
        created_unix_ms: row.get("created_unix_ms")?,
        expires_unix_ms: row.get("expires_unix_ms")?,
        revoked_unix_ms: row.get("revoked_unix_ms")?,
    })
}

fn raise_generation(connection: &Connection) -> Result<(), Fault> {
    connection.execute("UPDATE key_generation SET number = number + 1", [])?;
    Ok(())
}
