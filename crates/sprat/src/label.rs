//! Rows without a label get the large model's: the cost is quoted first, capped hard, and nothing is paid for twice.

use std::time::{Duration, Instant};

use sprat_store::{Ending, LedgerEntry, Source, Store};
use sprat_task::{
    Answer, Context, Input, LabelledRow, Model, ModelError, Money, Outcome, Problem, RequestId, Sha256Hex,
    Step, Task,
};

use crate::app::App;
use crate::failure::Failure;
use crate::models::Models;
use crate::output::words;

/// What the large model is to do.
pub struct Labelling<'a> {
    /// The model's name, as the user gave it.
    pub teacher: &'a str,
    /// The most that may be spent.
    pub cap: Option<Money>,
    /// Labelled rows to show it.
    pub examples: &'a [(String, Answer)],
}

/// What it did.
pub struct Labelled {
    /// The rows it labelled.
    pub rows: Vec<LabelledRow>,
    /// Identifies its prompt.
    pub prompt: Sha256Hex,
    /// What it cost.
    pub spent: Money,
}

/// Rows asked between two looks at the progress and the wish to stop, and until they are in the ledger.
const AT_ONCE: usize = 16;

/// Lets the large model label rows.
pub fn label_with_large(
    app: &App,
    models: &Models<'_>,
    store: &Store,
    task: &Task,
    labelling: &Labelling<'_>,
    rows: &[LabelledRow],
) -> Result<Labelled, Failure> {
    let wanted =
        || Problem::new(format!("`{}` is not the large model of task `{}`", labelling.teacher, task.name));
    match task.large() {
        Some(large) if large.as_str() == labelling.teacher || labelling.teacher == "large" => {}
        Some(large) => return Err(wanted().allowed(large.as_str()).into()),
        None => {
            return Err(wanted().hint(format!("add large = \"NAME\" to tasks/{}.toml", task.name)).into());
        }
    }
    let large = models.large(task, labelling.examples)?.ok_or_else(wanted)?;
    let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
    let each = models.large_cost(task, &inputs)?.map(|cost| cost.cost);
    let teacher = models.remembered(&large, store, app.now_unix_ms(), each);
    let unknown = teacher.unknown(&inputs);
    let quote = large.model.quote(task, &unknown);
    app.out().notice(format!(
        "{} to label, {} answered before; {} ({})",
        words::counted(rows.len() as u64, "row"),
        words::count((rows.len() - unknown.len()) as u64),
        match quote.cost_estimate {
            Some(cost) => format!("the rest will cost about {cost}"),
            None => "what the rest will cost is unknown".to_owned(),
        },
        quote.basis
    ));
    check_budget(labelling, quote.cost_estimate, unknown.len())?;
    let teacher = match labelling.cap {
        Some(cap) => teacher.capped(cap),
        None => teacher,
    };
    let bar = app.out().progress("rows labelled", Some(rows.len() as u64));
    let (mut labelled, mut failed, mut why) = (Vec::new(), 0_usize, None);
    for (batch, inputs) in rows.chunks(AT_ONCE).zip(inputs.chunks(AT_ONCE)) {
        let cx = Context {
            deadline: Instant::now() + Duration::from_secs(3_600),
            cancel: app.cancel().clone(),
            request: RequestId::from("teacher"),
        };
        let attempts = app.block_on(teacher.predict(&cx, task, inputs))?;
        for (row, attempt) in batch.iter().zip(attempts) {
            record(app, store, task, &large.model, &attempt)?;
            match attempt.result {
                Ok(Some(prediction)) => labelled.push(LabelledRow {
                    large: Some(prediction.answer),
                    large_provenance: large.model.provenance(),
                    ..row.clone()
                }),
                Ok(None) => failed += 1,
                Err(error) => {
                    failed += 1;
                    why = Some(error);
                }
            }
        }
        bar.set((labelled.len() + failed) as u64);
        if app.cancel().is_cancelled() {
            return Err(Failure::Stopped);
        }
    }
    drop(bar);
    if teacher.hit_the_cap() {
        app.out().warning(format!(
            "the cap was reached after {}: {} unlabelled",
            teacher.spent(),
            if failed == 1 {
                "1 row stays".to_owned()
            } else {
                format!("{} rows stay", words::count(failed as u64))
            }
        ));
    } else if let Some(why) = why {
        app.out().warning(format!(
            "{} got no label; the last reason: {why}",
            words::counted(failed as u64, "row")
        ));
        if labelled.is_empty() {
            return Err(nothing(&why));
        }
    }
    Ok(Labelled { rows: labelled, prompt: large.prompt, spent: teacher.spent() })
}

fn nothing(why: &ModelError) -> Failure {
    Failure::ours_with_hint(
        format!("the large model labelled nothing: {why}"),
        "mend what the reason names, then run the same command again; `sprat doctor` looks at models and keys",
    )
}

fn check_budget(labelling: &Labelling<'_>, estimate: Option<Money>, unknown: usize) -> Result<(), Problem> {
    if unknown == 0 {
        return Ok(());
    }
    match (labelling.cap, estimate) {
        (None, Some(estimate)) if estimate > Money::ZERO => Err(Problem::new(format!(
            "labelling would cost about {estimate}, and no cap was given"
        ))
        .hint(format!(
            "add --max-cost {:.2} (or less: it stops there and keeps what it has)",
            (estimate.units() * 1.2).max(0.01)
        ))),
        (Some(cap), None) => Err(Problem::new(format!(
            "the price of the large model is unknown, so that a cap of {cap} can't be kept"
        ))
        .hint("give the model a `price` in sprat.toml")),
        _ => Ok(()),
    }
}

/// What the teacher costs is part of what Sprat costs.
fn record(
    app: &App,
    store: &Store,
    task: &Task,
    large: &sprat_models::remote::RemoteModel,
    attempt: &sprat_task::Attempt,
) -> Result<(), Failure> {
    let latency_us = u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX);
    let outcome = match &attempt.result {
        Ok(Some(_)) => Outcome::Last,
        Ok(None) => Outcome::Abstained,
        Err(error) => Outcome::Failed(error.clone()),
    };
    let answered = matches!(outcome, Outcome::Last);
    let entry = LedgerEntry {
        request: app.new_request(),
        task: task.name.clone(),
        release: None,
        time_unix_ms: app.now_unix_ms(),
        source: Source::Teacher,
        ending: if answered { Ending::Large } else { Ending::Failed },
        answered_by: answered.then(|| Model::id(large).clone()),
        steps: vec![Step { model: Model::id(large).clone(), usage: attempt.usage, latency_us, outcome }],
        cost: attempt.usage.cost,
        baseline_all_large: None,
        baseline_is_estimated: false,
        provenance: large.provenance(),
        latency_us,
        key: None,
        held: None,
    };
    Ok(store.ledger().append(&entry)?)
}
