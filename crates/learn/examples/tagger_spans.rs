//! Fits the tagger on all rows of some files, keeping none to certify on, and says what it finds in the rows of another:
//! every span, and the record that a rung would fill. Beside libraries that are trained on the same rows.
//!
//! `tagger_spans tasks/slots.toml asked.jsonl rows.jsonl more.jsonl > spans.json`

#[path = "shared/task_file.rs"]
mod task_file;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Value, json};
use sprat_learn::rows::{ReadOptions, read_labelled};
use sprat_models::tagger::{Config, Row, Scratch, Tagged, TaggerModel, Watch, fit, record};
use sprat_task::{LabelledRow, Task};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [task, asked, taught @ ..] = files.as_slice() else {
        return Err("usage: tagger_spans TASK.toml ASKED.jsonl ROWS...".into());
    };
    let task = task_file::open(task)?;
    let read = |files: &[PathBuf]| read_labelled(files, &task, &ReadOptions::default());
    let (taught, asked) = (read(taught)?.rows, read(std::slice::from_ref(asked))?.rows);
    let rows: Vec<Row<'_>> = taught.iter().filter_map(|row| Row::of(&task, row)).collect();
    let all: Vec<usize> = (0..rows.len()).collect();
    let begun = Instant::now();
    let watch = Watch { pass: &|_| (), cancelled: &AtomicBool::new(false) };
    let model = fit(&rows, &all, &task.fields, &Config::default(), watch)
        .map_err(|_| "nobody cancels this training")?;
    let fit_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let found = answers(&task, &model, &asked);
    let us_a_row = begun.elapsed().as_micros() as f64 / asked.len().max(1) as f64;
    let whole = rows.iter().filter(|row| row.is_whole).count();
    let bytes = model.to_bytes().len();
    println!(
        "{}",
        json!({ "taught": whole, "fit_s": fit_s, "us_a_row": us_a_row, "bytes": bytes, "found": found })
    );
    Ok(())
}

fn answers(task: &Task, model: &TaggerModel, asked: &[LabelledRow]) -> Vec<Value> {
    let mut scratch = Scratch::default();
    let answer = |row: &LabelledRow| {
        let text = &row.input.text;
        let tagged: Tagged = model.tag(text, &task.fields, &mut scratch);
        let character = |byte: usize| text[..byte].chars().count();
        let span = |seen: &sprat_models::tagger::Seen| {
            json!([task.fields[seen.span.field].name, character(seen.bytes.start), character(seen.bytes.end)])
        };
        json!({
            "spans": tagged.spans.iter().map(span).collect::<Vec<_>>(),
            "record": record(text, &task.fields, &tagged),
        })
    };
    asked.iter().map(answer).collect()
}
