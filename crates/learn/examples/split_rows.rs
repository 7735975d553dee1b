//! Says which row of some files `sprat learn` trains on, in which fold, and which it keeps to certify on, so that
//! another library can be given the very same rows:
//!
//! `split_rows tasks/tickets.toml rows.csv more.csv > split.json`
//!
//! Rows are counted from 0 over all files, in their order.

#[path = "shared/task_file.rs"]
mod task_file;

use std::path::PathBuf;

use serde_json::json;
use sprat_learn::curate::curate;
use sprat_learn::rows::{ReadOptions, read_labelled};
use sprat_learn::split::{SplitOptions, folds, split};

/// As in `sprat learn`, with the seed of a workspace that names none.
const FOLDS: u32 = 5;
const SEED: u64 = 0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [task, rows @ ..] = files.as_slice() else {
        return Err("usage: split_rows TASK.toml ROWS...".into());
    };
    let task = task_file::open(task)?;
    let rows = read_labelled(rows, &task, &ReadOptions::default())?.rows;
    let curated = curate(rows, &task);
    let split = split(&curated, &SplitOptions::for_target(&task.target, curated.rows.len(), SEED));
    let train: Vec<usize> = split.train.iter().copied().filter(|row| !curated.outvoted[*row]).collect();
    let folds = folds(&curated, &train, FOLDS, SEED);
    let rows = curated.rows.len();
    println!(
        "{}",
        json!({ "rows": rows, "train": train, "folds": folds, "certification": split.certification })
    );
    Ok(())
}
