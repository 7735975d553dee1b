//! Sums by the hour, added up in memory for a whole batch and then written once for each key.

use std::collections::HashMap;

use rusqlite::{Connection, named_params};
use sprat_task::{Money, Step};

use super::HOUR_MS;
use super::entry::{Ending, LedgerEntry};
use super::latency::bucket;
use crate::columns::{signed, to_word};
use crate::error::Fault;

/// What a batch adds to the sums.
#[derive(Default)]
pub(super) struct Sums {
    requests: HashMap<RequestKey, RequestSum>,
    models: HashMap<ModelKey, ModelSum>,
    latencies: HashMap<LatencyKey, i64>,
    keys: HashMap<OfKey, KeySum>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    task: String,
    hour: i64,
    source: &'static str,
}

#[derive(PartialEq, Eq, Hash)]
struct RequestKey {
    place: Place,
    ending: &'static str,
    answered_by: String,
    provenance: String,
}

#[derive(Default)]
struct RequestSum {
    requests: i64,
    cost: Known,
    baseline: Known,
    estimated: i64,
    compared: i64,
    compared_cost: Money,
    compared_baseline: Money,
    latency_us: i64,
}

#[derive(PartialEq, Eq, Hash)]
struct ModelKey {
    place: Place,
    model: String,
    provenance: String,
}

#[derive(Default)]
struct ModelSum {
    steps: i64,
    answered: i64,
    failed: i64,
    cost: Known,
    input: i64,
    cached: i64,
    cache_write: i64,
    output: i64,
    tokens_unknown: i64,
    latency_us: i64,
}

#[derive(PartialEq, Eq, Hash)]
struct LatencyKey {
    place: Place,
    /// Empty for whole requests.
    model: String,
    bucket: u32,
}

#[derive(PartialEq, Eq, Hash)]
struct OfKey {
    key: String,
    hour: i64,
}

#[derive(Default)]
struct KeySum {
    requests: i64,
    small: i64,
    cost: Known,
    held: Money,
}

/// A sum, and how many of its terms nobody knows.
#[derive(Default)]
struct Known {
    sum: Money,
    unknown: i64,
}

impl Known {
    fn add(&mut self, amount: Option<Money>) {
        match amount {
            Some(amount) => self.sum += amount,
            None => self.unknown += 1,
        }
    }
}

impl Sums {
    pub(super) fn add(&mut self, entry: &LedgerEntry) -> Result<(), Fault> {
        let place = Place {
            task: entry.task.to_string(),
            hour: entry.time_unix_ms.div_euclid(HOUR_MS),
            source: entry.source.word(),
        };
        let provenance = to_word("provenance", &entry.provenance)?;
        for step in &entry.steps {
            self.add_step(&place, &provenance, step);
        }
        self.add_latency(&place, "", entry.latency_us);
        self.add_to_key(place.hour, entry);
        let key = RequestKey {
            place,
            ending: entry.ending.word(),
            answered_by: entry.answered_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            provenance,
        };
        let sum = self.requests.entry(key).or_default();
        sum.requests += 1;
        sum.cost.add(entry.cost);
        sum.baseline.add(entry.baseline_all_large);
        sum.estimated += i64::from(entry.baseline_is_estimated && entry.baseline_all_large.is_some());
        sum.latency_us = sum.latency_us.saturating_add(signed(entry.latency_us));
        if let (Some(cost), Some(baseline)) = (entry.cost, entry.baseline_all_large) {
            sum.compared += 1;
            sum.compared_cost += cost;
            sum.compared_baseline += baseline;
        }
        Ok(())
    }

    fn add_to_key(&mut self, hour: i64, entry: &LedgerEntry) {
        let Some(key) = &entry.key else { return };
        let sum = self.keys.entry(OfKey { key: key.to_string(), hour }).or_default();
        sum.requests += 1;
        sum.small += i64::from(entry.ending == Ending::Small);
        sum.cost.add(entry.cost);
        if entry.cost.is_none() {
            sum.held += entry.charge();
        }
    }

    fn add_step(&mut self, place: &Place, provenance: &str, step: &Step) {
        let model = step.model.to_string();
        self.add_latency(place, &model, step.latency_us);
        let key = ModelKey { place: place.clone(), model, provenance: provenance.to_owned() };
        let sum = self.models.entry(key).or_default();
        sum.steps += 1;
        sum.answered += i64::from(step.outcome.answered());
        sum.failed += i64::from(matches!(step.outcome, sprat_task::Outcome::Failed(_)));
        sum.cost.add(step.usage.cost);
        match step.usage.tokens {
            Some(tokens) => {
                sum.input = sum.input.saturating_add(signed(tokens.input));
                sum.cached = sum.cached.saturating_add(signed(tokens.cached_input));
                sum.cache_write = sum.cache_write.saturating_add(signed(tokens.cache_write));
                sum.output = sum.output.saturating_add(signed(tokens.output));
            }
            None => sum.tokens_unknown += 1,
        }
        sum.latency_us = sum.latency_us.saturating_add(signed(step.latency_us));
    }

    fn add_latency(&mut self, place: &Place, model: &str, latency_us: u64) {
        let key = LatencyKey { place: place.clone(), model: model.to_owned(), bucket: bucket(latency_us) };
        *self.latencies.entry(key).or_default() += 1;
    }

    pub(super) fn write(&self, group: &Connection) -> Result<(), Fault> {
        for (key, sum) in &self.requests {
            write_request(group, key, sum)?;
        }
        for (key, sum) in &self.models {
            write_model(group, key, sum)?;
        }
        for (of, sum) in &self.keys {
            write_key(group, of, sum)?;
        }
        for (key, count) in &self.latencies {
            group
                .prepare_cached(
                    "INSERT INTO ledger_latency_hour (task, hour, source, model, bucket, count)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT DO UPDATE SET count = count + excluded.count",
                )?
                .execute((
                    &key.place.task,
                    key.place.hour,
                    key.place.source,
                    &key.model,
                    key.bucket,
                    count,
                ))?;
        }
        Ok(())
    }
}

fn write_request(group: &Connection, key: &RequestKey, sum: &RequestSum) -> Result<(), Fault> {
    group
        .prepare_cached(
            "INSERT INTO ledger_hour
             VALUES (:task, :hour, :source, :ending, :answered_by, :provenance, :requests, :cost, :cost_unknown,
                     :baseline, :baseline_unknown, :estimated, :compared, :compared_cost, :compared_baseline, :latency)
             ON CONFLICT DO UPDATE SET
                 requests = requests + excluded.requests,
                 cost_known = cost_known + excluded.cost_known,
                 cost_unknown = cost_unknown + excluded.cost_unknown,
                 baseline_known = baseline_known + excluded.baseline_known,
                 baseline_unknown = baseline_unknown + excluded.baseline_unknown,
                 baseline_estimated = baseline_estimated + excluded.baseline_estimated,
                 compared = compared + excluded.compared,
                 compared_cost = compared_cost + excluded.compared_cost,
                 compared_baseline = compared_baseline + excluded.compared_baseline,
                 latency_us = latency_us + excluded.latency_us",
        )?
        .execute(named_params! {
            ":task": key.place.task,
            ":hour": key.place.hour,
            ":source": key.place.source,
            ":ending": key.ending,
            ":answered_by": key.answered_by,
            ":provenance": key.provenance,
            ":requests": sum.requests,
            ":cost": sum.cost.sum.micro(),
            ":cost_unknown": sum.cost.unknown,
            ":baseline": sum.baseline.sum.micro(),
            ":baseline_unknown": sum.baseline.unknown,
            ":estimated": sum.estimated,
            ":compared": sum.compared,
            ":compared_cost": sum.compared_cost.micro(),
            ":compared_baseline": sum.compared_baseline.micro(),
            ":latency": sum.latency_us,
        })?;
    Ok(())
}

fn write_model(group: &Connection, key: &ModelKey, sum: &ModelSum) -> Result<(), Fault> {
    group
        .prepare_cached(
            "INSERT INTO ledger_model_hour
             VALUES (:task, :hour, :source, :model, :provenance, :steps, :answered, :failed, :cost, :cost_unknown,
                     :input, :cached, :cache_write, :output, :tokens_unknown, :latency)
             ON CONFLICT DO UPDATE SET
                 steps = steps + excluded.steps,
                 answered = answered + excluded.answered,
                 failed = failed + excluded.failed,
                 cost_known = cost_known + excluded.cost_known,
                 cost_unknown = cost_unknown + excluded.cost_unknown,
                 input_tokens = input_tokens + excluded.input_tokens,
                 cached_input = cached_input + excluded.cached_input,
                 cache_write = cache_write + excluded.cache_write,
                 output_tokens = output_tokens + excluded.output_tokens,
                 tokens_unknown = tokens_unknown + excluded.tokens_unknown,
                 latency_us = latency_us + excluded.latency_us",
        )?
        .execute(named_params! {
            ":task": key.place.task,
            ":hour": key.place.hour,
            ":source": key.place.source,
            ":model": key.model,
            ":provenance": key.provenance,
            ":steps": sum.steps,
            ":answered": sum.answered,
            ":failed": sum.failed,
            ":cost": sum.cost.sum.micro(),
            ":cost_unknown": sum.cost.unknown,
            ":input": sum.input,
            ":cached": sum.cached,
            ":cache_write": sum.cache_write,
            ":output": sum.output,
            ":tokens_unknown": sum.tokens_unknown,
            ":latency": sum.latency_us,
        })?;
    Ok(())
}

fn write_key(group: &Connection, of: &OfKey, sum: &KeySum) -> Result<(), Fault> {
    group
        .prepare_cached(
            "INSERT INTO ledger_key_hour (key, hour, requests, small, cost_known, cost_unknown, held)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET
                 requests = requests + excluded.requests,
                 small = small + excluded.small,
                 cost_known = cost_known + excluded.cost_known,
                 cost_unknown = cost_unknown + excluded.cost_unknown,
                 held = held + excluded.held",
        )?
        .execute((
            &of.key,
            of.hour,
            sum.requests,
            sum.small,
            sum.cost.sum.micro(),
            sum.cost.unknown,
            sum.held.micro(),
        ))?;
    Ok(())
}
