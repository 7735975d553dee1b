//! Fits one rung on all rows of some files, keeping none to certify on, and says what it answers to the rows of another:
//! accuracy beside libraries that are trained on the same rows.
//!
//! `rung_answers linear tasks/tickets.toml holdout.csv rows.csv more.csv > answers.json`; a folder with an encoder instead of
//! `linear` teaches that.

#[path = "shared/task_file.rs"]
mod task_file;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use sprat_learn::curate::curate;
use sprat_learn::observe::ask;
use sprat_learn::rows::{ReadOptions, read_labelled};
use sprat_learn::split::folds;
use sprat_models::{encoder, linear};
use sprat_task::{Input, Trainer, Training};

/// As in `sprat learn`, with the seed of a workspace that names none.
const FOLDS: u32 = 5;
const SEED: u64 = 0;
const THREADS: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [rung, task, asked, taught @ ..] = files.as_slice() else {
        return Err("usage: rung_answers linear|FOLDER TASK.toml ASKED.csv ROWS...".into());
    };
    let task = task_file::open(task)?;
    let read = |files: &[PathBuf]| read_labelled(files, &task, &ReadOptions::default());
    let curated = curate(read(taught)?.rows, &task);
    let kept: Vec<usize> = (0..curated.rows.len()).filter(|row| !curated.outvoted[*row]).collect();
    let folds = folds(&curated, &kept, FOLDS, SEED);
    let rows: Vec<_> = kept.iter().map(|row| curated.rows[*row].clone()).collect();
    let folder = std::env::temp_dir().join(format!("rung-answers-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let training =
        Training { seed: SEED, threads: THREADS, kept: None, progress: &|_| ControlFlow::Continue(()) };
    let fitted = trainer(rung).fit(&training, &task, &rows, &folds, &folder);
    let inputs: Vec<Input> =
        read(std::slice::from_ref(asked))?.rows.into_iter().map(|row| row.input).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let answers = fitted.map(|fitted| runtime.block_on(ask(fitted.model.as_ref(), &task, &inputs, |_| {})));
    std::fs::remove_dir_all(&folder)?;
    let line = |attempt: &sprat_task::Attempt| attempt.prediction().map(|said| said.answer.to_line());
    let answers: Vec<Option<String>> = answers?.iter().map(line).collect();
    println!("{}", json!({ "trained_on": rows.len(), "answers": answers }));
    Ok(())
}

fn trainer(rung: &Path) -> Box<dyn Trainer> {
    use encoder::classify::{Config, EncoderTrainer, Place};
    match rung == Path::new("linear") {
        true => Box::new(linear::LinearTrainer::new("linear".into(), linear::Config::default())),
        false => {
            Box::new(EncoderTrainer::new("encoder".into(), Place::Folder(rung.into()), Config::default()))
        }
    }
}
