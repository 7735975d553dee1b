//! Whether there are enough rows, of enough labels, to learn from at all.

use std::collections::HashMap;

use sprat_stats::binomial::least_n_with_zero_bad;
use sprat_task::certificate::percent;
use sprat_task::extract::align;
use sprat_task::problem::list;
use sprat_task::{Answer, Kind, Label, LabelledRow, Problem, Task};

use crate::split::MOST_FOR_CERTIFICATION;

/// Fewer labelled rows than this teach nothing: folds of four rows are the least that out-of-fold scores mean
/// anything on.
pub const FEWEST_ROWS: usize = 20;

/// Refuses rows that can't teach this task: too few, or all of one label. Gives what the user ought to know about the
/// others, a sentence each.
pub fn check_enough(rows: &[LabelledRow], task: &Task) -> Result<Vec<String>, Problem> {
    let labelled = rows.iter().filter(|row| row.target().is_some()).count();
    let to_certify = rows_to_certify(task);
    if labelled < FEWEST_ROWS {
        let rows = if labelled == 1 { "1 labelled row is" } else { &format!("{labelled} labelled rows are") };
        return Err(Problem::new(format!("{rows} too few to learn from"))
            .allowed(match to_certify {
                Some(least) => format!(
                    "at least {FEWEST_ROWS}; at least {least} before anything can be certified at {} error",
                    percent(task.target.max_error)
                ),
                None => format!("at least {FEWEST_ROWS}"),
            })
            .hint("label more, or let the large model do it with `--teacher large`"));
    }
    if task.kind == Kind::Extract {
        return Ok(of_fields(rows, labelled, to_certify, task));
    }
    if !task.kind.has_labels() {
        return Ok(Vec::new());
    }
    let counts = label_counts(rows);
    if let (1, Some((only, _)), false) = (counts.len(), counts.iter().next(), task.multi) {
        return Err(Problem::new(format!("every row is labelled `{only}`: there is nothing to tell apart"))
            .allowed(list(task.labels.iter().map(Label::as_str)))
            .hint("add rows of the other labels"));
    }
    if counts.is_empty() {
        return Err(Problem::new("no row carries any label: there is nothing to learn")
            .allowed(list(task.labels.iter().map(Label::as_str))));
    }
    Ok(notices(&counts, labelled, to_certify, task))
}

/// Labelled rows below which nothing can be certified at the task's target, however good the models: the fewest
/// certification rows that prove it with none bad, over the largest share that is kept for certification.
pub fn rows_to_certify(task: &Task) -> Option<u64> {
    let least = least_n_with_zero_bad(task.target.max_error, task.target.delta())?;
    Some((least as f64 / MOST_FOR_CERTIFICATION).ceil() as u64)
}

fn label_counts(rows: &[LabelledRow]) -> HashMap<&Label, usize> {
    let mut counts = HashMap::new();
    for answer in rows.iter().filter_map(LabelledRow::target) {
        match answer {
            Answer::Label(label) => *counts.entry(label).or_default() += 1,
            Answer::Labels(labels) => labels.iter().for_each(|label| *counts.entry(label).or_default() += 1),
            Answer::Fields(_) | Answer::Text(_) => {}
        }
    }
    counts
}

fn notices(
    counts: &HashMap<&Label, usize>,
    labelled: usize,
    to_certify: Option<u64>,
    task: &Task,
) -> Vec<String> {
    let mut notices = Vec::new();
    let with = |test: &dyn Fn(usize) -> bool| -> Vec<&str> {
        let known = task.labels.iter().filter(|label| test(counts.get(label).copied().unwrap_or(0)));
        known.map(Label::as_str).collect()
    };
    let absent = with(&|count| count == 0);
    if !absent.is_empty() {
        notices.push(format!("no row is labelled {}: the small models can't learn it", list(absent)));
    }
    let rare = with(&|count| (1..5).contains(&count));
    if !rare.is_empty() {
        notices.push(format!("fewer than 5 rows are labelled {}", list(rare)));
    }
    notices.extend(too_few_to_certify(labelled, to_certify, task));
    notices
}

fn too_few_to_certify(labelled: usize, to_certify: Option<u64>, task: &Task) -> Option<String> {
    let least = to_certify.filter(|least| (labelled as u64) < *least)?;
    Some(format!(
        "{labelled} rows can't certify anything at {} error: at least {least} are needed",
        percent(task.target.max_error)
    ))
}

/// What there is to know of fields: those that rows don't have, and values that don't stand in their texts.
fn of_fields(rows: &[LabelledRow], labelled: usize, to_certify: Option<u64>, task: &Task) -> Vec<String> {
    let mut found = vec![(0_usize, 0_usize, 0_u64); task.fields.len()];
    for row in rows {
        let (Some(aligned), Some(Answer::Fields(record))) = (align(task, row), row.target()) else {
            continue;
        };
        for (number, (field, (values, nowhere, first))) in task.fields.iter().zip(&mut found).enumerate() {
            *values += usize::from(record.contains_key(&field.name));
            if aligned.nowhere.contains(&number) {
                *first = if *nowhere == 0 { row.line } else { *first };
                *nowhere += 1;
            }
        }
    }
    let mut notices = Vec::new();
    let names = task.fields.iter().map(|field| field.name.as_str());
    let absent: Vec<&str> =
        names.zip(&found).filter(|(_, (values, ..))| *values == 0).map(|(name, _)| name).collect();
    if !absent.is_empty() {
        notices.push(format!("no row has {}: the small models can't learn it", list(absent)));
    }
    for (field, (values, nowhere, first)) in
        task.fields.iter().zip(&found).filter(|(_, (_, nowhere, _))| *nowhere > 0)
    {
        notices.push(format!(
            "{nowhere} of {values} values of `{}` stand nowhere in their texts, the first in line {first}: such rows teach \
             a tagger nothing, and count against it",
            field.name
        ));
    }
    notices.extend(too_few_to_certify(labelled, to_certify, task));
    notices
}
