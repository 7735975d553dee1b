//! `sprat cost`: the ledger, net of everything, beside what the same requests would have cost otherwise.

mod since;

use serde::Serialize;
use sprat_learn::evidence::Evidence;
use sprat_store::{Filter, KeyTotals, ModelTotals, Spend, Store, Totals};
use sprat_task::{Money, Provenance, Task, Tokens};

use crate::app::App;
use crate::evidence::qualified;
use crate::failure::Failure;
use crate::output::{Output, Table, words};

/// Show what everything cost, beside what it would have cost otherwise
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat cost
  sprat cost tickets --since 7d
  sprat cost --since 2026-11-01 --json
  sprat cost --by-key --since 30d

Costs that nobody knows are counted, never shown as 0. Labels, training, audits, evaluation and
judgements are charged too. Sums are kept by the hour, so that every hour a period touches counts
whole.")]
pub struct Args {
    /// One task; all of them unless given
    task: Option<String>,
    /// How far back: 90m, 24h, 7d, 4w, or a day such as 2026-11-01 (UTC)
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<since::Since>,
    /// Also by virtual key, as the gateway's clients show them
    #[arg(long, conflicts_with = "task")]
    by_key: bool,
}

/// What was spent, and on what.
#[derive(Serialize)]
struct Cost {
    since_unix_ms: Option<i64>,
    until_unix_ms: i64,
    /// Requests by task.
    tasks: Vec<TaskCost>,
    /// Steps by model, everything they were asked for.
    models: Vec<ModelCost>,
    /// Answers by virtual key, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<KeyCost>>,
    /// Money by what it was spent on.
    spending: Vec<SpendCost>,
    /// Everything against sending every request to the large model.
    net: Net,
    /// Where answers and prices come from: the weakest of all.
    provenance: Option<Provenance>,
    /// Requests that could not be recorded, and are in none of these sums.
    not_recorded: u64,
}

#[derive(Serialize)]
struct TaskCost {
    task: String,
    requests: u64,
    answered_small: u64,
    /// Of the requests whose cost is known.
    cost_micro_usd: Money,
    cost_unknown: u64,
    /// Of the requests whose baseline is known.
    all_large_micro_usd: Money,
    all_large_unknown: u64,
    all_large_estimated: u64,
    /// The cheapest single model that met the target when the live release was made, for as many requests.
    cheapest_single: Option<Single>,
}

#[derive(Serialize)]
struct Single {
    model: String,
    cost_micro_usd: Money,
}

#[derive(Serialize)]
struct ModelCost {
    model: String,
    steps: u64,
    answered: u64,
    failed: u64,
    tokens: Tokens,
    tokens_unknown: u64,
    cost_micro_usd: Money,
    cost_unknown: u64,
    latency_us_p50: Option<u64>,
    latency_us_p99: Option<u64>,
    provenance: Provenance,
}

#[derive(Serialize)]
struct KeyCost {
    key: String,
    requests: u64,
    answered_small: u64,
    cost_micro_usd: Money,
    cost_unknown: u64,
    /// Of the key's budget, for requests whose cost is unknown.
    held_micro_usd: Money,
}

#[derive(Serialize)]
struct SpendCost {
    on: Spend,
    requests: u64,
    cost_micro_usd: Money,
    cost_unknown: u64,
}

/// What was saved, of the requests whose cost and baseline are both known.
#[derive(Serialize)]
struct Net {
    requests: u64,
    cost_micro_usd: Money,
    /// Labels, training, audits, evaluation and judgements.
    overhead_micro_usd: Money,
    all_large_micro_usd: Money,
    saved_micro_usd: Money,
    /// `null` where there is nothing to compare.
    saved_share: Option<f64>,
}

const SPENDING: [(Spend, &str); 6] = [
    (Spend::Serving, "answers"),
    (Spend::Labels, "labels from the large model"),
    (Spend::Training, "training"),
    (Spend::Audits, "audits"),
    (Spend::Evaluation, "evaluation"),
    (Spend::Judgements, "judgements of texts"),
];

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let only = args.task.as_deref().map(|name| workspace.task(name)).transpose()?;
    let tasks: Vec<&Task> = match only {
        Some(task) => vec![task],
        None => workspace.tasks.values().map(|(task, _)| task).collect(),
    };
    let store = workspace.store()?;
    let now = app.now_unix_ms();
    let since = args.since.map(|since| since.before(now));
    let filter = Filter {
        task: only.map(|task| task.name.clone()),
        spend: None,
        period: since.map(|since| since..now.saturating_add(1)),
    };
    let mut cost = add_up(&store, &filter, &tasks, now)?;
    if args.by_key {
        let totals = store.ledger().per_key(None, since.unwrap_or(0))?;
        cost.keys = Some(totals.into_iter().map(key_cost).collect());
    }
    app.out().show(&cost, |out| show(out, &cost));
    Ok(())
}

fn add_up(store: &Store, filter: &Filter, tasks: &[&Task], now: i64) -> Result<Cost, Failure> {
    let ledger = store.ledger();
    let on = |spend| Filter { spend: Some(spend), ..filter.clone() };
    let mut spending = Vec::new();
    for (spend, _) in SPENDING {
        spending.push((spend, ledger.totals(&on(spend))?));
    }
    let mut costs = Vec::new();
    for task in tasks {
        let of_task = Filter { task: Some(task.name.clone()), ..on(Spend::Serving) };
        let served = ledger.totals(&of_task)?;
        costs.push(task_cost(store, task, &served)?);
    }
    let everything = ledger.totals(filter)?;
    let served =
        spending.iter().find(|(spend, _)| *spend == Spend::Serving).map(|(_, totals)| totals.clone());
    let overhead =
        spending.iter().filter(|(spend, _)| *spend != Spend::Serving).map(|(_, totals)| totals.cost);
    Ok(Cost {
        since_unix_ms: filter.period.as_ref().map(|period| period.start),
        until_unix_ms: now,
        tasks: costs,
        models: ledger.per_model(filter)?.into_iter().map(model_cost).collect(),
        keys: None,
        net: net(&served.unwrap_or_default(), overhead.sum()),
        spending: spending
            .into_iter()
            .map(|(on, totals)| SpendCost {
                on,
                requests: totals.requests,
                cost_micro_usd: totals.cost,
                cost_unknown: totals.cost_unknown,
            })
            .collect(),
        provenance: everything.provenance,
        not_recorded: everything.lost,
    })
}

fn task_cost(store: &Store, task: &Task, served: &Totals) -> Result<TaskCost, Failure> {
    let live = store.registry().live(&task.name)?;
    let release = live.map(|deployment| store.registry().release(&deployment.live)).transpose()?;
    let evidence: Option<Evidence> =
        release.and_then(|release| serde_json::from_value(release.evidence).ok());
    let savings = evidence.and_then(|evidence| evidence.savings);
    let cheapest_single = savings.and_then(|savings| {
        let (model, cost) = savings.cheapest_single?;
        let each = cost.units() / savings.requests.max(1) as f64;
        let cost_micro_usd = Money::from_units(each * served.requests as f64)?;
        Some(Single { model: model.to_string(), cost_micro_usd })
    });
    Ok(TaskCost {
        task: task.name.to_string(),
        requests: served.requests,
        answered_small: served.small,
        cost_micro_usd: served.cost,
        cost_unknown: served.cost_unknown,
        all_large_micro_usd: served.baseline,
        all_large_unknown: served.baseline_unknown,
        all_large_estimated: served.baseline_estimated,
        cheapest_single,
    })
}

fn model_cost(totals: ModelTotals) -> ModelCost {
    ModelCost {
        model: totals.model.to_string(),
        steps: totals.steps,
        answered: totals.answered,
        failed: totals.failed,
        tokens: totals.tokens,
        tokens_unknown: totals.tokens_unknown,
        cost_micro_usd: totals.cost,
        cost_unknown: totals.cost_unknown,
        latency_us_p50: totals.latency.quantile_us(0.5),
        latency_us_p99: totals.latency.quantile_us(0.99),
        provenance: totals.provenance,
    }
}

fn key_cost(totals: KeyTotals) -> KeyCost {
    KeyCost {
        key: totals.key.to_string(),
        requests: totals.requests,
        answered_small: totals.small,
        cost_micro_usd: totals.cost,
        cost_unknown: totals.cost_unknown,
        held_micro_usd: totals.held,
    }
}

fn net(served: &Totals, overhead: Money) -> Net {
    let compared = &served.compared;
    let saved = compared.saved() - overhead;
    Net {
        requests: compared.requests,
        cost_micro_usd: compared.cost,
        overhead_micro_usd: overhead,
        all_large_micro_usd: compared.baseline,
        saved_micro_usd: saved,
        saved_share: (compared.baseline > Money::ZERO).then(|| saved.units() / compared.baseline.units()),
    }
}

fn show(out: &Output, cost: &Cost) {
    match cost.since_unix_ms {
        Some(since) => out.line(format!("since {}, whole hours", words::time(since))),
        None => out.line("since the beginning"),
    }
    let provenance = cost.provenance.map(qualified).unwrap_or_default();
    out.heading(format!("Answers, by task{provenance}"));
    let mut table =
        Table::new(["task", ">requests", ">answered small", ">cost", ">all-large", ">cheapest single model"]);
    for task in &cost.tasks {
        table.row([
            task.task.clone(),
            words::count(task.requests),
            words::count(task.answered_small),
            known(task.cost_micro_usd, task.cost_unknown, task.requests),
            known(task.all_large_micro_usd, task.all_large_unknown, task.requests),
            task.cheapest_single.as_ref().map_or_else(
                || "none proved".to_owned(),
                |single| format!("{} ({})", single.cost_micro_usd, single.model),
            ),
        ]);
    }
    out.table(&table);
    keys(out, cost.keys.as_deref().unwrap_or_default());
    models(out, &cost.models);
    out.heading("Money, by what it went for");
    let mut table = Table::new(["for", ">requests", ">cost"]);
    for ((_, name), spent) in SPENDING.iter().zip(&cost.spending) {
        let amount = known(spent.cost_micro_usd, spent.cost_unknown, spent.requests);
        table.row([(*name).to_owned(), words::count(spent.requests), amount]);
    }
    out.table(&table);
    verdict(out, cost);
}

fn keys(out: &Output, keys: &[KeyCost]) {
    if keys.is_empty() {
        return;
    }
    out.heading("Answers, by key");
    let mut table = Table::new(["key", ">requests", ">answered small", ">cost"]);
    for key in keys {
        table.row([
            key.key.clone(),
            words::count(key.requests),
            words::count(key.answered_small),
            known(key.cost_micro_usd, key.cost_unknown, key.requests),
        ]);
    }
    out.table(&table);
}

fn models(out: &Output, models: &[ModelCost]) {
    if models.is_empty() {
        return;
    }
    out.heading("Steps, by model");
    let columns =
        ["model", ">steps", ">answered", ">failed", ">tokens in", ">out", ">cost", ">p50", ">p99", "from"];
    let mut table = Table::new(columns);
    let time = |us: Option<u64>| us.map_or_else(|| "unknown".to_owned(), words::duration_us);
    for model in models {
        let tokens = |count: u64| match model.tokens_unknown {
            unknown if unknown == model.steps => "-".to_owned(),
            _ => words::count(count),
        };
        table.row([
            model.model.clone(),
            words::count(model.steps),
            words::count(model.answered),
            words::count(model.failed),
            tokens(model.tokens.input),
            tokens(model.tokens.output),
            known(model.cost_micro_usd, model.cost_unknown, model.steps),
            time(model.latency_us_p50),
            time(model.latency_us_p99),
            model.provenance.to_string(),
        ]);
    }
    out.table(&table);
}

fn verdict(out: &Output, cost: &Cost) {
    let net = &cost.net;
    out.heading("Net");
    match net.saved_share {
        None => out
            .sentence("nothing to compare yet: no request has both a known cost and a known all-large cost"),
        Some(share) => {
            out.sentence(format!(
                "{}: {} for answers and {} for everything else, against {} all-large",
                words::counted(net.requests, "request"),
                net.cost_micro_usd,
                net.overhead_micro_usd,
                net.all_large_micro_usd
            ));
            out.sentence(if share > 0.0 {
                format!("saved: {} ({})", net.saved_micro_usd, words::share(share))
            } else {
                let more = Money::ZERO - net.saved_micro_usd;
                format!("it cost {more} more than the large model alone would have: so far, don't use it")
            });
            let estimated: u64 = cost.tasks.iter().map(|task| task.all_large_estimated).sum();
            if estimated > 0 {
                out.sentence(format!(
                    "all-large is estimated for {}: the large model was not asked",
                    words::counted(estimated, "request")
                ));
            }
        }
    }
    if cost.not_recorded > 0 {
        out.sentence(format!(
            "not recorded, and in none of these: {}",
            words::counted(cost.not_recorded, "request")
        ));
    }
}

/// An amount with the number of those that nobody knows; unknown where none is known.
fn known(amount: Money, unknown: u64, of: u64) -> String {
    match unknown {
        0 => amount.to_string(),
        all if all >= of => "unknown".to_owned(),
        some => format!("{amount} + {} unknown", words::count(some)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_store::Compared;

    #[test]
    fn what_nobody_knows_is_never_shown_as_nothing() {
        let cent = Money::from_micro(10_000);
        assert_eq!(known(cent, 0, 5), "$0.010");
        assert_eq!(known(cent, 2, 5), "$0.010 + 2 unknown");
        assert_eq!(known(Money::ZERO, 5, 5), "unknown");
    }

    #[test]
    fn a_saving_is_net_of_labels_training_audits_and_evaluation() {
        let compared =
            Compared { requests: 10, cost: Money::from_micro(200), baseline: Money::from_micro(1_000) };
        let served = Totals { compared, ..Totals::default() };
        let cheap = net(&served, Money::from_micro(300));
        assert_eq!((cheap.saved_micro_usd, cheap.saved_share), (Money::from_micro(500), Some(0.5)));
        let dear = net(&served, Money::from_micro(1_300));
        assert_eq!((dear.saved_micro_usd, dear.saved_share), (Money::from_micro(-500), Some(-0.5)));
        assert_eq!(net(&Totals::default(), Money::ZERO).saved_share, None);
    }
}
