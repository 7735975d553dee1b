//! How long does a step of fine-tuning take?
//!
//! `encoder_steps MODEL THREADS TOKENS STEPS` teaches made-up texts of so many tokens and 77 labels, 32 rows a step, and prints one
//! JSON object with the milliseconds of each step.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use sprat_models::encoder::classify::{Config, EncoderTrainer, FineTune, Place};
use sprat_task::model::Progress;
use sprat_task::{Answer, LabelledRow, Source, TrainError, Trainer, Training, read_task};

const LABELS: usize = 77;
/// Rows of a step.
const BATCH: usize = 32;
/// Each of them is one token of English word pieces.
const WORDS: [&str; 8] = ["time", "year", "people", "way", "day", "man", "thing", "woman"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, threads, tokens, steps] = arguments.as_slice() else {
        return Err("usage: encoder_steps MODEL THREADS TOKENS STEPS".into());
    };
    let (tokens, steps): (usize, usize) = (tokens.parse()?, steps.parse()?);
    let labels: Vec<String> = (0..LABELS).map(|label| format!("\"l{label}\"")).collect();
    let task = format!("kind = \"classify\"\nlabels = [{}]\n", labels.join(","));
    let task = read_task("steps", &Source::new("steps.toml", task), |_| Err(String::new()))?;
    // Half of the rows are taught; one step more than is timed, to get warm.
    let rows: Vec<LabelledRow> = (0..2 * BATCH * (steps + 2)).map(|row| of_tokens(row, tokens)).collect();
    let folds: Vec<u32> = (0..rows.len() as u32).map(|row| row % 2).collect();

    let config = Config { fine_tune: FineTune::Always, epochs: Some(2), ..Config::default() };
    let trainer = EncoderTrainer::new("steps".into(), Place::Folder(PathBuf::from(model)), config);
    let ends: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    let progress = |told: Progress| {
        let Ok(mut ends) = ends.lock() else { return ControlFlow::Break(()) };
        if told.rows_per_second.is_some() {
            ends.push(Instant::now());
        }
        if ends.len() > steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let training = Training { seed: 0, threads: threads.parse()?, kept: None, progress: &progress };
    let folder = std::env::temp_dir();
    match trainer.fit(&training, &task, &rows, &folds, &folder) {
        Err(TrainError::Cancelled) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("it ended before the steps were done".into()),
    }
    let ends = ends.into_inner()?;
    let taken: Vec<f64> = ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3).collect();
    println!("{}", json!({ "ms": taken }));
    Ok(())
}

fn of_tokens(row: usize, tokens: usize) -> LabelledRow {
    // Two tokens stand around every text.
    let words: Vec<&str> =
        (0..tokens - 2).map(|at| WORDS[(row * 7 + at * 3 + row * at) % WORDS.len()]).collect();
    LabelledRow::gold(words.join(" "), Answer::label(format!("l{}", row % LABELS).as_str()))
}
