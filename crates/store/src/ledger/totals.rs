//! Sums for tables and dashboards, read from the rollups and never from the raw rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, named_params};
use sprat_task::{ModelId, Money, Provenance, Tokens};

use super::entry::{Ending, Source};
use super::latency::Latency;
use super::{Filter, HOUR_MS, Ledger};
use crate::columns::{count, from_word, money, unsigned};
use crate::error::{Fault, StoreError};

/// Milliseconds in a day (UTC).
const DAY_MS: i64 = 24 * HOUR_MS;

/// Whole requests, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many were recorded.
    pub requests: u64,
    /// Of these, answered by a small model.
    pub small: u64,
    /// Of these, left to the end of the ladder, whatever came of it.
    pub escalated: u64,
    /// Of these, without an answer because the large model failed.
    pub failed: u64,
    /// The sum of the costs that are known.
    pub cost: Money,
    /// Requests whose cost is unknown, and not in `cost`.
    pub cost_unknown: u64,
    /// The sum of what the large model alone would have cost, where that is known.
    pub baseline: Money,
    /// Requests whose baseline is unknown, and not in `baseline`.
    pub baseline_unknown: u64,
    /// Requests whose baseline is an estimate.
    pub baseline_estimated: u64,
    /// The requests of which both are known: what a saving may be computed from.
    pub compared: Compared,
    /// From accepting to answering.
    pub latency: Latency,
    /// The weakest provenance among them; `None` without requests.
    pub provenance: Option<Provenance>,
    /// Requests that could not be recorded, and so are in none of these sums. Those torn by a crash, whose task is not
    /// known, count for every task.
    pub lost: u64,
}

/// Requests of which both cost and baseline are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many.
    pub requests: u64,
    /// What they cost.
    pub cost: Money,
    /// What the large model alone would have cost.
    pub baseline: Money,
}

impl Compared {
    /// What was saved; negative where the ladder cost more.
    pub fn saved(&self) -> Money {
        self.baseline - self.cost
    }
}

/// One model's steps, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTotals {
    /// Which model.
    pub model: ModelId,
    /// How often it was tried.
    pub steps: u64,
    /// How often its answer was the request's.
    pub answered: u64,
    /// How often it failed.
    pub failed: u64,
    /// The sum of the costs that are known.
    pub cost: Money,
    /// Steps whose cost is unknown.
    pub cost_unknown: u64,
    /// The sum of the tokens that are known.
    pub tokens: Tokens,
    /// Steps whose tokens are unknown, or that have none.
    pub tokens_unknown: u64,
    /// Latency of its steps.
    pub latency: Latency,
    /// The weakest provenance among them.
    pub provenance: Provenance,
}

impl Ledger<'_> {
    /// All that the filter lets through, summed.
    pub fn totals(&self, filter: &Filter) -> Result<Totals, StoreError> {
        let mut all = self.sums_by(filter, "0", |_| Ok(()))?;
        let mut totals = all.remove(&()).unwrap_or_default();
        totals.lost = self.lost(filter)?;
        Ok(totals)
    }

    /// Sums for each kind of request that occurs. `lost` is 0 here: see [`totals`](Self::totals).
    pub fn per_source(&self, filter: &Filter) -> Result<Vec<(Source, Totals)>, StoreError> {
        let sums = self.sums_by(filter, "source", |row| from_word("source", row.get("grouped")?))?;
        Ok(sums.into_iter().collect())
    }

    /// Sums for each day (UTC) that has any, by the day's first millisecond. `lost` is 0 here.
    pub fn per_day(&self, filter: &Filter) -> Result<Vec<(i64, Totals)>, StoreError> {
        // SQLite's division rounds towards zero; days before 1970 don't occur.
        let days = self.sums_by(filter, "hour / 24", |row| Ok(row.get::<_, i64>("grouped")?))?;
        Ok(days.into_iter().map(|(day, totals)| (day * DAY_MS, totals)).collect())
    }

    /// Sums for each hour that has any, by the hour's first millisecond. `lost` is 0 here.
    pub fn per_hour(&self, filter: &Filter) -> Result<Vec<(i64, Totals)>, StoreError> {
        let hours = self.sums_by(filter, "hour", |row| Ok(row.get::<_, i64>("grouped")?))?;
        Ok(hours.into_iter().map(|(hour, totals)| (hour * HOUR_MS, totals)).collect())
    }

    /// How many requests each model answered, most first; `None` counts those that nobody answered.
    pub fn answered_by(&self, filter: &Filter) -> Result<Vec<(Option<ModelId>, u64)>, StoreError> {
        self.up_to_date();
        let bounds = Bounds::of(filter);
        self.store.read(|connection| {
            let sql = format!(
                "SELECT answered_by, sum(requests) AS requests FROM ledger_hour WHERE {} GROUP BY answered_by
                 ORDER BY requests DESC, answered_by",
                bounds.sql
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
            ":task": bounds.task, ":first": bounds.first, ":last": bounds.last })?;
            let mut answered = Vec::new();
            while let Some(row) = rows.next()? {
                let model: String = row.get("answered_by")?;
                answered.push(((!model.is_empty()).then(|| model.into()), count(row, "requests")?));
            }
            Ok(answered)
        })
    }

    /// Sums for each model that took a step, in the order of their names.
    pub fn per_model(&self, filter: &Filter) -> Result<Vec<ModelTotals>, StoreError> {
        self.up_to_date();
        let bounds = Bounds::of(filter);
        self.store.read(|connection| {
            let sql = format!("SELECT * FROM ledger_model_hour WHERE {}", bounds.sql);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
            ":task": bounds.task, ":first": bounds.first, ":last": bounds.last })?;
            let mut models: BTreeMap<String, ModelTotals> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                add_model_row(&mut models, row)?;
            }
            for (name, buckets) in latencies_by_model(connection, &bounds)? {
                if let Some(model) = models.get_mut(&name) {
                    model.latency.buckets = buckets;
                }
            }
            Ok(models.into_values().collect())
        })
    }

    /// How many requests could not be recorded: no space, torn by a crash, unreadable.
    pub fn lost(&self, filter: &Filter) -> Result<u64, StoreError> {
        self.up_to_date();
        let bounds = Bounds::of(filter);
        self.store.read(|connection| {
            let lost: i64 = connection.query_row(
                "SELECT coalesce(sum(count), 0) FROM ledger_lost
                 WHERE task = '' OR ((:task IS NULL OR task = :task) AND hour BETWEEN :first AND :last)",
                named_params! { ":task": bounds.task, ":first": bounds.first, ":last": bounds.last },
                |row| row.get(0),
            )?;
            Ok(unsigned(lost))
        })
    }

    /// Sums by an SQL expression over the rollup's key columns.
    fn sums_by<K: Ord>(
        &self,
        filter: &Filter,
        group: &str,
        key: impl Fn(&Row<'_>) -> Result<K, Fault>,
    ) -> Result<BTreeMap<K, Totals>, StoreError> {
        self.up_to_date();
        let bounds = Bounds::of(filter);
        self.store.read(|connection| {
            let sql = format!("SELECT *, {group} AS grouped FROM ledger_hour WHERE {}", bounds.sql);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
            ":task": bounds.task, ":first": bounds.first, ":last": bounds.last })?;
            let mut sums: BTreeMap<K, Totals> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                add_request_row(sums.entry(key(row)?).or_default(), row)?;
            }
            let sql = format!(
                "SELECT {group} AS grouped, bucket, sum(count) AS count FROM ledger_latency_hour
                 WHERE {} AND model = '' GROUP BY grouped, bucket ORDER BY bucket",
                bounds.sql
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
            ":task": bounds.task, ":first": bounds.first, ":last": bounds.last })?;
            while let Some(row) = rows.next()? {
                if let Some(totals) = sums.get_mut(&key(row)?) {
                    totals.latency.buckets.push((row.get("bucket")?, count(row, "count")?));
                }
            }
            Ok(sums)
        })
    }
}

/// A filter in SQL.
struct Bounds {
    sql: String,
    task: Option<String>,
    first: i64,
    last: i64,
}

impl Bounds {
    fn of(filter: &Filter) -> Self {
        let (first, last) = match &filter.period {
            None => (i64::MIN, i64::MAX),
            Some(period) => {
                (period.start.div_euclid(HOUR_MS), period.end.saturating_sub(1).div_euclid(HOUR_MS))
            }
        };
        let task = if filter.task.is_some() { "task = :task" } else { ":task IS NULL" };
        let sql = format!(
            "{task} AND hour BETWEEN :first AND :last AND source IN ({})",
            Source::words(filter.spend)
        );
        Self { sql, task: filter.task.as_ref().map(ToString::to_string), first, last }
    }
}

/// The histogram of each model's steps.
fn latencies_by_model(
    connection: &Connection,
    bounds: &Bounds,
) -> Result<BTreeMap<String, Vec<(u32, u64)>>, Fault> {
    let sql = format!(
        "SELECT model, bucket, sum(count) AS count FROM ledger_latency_hour
         WHERE {} AND model <> '' GROUP BY model, bucket ORDER BY bucket",
        bounds.sql
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(named_params! {
    ":task": bounds.task, ":first": bounds.first, ":last": bounds.last })?;
    let mut found: BTreeMap<String, Vec<(u32, u64)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get("model")?).or_default().push((row.get("bucket")?, count(row, "count")?));
    }
    Ok(found)
}

fn add_request_row(totals: &mut Totals, row: &Row<'_>) -> Result<(), Fault> {
    let ending: Ending = from_word("ending", row.get("ending")?)?;
    let provenance: Provenance = from_word("provenance", row.get("provenance")?)?;
    let requests = count(row, "requests")?;
    totals.requests += requests;
    totals.small += if ending == Ending::Small { requests } else { 0 };
    totals.escalated += if ending.is_escalated() { requests } else { 0 };
    totals.failed += if ending == Ending::Failed { requests } else { 0 };
    totals.cost += money(row, "cost_known")?;
    totals.cost_unknown += count(row, "cost_unknown")?;
    totals.baseline += money(row, "baseline_known")?;
    totals.baseline_unknown += count(row, "baseline_unknown")?;
    totals.baseline_estimated += count(row, "baseline_estimated")?;
    totals.compared.requests += count(row, "compared")?;
    totals.compared.cost += money(row, "compared_cost")?;
    totals.compared.baseline += money(row, "compared_baseline")?;
    totals.latency.count += requests;
    totals.latency.sum_us += count(row, "latency_us")?;
    totals.provenance = Some(totals.provenance.map_or(provenance, |earlier| earlier.weaker(provenance)));
    Ok(())
}

fn add_model_row(models: &mut BTreeMap<String, ModelTotals>, row: &Row<'_>) -> Result<(), Fault> {
    let name: String = row.get("model")?;
    let provenance: Provenance = from_word("provenance", row.get("provenance")?)?;
    let steps = count(row, "steps")?;
    let sum = models.entry(name).or_insert_with_key(|name| ModelTotals {
        model: name.as_str().into(),
        steps: 0,
        answered: 0,
        failed: 0,
        cost: Money::ZERO,
        cost_unknown: 0,
        tokens: Tokens::default(),
        tokens_unknown: 0,
        latency: Latency::default(),
        provenance,
    });
    sum.steps += steps;
    sum.answered += count(row, "answered")?;
    sum.failed += count(row, "failed")?;
    sum.cost += money(row, "cost_known")?;
    sum.cost_unknown += count(row, "cost_unknown")?;
    sum.tokens = sum.tokens
        + Tokens {
            input: count(row, "input_tokens")?,
            cached_input: count(row, "cached_input")?,
            cache_write: count(row, "cache_write")?,
            output: count(row, "output_tokens")?,
        };
    sum.tokens_unknown += count(row, "tokens_unknown")?;
    sum.latency.count += steps;
    sum.latency.sum_us += count(row, "latency_us")?;
    sum.provenance = sum.provenance.weaker(provenance);
    Ok(())
}
