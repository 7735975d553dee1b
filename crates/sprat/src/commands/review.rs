//! `sprat review`: a person labels the rows that help most.

mod said;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use sprat_cascade::{Climbed, Reach};
use sprat_learn::choose::{Candidate, Why, choose};
use sprat_learn::rows::columns::Columns;
use sprat_learn::rows::{ReadOptions, read_unlabelled};
use sprat_models::retrieval::NeighbourIndex;
use sprat_store::{Labelled, NewReview, Reason, ReviewRow, Store};
use sprat_task::{Answer, Context, Input, LabelledRow, Problem, Task};

use crate::app::App;
use crate::failure::Failure;
use crate::live::{Live, Reaching, live};
use crate::models::Models;
use crate::output::{Output, words};
use crate::workspace::{Workspace, shown};
use said::Said;

/// Label the rows that help most
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat review tickets mails.csv               picks 30 rows, asks for their labels one by one
  sprat review tickets mails.csv --random      draws them uniformly: only such labels may certify
  sprat review tickets                         goes on with what waits
  sprat review tickets --export labels.jsonl   the labels so far, for sprat learn or sprat certify

Half of the rows are the unsure ones that stand for many others, three in ten those on which small
and large disagree, the rest is drawn at random. At the prompt: a number or a label; several
separated by `|` where the task allows it; s skips, q ends. Of a task that extracts, each field in
turn: its value, Enter for what stands in brackets, - where it isn't there; or the whole record as
JSON. Every label is kept the moment it is given.")]
pub struct Args {
    /// The task: tasks/TASK.toml
    task: String,
    /// Files of rows to choose from; labels they carry are not looked at
    rows: Vec<PathBuf>,
    /// How many rows to choose
    #[arg(short, long, default_value_t = 30)]
    number: usize,
    /// The column that holds the text [usual: text, input]
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// Draw rows uniformly, as certification needs them
    #[arg(long)]
    random: bool,
    /// Choose, but don't ask
    #[arg(long)]
    no_ask: bool,
    /// Write the labels given so far, as rows for sprat learn
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let task = workspace.task(&args.task)?.clone();
    if !task.kind.is_reviewable() {
        return Err(Problem::new(format!("tasks of kind `{}` have no labels to give", task.kind))
            .allowed("classify, moderate, extract")
            .into());
    }
    let store = workspace.store()?;
    if let Some(file) = &args.export {
        return export(app, &store, &task, file);
    }
    if !args.rows.is_empty() {
        queue(app, &workspace, &store, &task, &args)?;
    }
    let given = if args.no_ask { 0 } else { ask(app, &store, &task)? };
    let counts = store.review().counts(&task.name)?;
    let json = json!({ "labelled_now": given, "labelled": counts.labelled, "waiting": counts.waiting, "more_labels": more_labels(&store, &task)? });
    let more = more_labels(&store, &task)?;
    app.out().show(&json, |out| {
        out.line(format!(
            "{} labelled now, {} in all, {} waiting",
            words::count(given),
            words::count(counts.labelled),
            words::count(counts.waiting)
        ));
        if let Some(more) = more {
            out.line(format!("about {} more labels would certify {}", words::count(more), task.name));
        }
        if counts.labelled > 0 {
            out.line(format!(
                "next: sprat review {} --export labels.jsonl, then sprat learn {} ROWS labels.jsonl",
                task.name, task.name
            ));
        }
    });
    Ok(())
}

/// How many more labels would certify the newest release, as its certificate says.
fn more_labels(store: &Store, task: &Task) -> Result<Option<u64>, Failure> {
    Ok(store.registry().releases(&task.name)?.first().and_then(|release| release.certificate.more_labels))
}

/// Chooses rows and puts them into the queue.
fn queue(app: &App, workspace: &Workspace, store: &Store, task: &Task, args: &Args) -> Result<(), Failure> {
    let columns = Columns { text: args.text_column.clone(), ..Columns::default() };
    let options = ReadOptions { columns, ..ReadOptions::default() };
    let rows = read_unlabelled(&args.rows, &options)?;
    let rows: Vec<LabelledRow> = rows.rows.into_iter().chain(rows.unlabelled).collect();
    let models = Models::open(workspace)?;
    let newest = store.registry().releases(&task.name)?.first().map(|release| release.id.version);
    let live = app.block_on(live(app, workspace, &models, store, task, newest, Reaching::SmallOnly))??;
    let climbs = climb(app, &live, task, &rows)?;
    let texts: Vec<&str> = rows.iter().map(|row| row.input.text.as_str()).collect();
    let crowd = NeighbourIndex::build(&texts);
    let candidates: Vec<Candidate> = rows
        .iter()
        .zip(&climbs)
        .map(|(row, climbed)| Candidate {
            confidence: climbed.confidence().map(|confidence| confidence.get()),
            disagrees: match (&climbed.own, &row.large) {
                (Some((_, prediction, _)), Some(large)) => prediction.answer != *large,
                _ => false,
            },
            hash: row.input.hash(),
        })
        .collect();
    let density = |row: usize| {
        let near = crowd.nearest(texts[row], 6);
        let others = near.iter().filter(|found| found.row != row);
        others.map(|found| f64::from(found.similarity)).sum::<f64>()
    };
    let chosen = choose(&candidates, args.number, args.random, workspace.config.defaults.seed, &density);
    let queued = chosen.iter().map(|choice| {
        let (row, climbed) = (&rows[choice.row], &climbs[choice.row]);
        NewReview {
            task: task.name.clone(),
            text: row.input.text.clone(),
            small: climbed.own.as_ref().map(|(_, prediction, _)| prediction.answer.clone()),
            large: row.large.clone(),
            confidence: climbed.confidence(),
            reason: match choice.why {
                Why::Unsure => Reason::Unsure,
                Why::Disagreement => Reason::Disagreement,
                Why::Random => Reason::Random,
            },
            propensity: choice.propensity,
            priority: choice.priority,
            request: None,
        }
    });
    let added = store.review().add(queued.collect(), app.now_unix_ms())?;
    app.out().notice(format!(
        "{} chosen out of {}",
        words::counted(added, "row"),
        words::count(rows.len() as u64)
    ));
    Ok(())
}

fn climb(app: &App, live: &Live, task: &Task, rows: &[LabelledRow]) -> Result<Vec<Climbed>, Failure> {
    let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
    let cx = Context {
        deadline: Instant::now() + Duration::from_secs(3_600),
        cancel: app.cancel().clone(),
        request: "review".into(),
    };
    app.block_on(live.ladder.climb(&cx, task, &inputs, Reach::SmallOnly))
}

/// Asks for labels on stderr and reads them from standard input, until nothing waits or somebody has had enough.
fn ask(app: &App, store: &Store, task: &Task) -> Result<u64, Failure> {
    let mut lines = std::io::stdin().lock().lines();
    let (mut given, mut skipped) = (0, 0);
    loop {
        let waiting = store.review().next(&task.name, skipped + 1)?;
        let Some(row) = waiting.into_iter().nth(skipped) else { return Ok(given) };
        show(app.out(), &row);
        match said::ask(app.out(), task, &row.row, &mut lines) {
            Said::Quit => return Ok(given),
            Said::Skip => skipped += 1,
            Said::Answer(answer) => {
                let by = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
                store.review().label(row.id, &Labelled { answer, by, time_unix_ms: app.now_unix_ms() })?;
                given += 1;
            }
        }
        if app.cancel().is_cancelled() {
            return Ok(given);
        }
    }
}

fn show(out: &Output, row: &ReviewRow) {
    out.aside(&format!("\n{}\n", words::plain(&row.row.text)));
    let said = |who: &str, answer: &Option<Answer>| {
        answer.as_ref().map(|answer| format!("{who} says {}", words::plain(&answer.to_line())))
    };
    let said: Vec<String> =
        [said("small", &row.row.small), said("large", &row.row.large)].into_iter().flatten().collect();
    if !said.is_empty() {
        out.aside(&format!("  ({})\n", said.join(", ")));
    }
}

fn export(app: &App, store: &Store, task: &Task, file: &PathBuf) -> Result<(), Failure> {
    let cant = |error: std::io::Error| Failure::ours(format!("{} can't be written: {error}", shown(file)));
    let mut writer = std::io::BufWriter::new(std::fs::File::create(file).map_err(cant)?);
    let (mut all, mut uniform) = (0_u64, 0_u64);
    for row in store.review().labelled(&task.name) {
        let row = row?;
        let Some(label) = &row.label else { continue };
        let random = matches!(row.row.reason, Reason::Random | Reason::Audit);
        let mut line =
            json!({ "text": row.row.text, "reason": row.row.reason, "propensity": row.row.propensity });
        match &label.answer {
            Answer::Fields(record) => line["fields"] = json!(record),
            other => line["label"] = json!(other.to_line()),
        }
        if let Some(large) = &row.row.large {
            line["large"] = json!(large.to_line());
        }
        writeln!(writer, "{line}").map_err(cant)?;
        all += 1;
        uniform += u64::from(random);
    }
    writer.flush().map_err(cant)?;
    let json = json!({ "file": shown(file), "rows": all, "random_rows": uniform });
    app.out().show(&json, |out| {
        out.line(format!("{}: {}", shown(file), words::counted(all, "row")));
        if uniform < all {
            out.sentence(format!("{} of them were chosen for being hard: learn from all of them, but certify only on rows drawn with --random", words::count(all - uniform)));
        }
    });
    Ok(())
}
