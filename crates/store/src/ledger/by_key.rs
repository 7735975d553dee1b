//! What each virtual key has spent.

use rusqlite::{Row, named_params};
use sprat_task::{KeyId, Money};

use super::{HOUR_MS, Ledger};
use crate::columns::{count, money};
use crate::error::{Fault, StoreError};

/// The requests of one key, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTotals {
    /// Whose.
    pub key: KeyId,
    /// How many were recorded.
    pub requests: u64,
    /// Of these, answered by a small model.
    pub small: u64,
    /// The sum of the costs that are known.
    pub cost: Money,
    /// Requests whose cost is unknown, and not in `cost`.
    pub cost_unknown: u64,
    /// What is held of the key's budget for them.
    pub held: Money,
}

impl KeyTotals {
    /// What the key's budget has been charged.
    pub fn charged(&self) -> Money {
        self.cost + self.held
    }
}

impl Ledger<'_> {
    /// What keys have spent since a moment, in milliseconds since 1970: of one key, or of every key that has asked
    /// anything, by name. Sums are kept by the hour: the hour of the moment counts whole.
    pub fn per_key(&self, key: Option<&KeyId>, since_unix_ms: i64) -> Result<Vec<KeyTotals>, StoreError> {
        self.up_to_date();
        self.store.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, sum(requests) AS requests, sum(small) AS small, sum(cost_known) AS cost_known,
                        sum(cost_unknown) AS cost_unknown, sum(held) AS held
                 FROM ledger_key_hour WHERE hour >= :first AND (:key IS NULL OR key = :key)
                 GROUP BY key ORDER BY key",
            )?;
            let first = since_unix_ms.div_euclid(HOUR_MS);
            let mut rows =
                statement.query(named_params! { ":first": first, ":key": key.map(KeyId::as_str) })?;
            let mut totals = Vec::new();
            while let Some(row) = rows.next()? {
                totals.push(read_totals(row)?);
            }
            Ok(totals)
        })
    }
}

fn read_totals(row: &Row<'_>) -> Result<KeyTotals, Fault> {
    Ok(KeyTotals {
        key: row.get::<_, String>("key")?.into(),
        requests: count(row, "requests")?,
        small: count(row, "small")?,
        cost: money(row, "cost_known")?,
        cost_unknown: count(row, "cost_unknown")?,
        held: money(row, "held")?,
    })
}
