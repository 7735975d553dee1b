//! Keys as they are shown: what each may do, and what it has spent. Never the key.

use serde::Serialize;
use sprat_store::KeyTotals;

use super::*;
use crate::output::{Output, Table, words};

/// A key beside what it has spent of its budget; without a budget, since the beginning.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    key: Key,
    /// `good`, `revoked` or `expired`.
    state: &'static str,
    /// Since when the sums count.
    since_unix_ms: i64,
    /// When the budget is renewed.
    renewed_unix_ms: Option<i64>,
    requests: u64,
    answered_small: u64,
    /// Of the requests whose cost is known.
    cost_micro_usd: Money,
    cost_unknown: u64,
    /// Reserved for requests whose cost nobody knows; it counts as spent.
    held_micro_usd: Money,
    /// What is left of the budget.
    left_micro_usd: Option<Money>,
}

pub fn list(app: &App, workspace: &Workspace) -> Result<(), Failure> {
    let store = workspace.store()?;
    let now = app.now_unix_ms();
    let keys = store.keys().all()?.into_iter().map(|key| told(&store, key, now));
    let keys = keys.collect::<Result<Vec<Told>, Failure>>()?;
    app.out().show(&serde_json::json!({ "keys": keys }), |out| {
        if keys.is_empty() {
            out.sentence(
                "no keys: the gateway is open to whoever reaches it, and only this machine does; \
                 `sprat keys create NAME` makes one",
            );
            return;
        }
        let mut table =
            Table::new(["key", "begins", "state", ">budget", ">spent", ">held", ">left", ">requests"]);
        for key in &keys {
            table.row([
                key.key.id.to_string(),
                format!("{}…", key.key.shown),
                key.state.to_owned(),
                budget(key),
                key.cost_micro_usd.to_string(),
                held(key),
                key.left_micro_usd.map_or_else(|| "-".to_owned(), |left| left.to_string()),
                words::count(key.requests),
            ]);
        }
        out.table(&table);
    });
    Ok(())
}

pub fn show(app: &App, workspace: &Workspace, id: &KeyId) -> Result<(), Failure> {
    let store = workspace.store()?;
    let key = told(&store, find(&store, id)?, app.now_unix_ms())?;
    app.out().show(&key, |out| tell(out, &key));
    Ok(())
}

fn told(store: &Store, key: Key, now_unix_ms: i64) -> Result<Told, Failure> {
    let budget = key.allowance.budget;
    let since_unix_ms = budget.map_or(0, |budget| budget.per.start(now_unix_ms));
    let totals = store.ledger().per_key(Some(&key.id), since_unix_ms)?.pop();
    let nothing = || KeyTotals {
        key: key.id.clone(),
        requests: 0,
        small: 0,
        cost: Money::ZERO,
        cost_unknown: 0,
        held: Money::ZERO,
    };
    let totals = totals.unwrap_or_else(nothing);
    Ok(Told {
        state: match key.revoked_unix_ms {
            Some(_) => "revoked",
            None if key.is_good(now_unix_ms) => "good",
            None => "expired",
        },
        since_unix_ms,
        renewed_unix_ms: budget.and_then(|budget| budget.per.next(now_unix_ms)),
        requests: totals.requests,
        answered_small: totals.small,
        cost_micro_usd: totals.cost,
        cost_unknown: totals.cost_unknown,
        held_micro_usd: totals.held,
        left_micro_usd: budget.map(|budget| (budget.amount - totals.charged()).max(Money::ZERO)),
        key,
    })
}

fn tell(out: &Output, told: &Told) {
    let Key { id, shown, allowance, created_unix_ms, expires_unix_ms, revoked_unix_ms, .. } = &told.key;
    out.line(format!("key {id} ({shown}…): {}", told.state));
    out.line(format!("made {}", words::time(*created_unix_ms)));
    for (word, time) in [("expires", expires_unix_ms), ("revoked", revoked_unix_ms)] {
        if let Some(time) = time {
            out.line(format!("{word} {}", words::time(*time)));
        }
    }
    let limits = [
        ("requests a minute", allowance.requests_per_minute),
        ("tokens a minute", allowance.tokens_per_minute),
        ("requests at once", allowance.concurrency),
    ];
    for (name, most) in limits {
        if let Some(most) = most {
            out.line(format!("at most {} {name}", words::count(u64::from(most))));
        }
    }
    if !allowance.tasks.is_empty() || !allowance.models.is_empty() {
        let tasks = allowance.tasks.iter().map(TaskName::as_str);
        let names: Vec<&str> = tasks.chain(allowance.models.iter().map(ModelId::as_str)).collect();
        out.line(format!("only for {}", names.join(", ")));
    }
    match (allowance.budget, told.left_micro_usd) {
        (Some(budget), Some(left)) => out.line(format!("budget {budget}, {left} left")),
        _ => out.line("no budget"),
    }
    if let Some(renewed) = told.renewed_unix_ms {
        out.line(format!("renewed {}", words::time(renewed)));
    }
    out.line(format!(
        "spent {} on {}, {} answered small",
        told.cost_micro_usd,
        words::counted(told.requests, "request"),
        words::count(told.answered_small)
    ));
    if told.cost_unknown > 0 {
        out.line(format!(
            "held {} for {} whose cost nobody knows",
            told.held_micro_usd,
            words::counted(told.cost_unknown, "request")
        ));
    }
}

fn budget(told: &Told) -> String {
    told.key.allowance.budget.map_or_else(|| "-".to_owned(), |budget| budget.to_string())
}

fn held(told: &Told) -> String {
    match told.cost_unknown {
        0 => "-".to_owned(),
        unknown => format!("{} ({} unknown)", told.held_micro_usd, words::count(unknown)),
    }
}
