//! `sprat learn`: rows to a release, with its certificate and its report.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;
use sprat_learn::learn::{LearnError, Learned, Order, Stage, learn};
use sprat_learn::rows::captured::captured_rows;
use sprat_learn::rows::{ReadOptions, RowSet, read_labelled};
use sprat_task::{Guarantee, Input, Judge, Kind, Money, Problem, Status, Task, TrainError};

use crate::app::App;
use crate::columns::ColumnNames;
use crate::evidence;
use crate::failure::Failure;
use crate::judge::Opening;
use crate::label::{Labelling, label_with_large};
use crate::models::{Models, examples};
use crate::output::{Output, Progress, words};
use crate::workspace::shown;

/// Learn a task from rows, certify it on rows kept away, and make a release
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat learn tickets rows.csv                      columns text and label
  sprat learn tickets rows.jsonl more.csv           several files are one set
  sprat learn tickets mails.jsonl --teacher large --max-cost 2.00
                                                    the large model labels what has no label
  sprat learn tickets --from-traffic --since 14     what was captured in the last 14 days
  sprat learn tickets rows.csv --require-certified  exit code 1 unless small models may answer

Rows are CSV, TSV, JSON lines or Parquet with `text` and `label`; also understood: `large` (what
the large model answered), `session` or `user`, `time`. About a third of the rows is kept away
from everything fitted, to certify on. The first certified release of a task goes live by itself;
a later one waits for `sprat promote`.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Files of rows; `-` is standard input
    #[arg(required_unless_present = "from_traffic")]
    rows: Vec<PathBuf>,
    /// Learn from captured requests: what the large model answered, and what people said since
    #[arg(long)]
    from_traffic: bool,
    /// Only requests of the last DAYS days
    #[arg(long, value_name = "DAYS", requires = "from_traffic")]
    since: Option<u32>,
    /// Let the large model label rows without a label; the cost is quoted first
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    /// The most that --teacher and a judge of texts may spend, in dollars
    #[arg(long, value_name = "DOLLARS", allow_negative_numbers = true)]
    max_cost: Option<f64>,
    /// Exit code 1 unless the release is certified
    #[arg(long)]
    require_certified: bool,
    /// Put the release live, whatever is live now
    #[arg(long)]
    promote: bool,
    /// Set bad rows aside in FILE instead of stopping at the first
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Seed of everything random; the workspace's unless given
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    columns: ColumnNames,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = to_learn(workspace.task(&args.task)?, &args);
    require_learnable(&task)?;
    let models = Models::open(&workspace)?;
    let (sources, left_out) = models.sources(&task)?;
    let store = workspace.store()?;
    let mut rows = RowSet::default();
    if !args.rows.is_empty() {
        rows = read_rows(app, &task, &args)?;
    }
    if args.from_traffic {
        add_traffic(app, &store, &task, &args, &mut rows)?;
    }
    let cap = cap(&args)?;
    let Prepared { rows, prompt, spent } = with_teacher(app, &models, &store, &task, &args, rows)?;
    let opening = Opening { app, workspace: &workspace, models: &models, store: &store, task: &task };
    let left = cap.map(|cap| Money::from_micro((cap.micro() - spent.micro()).max(0)));
    let judge = opening.judge_of_rows(&rows.rows, sources.len(), left)?;
    let inputs: Vec<Input> = rows.rows.iter().take(1_000).map(|row| row.input.clone()).collect();
    let mut notices = rows.notices.clone();
    notices.extend(left_out);
    let shown = Shown { out: app.out(), bar: Mutex::new(None) };
    let progress = |stage: Stage<'_>| {
        shown.stage(stage);
        if app.cancel().is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let learned = app.block_on(learn(Order {
        task: &task,
        sources: &sources,
        data: rows.digest(),
        rows: rows.rows,
        notices,
        settings: models.settings_hash(&task),
        large: models.large_cost(&task, &inputs)?,
        judge: judge.as_ref().map(|judge| judge as &dyn Judge),
        prompt,
        seed: args.seed.unwrap_or(workspace.config.defaults.seed),
        threads: workspace.threads(),
        now_unix_ms: app.now_unix_ms(),
        code_version: crate::live::VERSION,
        releases: &workspace.releases(),
        store: &store,
        progress: &progress,
    }))?;
    shown.done();
    let learned = learned.map_err(failure)?;
    let went_live = deploy(app, &store, &learned, args.promote)?;
    let report = crate::evidence::write_report(&workspace, &learned.evidence)?;
    tell(app, &learned, went_live, &report);
    if args.require_certified && learned.release.certificate.status != Status::Certified {
        return Err(Failure::Told);
    }
    Ok(())
}

fn require_learnable(task: &Task) -> Result<(), Problem> {
    match task.kind {
        Kind::Answer => {
            Err(Problem::new(format!("a task of kind `{}` can't be learned by this version", task.kind))
                .allowed("classify, moderate, extract, generate"))
        }
        Kind::Generate if task.quality.is_none() => Err(Problem::new(format!(
            "task `{}` doesn't say when a text is good enough",
            task.name
        ))
        .allowed("[quality] with metric = \"exact\", \"f1\", \"rouge_l\", \"chrf\", \"judge\" or \"tests\"")
        .hint("add [quality], metric = \"rouge_l\" and least = 0.6 to its file")),
        _ => Ok(()),
    }
}

/// The task as it is to be learned: traffic carries the large model's answers, so that the promise is agreement with
/// them unless the task declares another. A few labels by people wouldn't suffice to certify on.
fn to_learn(task: &Task, args: &Args) -> Task {
    let mut task = task.clone();
    if args.rows.is_empty() && task.target.guarantee.is_none() {
        task.target.guarantee = Some(Guarantee::Agreement);
    }
    task
}

/// Adds what was captured.
fn add_traffic(
    app: &App,
    store: &sprat_store::Store,
    task: &Task,
    args: &Args,
    rows: &mut RowSet,
) -> Result<(), Failure> {
    const MS_PER_DAY: i64 = 86_400_000;
    let since = args.since.map(|days| app.now_unix_ms().saturating_sub(i64::from(days) * MS_PER_DAY));
    let captured = captured_rows(store, task, since.unwrap_or(i64::MIN))?;
    if captured.rows.is_empty() && (captured.unlabelled.is_empty() || args.teacher.is_none()) {
        let problem = match captured.unlabelled.len() {
            0 => Problem::new(format!("no request of task `{}` has been captured", task.name)),
            some => Problem::new(format!(
                "none of {} of task `{}` has an answer to learn from",
                words::counted(some as u64, "captured request"),
                task.name
            )),
        };
        let hint = format!(
            "set `enabled = true` under [capture] in tasks/{}.toml, run `sprat serve --shadow`, and let requests come",
            task.name
        );
        return Err(problem.hint(hint).into());
    }
    rows.append(captured);
    Ok(())
}

fn read_rows(app: &App, task: &Task, args: &Args) -> Result<RowSet, Failure> {
    let options = ReadOptions {
        skip_bad: args.rejects.is_some(),
        labels_may_be_missing: args.teacher.is_some(),
        ..args.columns.options()
    };
    let rows = read_labelled(&args.rows, task, &options)?;
    if let Some(file) = &args.rejects
        && !rows.rejected.is_empty()
    {
        let lines: Vec<String> = rows
            .rejected
            .iter()
            .map(|row| {
                json!({ "row": row.raw, "why": row.problem.message, "place": place(&row.problem) })
                    .to_string()
            })
            .collect();
        std::fs::write(file, lines.join("\n") + "\n")
            .map_err(|error| Failure::ours(format!("{} can't be written: {error}", shown(file))))?;
        app.out().warning(format!("{} bad rows are set aside in {}", rows.rejected.len(), shown(file)));
    }
    Ok(rows)
}

fn place(problem: &Problem) -> Option<String> {
    problem.place.as_ref().map(|place| format!("{}:{}", place.file, place.line))
}

/// The rows, labelled as far as they can be, and the large model's prompt where its answers are learned from.
struct Prepared {
    rows: RowSet,
    prompt: Option<sprat_task::Sha256Hex>,
    spent: Money,
}

fn with_teacher(
    app: &App,
    models: &Models<'_>,
    store: &sprat_store::Store,
    task: &Task,
    args: &Args,
    mut rows: RowSet,
) -> Result<Prepared, Failure> {
    let Some(teacher) = &args.teacher else {
        if !rows.unlabelled.is_empty() {
            app.out().notice(format!(
                "{} carry no label and are left out; --teacher large lets the large model label them",
                words::counted(rows.unlabelled.len() as u64, "row")
            ));
        }
        return Ok(Prepared { rows, prompt: None, spent: Money::ZERO });
    };
    let labelling = Labelling { teacher, cap: cap(args)?, examples: &examples(&rows.rows) };
    let labelled = label_with_large(app, models, store, task, &labelling, &rows.unlabelled)?;
    rows.unlabelled = Vec::new();
    rows.rows.extend(labelled.rows);
    Ok(Prepared { rows, prompt: Some(labelled.prompt), spent: labelled.spent })
}

/// The most that may be spent, where that was said.
fn cap(args: &Args) -> Result<Option<Money>, Problem> {
    let amount = |dollars| {
        Money::from_units(dollars).filter(|cap| *cap >= Money::ZERO).ok_or_else(|| {
            Problem::new(format!("--max-cost {dollars} is not an amount"))
                .allowed("0 or more dollars, such as 2.50")
        })
    };
    args.max_cost.map(amount).transpose()
}

/// What is going on, on stderr.
struct Shown<'a> {
    out: &'a Output,
    bar: Mutex<Option<(String, Progress)>>,
}

impl Shown<'_> {
    fn stage(&self, stage: Stage<'_>) {
        let (what, done, total) = match stage {
            Stage::Curating(rows) => {
                (format!("looking for duplicates among {} rows", words::count(rows as u64)), 0, None)
            }
            Stage::Training(model, progress) => {
                (format!("training {model}, percent"), (progress.done * 100.0) as u64, Some(100))
            }
            Stage::Asking(model, done, of) => {
                (format!("{model} answers certification rows"), done as u64, Some(of as u64))
            }
            Stage::Judging(done, of) => ("texts judged".to_owned(), done as u64, Some(of as u64)),
            Stage::Certifying => ("testing thresholds".to_owned(), 0, None),
            Stage::Measuring => ("measuring".to_owned(), 0, None),
            Stage::Writing => ("writing the release".to_owned(), 0, None),
        };
        // A poisoned lock only means that another thread's progress was cut off.
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if bar.as_ref().is_none_or(|(current, _)| *current != what) {
            *bar = None;
            *bar = Some((what.clone(), self.out.progress(&what, total)));
        }
        if let Some((_, bar)) = bar.as_ref() {
            bar.set(done);
            if let Stage::Training(model, progress) = stage {
                bar.say(training(model, progress));
            }
        }
    }

    fn done(&self) {
        *self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

/// A training run in words: loss and speed beside its name, as far as they are known.
fn training(model: &sprat_task::ModelId, progress: sprat_task::model::Progress) -> String {
    let loss = progress.loss.map(|loss| format!(", loss {loss:.3}")).unwrap_or_default();
    let speed = progress.rows_per_second.map(|rows| format!(", {rows:.0} rows/s")).unwrap_or_default();
    format!("training {model}{loss}{speed}, percent")
}

/// What the user sees of a failed `learn` or `certify`.
pub fn failure(error: LearnError) -> Failure {
    match error {
        LearnError::Input(problem) => problem.into(),
        LearnError::Train(TrainError::Cancelled) => Failure::Stopped,
        LearnError::Train(TrainError::Rows(why)) => Problem::new(why).into(),
        LearnError::Unjudged(_) => Failure::ours_with_hint(
            error.to_string(),
            "mend what the reason names, then run the same command again; what was judged is not asked again",
        ),
        other => Failure::ours(other.to_string()),
    }
}

/// Puts the release live where it is the first certified one, or where that was asked for.
fn deploy(app: &App, store: &sprat_store::Store, learned: &Learned, promote: bool) -> Result<bool, Failure> {
    let id = &learned.release.id;
    let live = store.registry().live(&id.task)?;
    if live.as_ref().is_some_and(|deployment| deployment.live == *id) {
        return Ok(true);
    }
    let first = live.is_none() && learned.release.certificate.allows_small_answers();
    if !(first || promote) {
        return Ok(false);
    }
    let why = if promote { "sprat learn --promote" } else { "the first certified release" };
    store.registry().promote(id, why, app.now_unix_ms())?;
    Ok(true)
}

fn tell(app: &App, learned: &Learned, went_live: bool, report: &std::path::Path) {
    let Learned { release, evidence, unchanged, .. } = learned;
    let json = json!({
        "release": release.id.to_string(),
        "live": went_live,
        "unchanged": unchanged,
        "report": shown(report),
        "evidence": evidence,
    });
    app.out().show(&json, |out| {
        evidence::show(out, evidence);
        out.heading("Release");
        if *unchanged {
            out.sentence(format!(
                "{} was made from these very rows and settings before: nothing was trained again",
                release.id
            ));
        }
        out.sentence(match (went_live, release.certificate.status) {
            (true, Status::Certified) => format!("{} is live", release.id),
            (true, _) => format!("{} is live, and answers nothing small: it is not certified", release.id),
            (false, Status::Certified) => format!(
                "{} is ready; `sprat promote {} {}` puts it live",
                release.id, release.id.task, release.id.version
            ),
            (false, _) => format!("{} is kept, and not live: it is not certified", release.id),
        });
        out.sentence(format!("report: {}", shown(report)));
        out.sentence(format!("next: {}", evidence.next));
    });
}
