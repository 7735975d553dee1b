//! `sprat eval`: a release on labelled rows. Nothing is certified by it and nothing changes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sprat_cascade::{Climbed, Reach, Spent};
use sprat_learn::evaluate::Judgement;
use sprat_learn::judge::{Judging, pairs};
use sprat_learn::observe::{ObservedRow, Said, has_labels};
use sprat_learn::rows::read_labelled;
use sprat_stats::interval::{clopper_pearson, wilson};
use sprat_task::{
    Certificate, Context, Guarantee, Input, Judge, Judgements, LabelledRow, Money, Outcome, Pair, Problem,
    Provenance, Release, Task,
};

use crate::app::App;
use crate::columns::ColumnNames;
use crate::commands::learn::failure;
use crate::evidence::qualified;
use crate::failure::Failure;
use crate::judge::Opening;
use crate::live::{Live, Reaching, live};
use crate::models::Models;
use crate::output::{Output, Table, words};

/// Measure a release on labelled rows
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat eval tickets holdout.csv
  sprat eval tickets holdout.csv --json | jq .selective_accuracy
  sprat eval tickets holdout.csv --large           asks the large model too (costs money)
  sprat eval tickets holdout.csv --min-accuracy 0.9 --max-selective-error 0.05

Only --large calls the large model; otherwise what would climb to it counts as escalated. Rows
from another file than the certification rows are other data: what is measured here is no
guarantee.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Files of labelled rows; `-` is standard input
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    /// A release instead of the live one
    #[arg(long, value_name = "VERSION")]
    release: Option<u32>,
    /// Let the large model answer what climbs to it
    #[arg(long)]
    large: bool,
    /// Exit code 1 where accuracy of the ladder's own answers is lower
    #[arg(long, value_name = "SHARE")]
    min_accuracy: Option<f64>,
    /// Exit code 1 where coverage is lower
    #[arg(long, value_name = "SHARE")]
    min_coverage: Option<f64>,
    /// Exit code 1 where more of the small answers are wrong
    #[arg(long, value_name = "SHARE")]
    max_selective_error: Option<f64>,
    #[command(flatten)]
    columns: ColumnNames,
}

/// Rows climbed between two looks at the progress and the wish to stop.
const AT_ONCE: usize = 512;

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?.clone();
    let models = Models::open(&workspace)?;
    let store = workspace.store()?;
    let reaching = if args.large { Reaching::Large } else { Reaching::SmallOnly };
    let live = app.block_on(live(app, &workspace, &models, &store, &task, args.release, reaching))??;
    let release = live.released(&task)?.clone();
    live.explain(app, &task);
    let rows = read_labelled(&args.rows, &task, &args.columns.options())?.rows;
    let guarantee = judged_by(release.certificate.guarantee, &rows)?;
    let rows: Vec<LabelledRow> = rows
        .into_iter()
        .filter(|row| has_labels(guarantee, row.gold.is_some(), row.large.is_some()))
        .collect();
    // What the small models say by themselves is measured also where they may not answer, and then the large model.
    let own = climb(app, &live, &task, &rows, Reach::SmallOnly)?;
    let whole = if args.large { Some(climb(app, &live, &task, &rows, Reach::Whole)?) } else { None };
    let opening = Opening { app, workspace: &workspace, models: &models, store: &store, task: &task };
    let judge = opening.judge_of_rows(&rows, 1 + usize::from(args.large), None)?;
    let on_judged = |_, _| match app.cancel().is_cancelled() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let mut judging = Judging::new(judge.as_ref().map(|judge| judge as &dyn Judge), &on_judged);
    app.block_on(judging.ask(to_judge(&task, &rows, &own, whole.as_deref())))?.map_err(failure)?;
    if let Some(notice) = judging.notice() {
        app.out().warning(notice);
    }
    let answered =
        Answered { rows: &rows, own: &own, whole: whole.as_deref(), judgements: judging.judgements() };
    let measured = measure(&live, &release, &task, guarantee, &answered);
    let gates = gates(&args, &measured);
    let mut json = measured.json(&release);
    json["gates"] = json!(gates);
    app.out().show(&json, |out| measured.show(out, &release, &gates));
    if gates.iter().any(|gate| !gate.passed) { Err(Failure::Told) } else { Ok(()) }
}

/// What counts as right: what the certificate is about, else whatever labels there are.
fn judged_by(certified: Guarantee, rows: &[LabelledRow]) -> Result<Guarantee, Problem> {
    let any =
        |guarantee| rows.iter().any(|row| has_labels(guarantee, row.gold.is_some(), row.large.is_some()));
    [certified, Guarantee::Gold, Guarantee::Agreement]
        .into_iter()
        .find(|guarantee| any(*guarantee))
        .ok_or_else(|| {
            Problem::new("no row has a label to be measured against").hint("give rows with a column `label`")
        })
}

fn climb(
    app: &App,
    live: &Live,
    task: &Task,
    rows: &[LabelledRow],
    reach: Reach,
) -> Result<Vec<Climbed>, Failure> {
    let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
    let bar = app.out().progress("rows", Some(inputs.len() as u64));
    let mut climbs = Vec::with_capacity(inputs.len());
    for batch in inputs.chunks(AT_ONCE) {
        let cx = Context {
            deadline: Instant::now() + Duration::from_secs(3_600),
            cancel: app.cancel().clone(),
            request: "eval".into(),
        };
        climbs.extend(app.block_on(live.ladder.climb(&cx, task, batch, reach))?);
        bar.set(climbs.len() as u64);
        if app.cancel().is_cancelled() {
            return Err(Failure::Stopped);
        }
    }
    Ok(climbs)
}

/// The rows, with what was said of each, and what has been judged of that.
struct Answered<'a> {
    rows: &'a [LabelledRow],
    own: &'a [Climbed],
    /// With the large model, where it was asked.
    whole: Option<&'a [Climbed]>,
    judgements: &'a Judgements,
}

/// What has to be judged before the rows can be compared.
fn to_judge(task: &Task, rows: &[LabelledRow], own: &[Climbed], whole: Option<&[Climbed]>) -> Vec<Pair> {
    let of_row = |(index, row): (usize, &LabelledRow)| {
        let own = own.get(index).and_then(|climbed| Some(&climbed.own.as_ref()?.1.answer));
        let whole = whole.and_then(|whole| whole.get(index)?.answer.as_ref());
        pairs(task, row, own.into_iter().chain(whole))
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}

struct Measured {
    rows: u64,
    guarantee: Guarantee,
    ladder: sprat_learn::evidence::LadderEvidence,
    answered_by: BTreeMap<String, u64>,
    p50_us: u64,
    p99_us: u64,
    cost: Spent,
    baseline: Option<Money>,
    end_to_end: Option<f64>,
    labels: Vec<sprat_learn::evidence::LabelEvidence>,
    out_of_scope: Option<sprat_learn::evidence::OutOfScope>,
    provenance: Provenance,
}

fn measure(
    live: &Live,
    release: &Release,
    task: &Task,
    guarantee: Guarantee,
    answered: &Answered<'_>,
) -> Measured {
    let &Answered { rows, own, whole, judgements } = answered;
    let climbs = whole.unwrap_or(own);
    // A stale or uncertified release answers nothing small; what is measured is what it does, not what it might.
    let thresholds: Vec<Option<f64>> = live.ladder.rungs.iter().map(|rung| rung.threshold.value()).collect();
    let observed: Vec<ObservedRow> =
        rows.iter().zip(own).map(|(row, climbed)| observe(live, task, row, climbed, judgements)).collect();
    let judgement = Judgement { task, guarantee, thresholds: &thresholds, rows: &observed };
    let mut answered_by: BTreeMap<String, u64> =
        release.rungs.iter().map(|rung| (rung.model.to_string(), 0)).collect();
    for model in climbs.iter().filter_map(|climbed| climbed.answered_by.as_ref()) {
        *answered_by.entry(model.to_string()).or_default() += 1;
    }
    let mut latencies: Vec<u64> =
        climbs.iter().map(|climbed| climbed.steps.iter().map(|step| step.latency_us).sum()).collect();
    latencies.sort_unstable();
    let at = |share: f64| {
        latencies.get((latencies.len() as f64 * share) as usize).or(latencies.last()).copied().unwrap_or(0)
    };
    let cost = climbs.iter().map(|climbed| Spent::of(&climbed.steps)).fold(Spent::default(), |sum, spent| {
        Spent { known: sum.known + spent.known, unknown: sum.unknown + spent.unknown }
    });
    let is_right = |(row, (seen, climbed)): (&LabelledRow, (&ObservedRow, &Climbed))| {
        let judged = |answer| task.judged(&row.input, answer, row.target(), judgements);
        let said = climbed.answer.as_ref().map(judged);
        said.is_some() && said.as_ref() == seen.right_answer(guarantee)
    };
    let all = rows.iter().zip(observed.iter().zip(climbs));
    let right = all.filter(|answered| is_right(*answered)).count();
    let labels = judgement.plots(&[], Vec::new()).labels;
    Measured {
        rows: rows.len() as u64,
        guarantee,
        ladder: judgement.ladder(),
        answered_by,
        p50_us: at(0.5),
        p99_us: at(0.99),
        cost,
        baseline: climbs.iter().map(|climbed| live.account(climbed).all_large).sum(),
        end_to_end: whole.is_some().then(|| right as f64 / rows.len().max(1) as f64),
        labels,
        out_of_scope: judgement.out_of_scope(),
        provenance: live.provenance(),
    }
}

/// What each rung of the release said, from the steps of a climb.
fn observe(
    live: &Live,
    task: &Task,
    row: &LabelledRow,
    climbed: &Climbed,
    judgements: &Judgements,
) -> ObservedRow {
    let said = |model: &sprat_task::ModelId| {
        let step = climbed.steps.iter().find(|step| step.model == *model)?;
        let (by, prediction, _) = climbed.own.as_ref()?;
        let confidence = match step.outcome {
            Outcome::Accepted(confidence) | Outcome::Deferred(confidence) | Outcome::HeldBack(confidence) => {
                confidence.get()
            }
            Outcome::Abstained | Outcome::Failed(_) | Outcome::Last => return None,
        };
        // Only the ladder's own answer is kept of a climb: the accepting rung's, or the last one's.
        (by == model).then(|| Said {
            answer: task.judged(&row.input, &prediction.answer, row.target(), judgements),
            confidence,
            latency_us: step.latency_us,
            cost_micro_usd: step.usage.cost,
        })
    };
    ObservedRow {
        said: live.ladder.rungs.iter().map(|rung| said(rung.model.id())).collect(),
        ..ObservedRow::unanswered(task, row, judgements)
    }
}

/// A declared target and whether it was met.
#[derive(serde::Serialize)]
struct Gate {
    gate: &'static str,
    wanted: f64,
    found: Option<f64>,
    passed: bool,
}

fn gates(args: &Args, measured: &Measured) -> Vec<Gate> {
    let ladder = &measured.ladder;
    let error = ladder.selective_accuracy.map(|accuracy| 1.0 - accuracy);
    let at_least = |gate, wanted: Option<f64>, found: f64| {
        wanted.map(|wanted| Gate { gate, wanted, found: Some(found), passed: found >= wanted })
    };
    [
        at_least("accuracy", args.min_accuracy, ladder.accuracy),
        at_least("coverage", args.min_coverage, ladder.coverage),
        args.max_selective_error.map(|wanted| Gate {
            gate: "selective error",
            wanted,
            found: error,
            // Where nothing is answered small, nothing is answered wrongly.
            passed: error.is_none_or(|error| error <= wanted),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Measured {
    fn accepted(&self) -> u64 {
        (self.ladder.coverage * self.rows as f64).round() as u64
    }

    fn json(&self, release: &Release) -> Value {
        let Certificate { status, risk, guarantee, alpha, delta, look, n, accepted, bad, bound, .. } =
            &release.certificate;
        let wrong = (self.ladder.joint_error * self.rows as f64).round() as u64;
        let interval = clopper_pearson(wrong, self.accepted(), 0.95);
        let accuracy = wilson((self.ladder.accuracy * self.rows as f64).round() as u64, self.rows, 0.95);
        json!({
            "release": release.id.to_string(),
            "rows": self.rows,
            "judged_by": self.guarantee,
            "accuracy": self.ladder.accuracy,
            "accuracy_interval": [accuracy.lower, accuracy.upper],
            "coverage": self.ladder.coverage,
            "selective_accuracy": self.ladder.selective_accuracy,
            "selective_error_interval": self.ladder.selective_accuracy.map(|_| [interval.lower, interval.upper]),
            "joint_error": self.ladder.joint_error,
            "end_to_end_accuracy": self.end_to_end,
            "answered_by": self.answered_by,
            "latency_us": { "p50": self.p50_us, "p99": self.p99_us },
            "cost_micro_usd": self.cost.exact(),
            "baseline_micro_usd": self.baseline,
            "provenance": self.provenance,
            "out_of_scope": self.out_of_scope,
            "labels": self.labels,
            "certificate": {
                "status": status, "risk": risk, "guarantee": guarantee, "alpha": alpha, "delta": delta, "look": look,
                "n": n, "accepted": accepted, "bad": bad, "bound": bound,
            },
            "note": "measured on these rows; the guarantee speaks of the certification rows' kind of traffic",
        })
    }

    fn show(&self, out: &Output, release: &Release, gates: &[Gate]) {
        let wrong = (self.ladder.joint_error * self.rows as f64).round() as u64;
        out.heading(format!(
            "{} on {} labelled rows ({})",
            release.id,
            words::count(self.rows),
            self.guarantee
        ));
        let mut table = Table::new(["", ">"]);
        table.row([
            "right, if the small models answered everything".to_owned(),
            words::share(self.ladder.accuracy),
        ]);
        table.row(["answered small".to_owned(), words::share(self.ladder.coverage)]);
        let interval = clopper_pearson(wrong, self.accepted(), 0.95);
        table.row([
            "of these, right".to_owned(),
            match self.ladder.selective_accuracy {
                Some(accuracy) => format!(
                    "{} ({} to {})",
                    words::share(accuracy),
                    words::share(1.0 - interval.upper),
                    words::share(1.0 - interval.lower)
                ),
                None => "-".to_owned(),
            },
        ]);
        table.row(["answered small and wrong, of all".to_owned(), words::share(self.ladder.joint_error)]);
        if let Some(accuracy) = self.end_to_end {
            table.row(["right, the large model's answers included".to_owned(), words::share(accuracy)]);
        }
        for (model, rows) in &self.answered_by {
            table.row([format!("answered by {model}"), words::count(*rows)]);
        }
        table.row([
            "latency, median / 99th percentile".to_owned(),
            format!("{} / {}", words::duration_us(self.p50_us), words::duration_us(self.p99_us)),
        ]);
        table.row(["cost".to_owned(), words::money(self.cost.exact())]);
        table.row([
            "everything to the large model".to_owned(),
            format!("{}{}", words::money(self.baseline), qualified(self.provenance)),
        ]);
        out.table(&table);
        if let Some(scope) = &self.out_of_scope {
            out.sentence(format!(
                "out of scope (`{}`): {} of {} recognised; in-scope accuracy {}",
                scope.label,
                words::share(scope.recall),
                scope.rows,
                words::share(scope.in_scope_accuracy)
            ));
        }
        out.heading("Certificate");
        out.sentence(format!("{}: {}", release.certificate.status, release.certificate.sentence()));
        out.sentence(
            "These rows are other data than the certification rows: what is measured here is no guarantee.",
        );
        for gate in gates {
            let mark = if gate.passed { crate::output::Mark::Ok } else { crate::output::Mark::Fail };
            out.check(
                mark,
                format!(
                    "{} {} (wanted {})",
                    gate.gate,
                    gate.found.map_or_else(|| "-".to_owned(), words::share),
                    words::share(gate.wanted)
                ),
                None,
            );
        }
    }
}
