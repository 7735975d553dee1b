//! What is odd about a set of rows before anything is learned from it: texts that stand there twice, nearly twice, or
//! with two different labels. Nothing is deleted: rows stay where they are, and a split decides with what is said here.

use std::collections::HashMap;

use sprat_task::{Answer, LabelledRow, Task};

pub mod fold;
pub mod leaks;
pub mod minhash;
pub mod noise;
pub(crate) mod union;

use fold::folded;
use union::Union;

/// Rows, and which of them belong together.
#[derive(Clone, Debug, Default)]
pub struct Curated {
    /// The rows, as they came and in their order.
    pub rows: Vec<LabelledRow>,
    /// One cluster number a row, from 0 in order of first appearance: rows of one cluster have the same or nearly the
    /// same text.
    pub cluster: Vec<u32>,
    /// Whether the row's label lost against another label of the very same text: it is not to be learned from.
    pub outvoted: Vec<bool>,
    /// Rows whose text stands in an earlier row too.
    pub exact_duplicates: u64,
    /// Clusters that hold at least two different texts.
    pub near_duplicate_clusters: u64,
    /// Texts with more than one answer.
    pub conflicts: Vec<Conflict>,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
    /// What a row's text is once case, width and spaces are folded away, as a number.
    pub(crate) text_hash: Vec<u64>,
}

/// A text with more than one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The text, as it first stands; `None` where it is a captured request's, which what is told of it would outlive.
    pub text: Option<String>,
    /// Each answer with the lines it stands on; the one to learn from first (the commonest, among equals the first).
    pub labels: Vec<(Answer, Vec<u64>)>,
}

/// A cluster with more than this share of all rows is pointed out: it is a template rather than a repetition.
const LARGE_CLUSTER: f64 = 0.10;

/// Finds duplicates, near-duplicates and contradictions. Takes time in proportion to the rows' length in all.
///
/// Texts are the same when they are after folding ([`fold::folded`]), and nearly the same when the Jaccard similarity
/// of their shingles is at least 0.8 ([`minhash`]); "nearly" is taken to be transitive.
pub fn curate(rows: Vec<LabelledRow>, task: &Task) -> Curated {
    let texts: Vec<String> = fold::folded_all(&rows);
    let mut first_with: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
    let same_as: Vec<usize> =
        texts.iter().enumerate().map(|(row, text)| *first_with.entry(text.as_str()).or_insert(row)).collect();
    let distinct: Vec<usize> = (0..rows.len()).filter(|row| same_as[*row] == *row).collect();
    let distinct_texts: Vec<&str> = distinct.iter().map(|row| texts[*row].as_str()).collect();

    let mut union = Union::new(rows.len());
    for (row, first) in same_as.iter().enumerate() {
        union.join(row, *first);
    }
    for (one, other) in minhash::near_duplicates(&distinct_texts) {
        union.join(distinct[one], distinct[other]);
    }
    let cluster = union.numbers();
    let conflicts = conflicts(&rows, &same_as);
    let text_hash = fold::hashes(&texts);
    drop(texts);

    let mut curated = Curated {
        exact_duplicates: (rows.len() - distinct.len()) as u64,
        near_duplicate_clusters: clusters_of_several(&distinct, &cluster),
        outvoted: outvoted(&rows, &same_as, &conflicts),
        conflicts: conflicts.into_values().collect(),
        notices: Vec::new(),
        cluster,
        rows,
        text_hash,
    };
    curated
        .conflicts
        .sort_by_key(|conflict| conflict.labels.iter().flat_map(|(_, lines)| lines).min().copied());
    curated.notices = notices(&curated, task);
    curated
}

/// Rows by the first row of the same text, where there are several answers.
fn conflicts(rows: &[LabelledRow], same_as: &[usize]) -> HashMap<usize, Conflict> {
    let mut answers: HashMap<usize, Vec<(Answer, Vec<u64>, f64)>> = HashMap::new();
    for (row, first) in rows.iter().zip(same_as) {
        let Some(answer) = row.target() else { continue };
        let known = answers.entry(*first).or_default();
        match known.iter_mut().find(|(other, ..)| other == answer) {
            Some((_, lines, weight)) => {
                lines.push(row.line);
                *weight += f64::from(row.weight);
            }
            None => known.push((answer.clone(), vec![row.line], f64::from(row.weight))),
        }
    }
    answers.retain(|_, known| known.len() > 1);
    answers
        .into_iter()
        .map(|(first, mut known)| {
            known.sort_by(|(.., one), (.., other)| other.total_cmp(one)); // stable: among equals, the first
            let labels = known.into_iter().map(|(answer, lines, _)| (answer, lines)).collect();
            let text = (!rows[first].captured).then(|| rows[first].input.text.clone());
            (first, Conflict { text, labels })
        })
        .collect()
}

fn outvoted(rows: &[LabelledRow], same_as: &[usize], conflicts: &HashMap<usize, Conflict>) -> Vec<bool> {
    let lost = |row: &LabelledRow, first: &usize| {
        let winner = conflicts.get(first).and_then(|conflict| conflict.labels.first());
        winner.is_some_and(|(winner, _)| row.target().is_some_and(|answer| answer != winner))
    };
    rows.iter().zip(same_as).map(|(row, first)| lost(row, first)).collect()
}

fn clusters_of_several(distinct: &[usize], cluster: &[u32]) -> u64 {
    let mut texts: HashMap<u32, u32> = HashMap::new();
    for row in distinct {
        *texts.entry(cluster[*row]).or_default() += 1;
    }
    texts.values().filter(|texts| **texts > 1).count() as u64
}

fn notices(curated: &Curated, task: &Task) -> Vec<String> {
    let mut notices = Vec::new();
    let rows = curated.rows.len();
    if let Some(conflict) = curated.conflicts.first() {
        let texts = match curated.conflicts.len() {
            1 => "1 text stands there".to_owned(),
            several => format!("{several} texts stand there"),
        };
        notices.push(format!(
            "{texts} with different labels, such as {}; the commonest is learned",
            told(conflict)
        ));
    }
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    for cluster in &curated.cluster {
        *sizes.entry(*cluster).or_default() += 1;
    }
    let largest = sizes.values().max().copied().unwrap_or(0);
    if rows >= 100 && largest as f64 > LARGE_CLUSTER * rows as f64 {
        notices.push(format!(
            "{largest} of {rows} rows are nearly the same text; they stay together, so fewer rows can be certified on"
        ));
    }
    let repeated = leaks::rows_with_their_label_in_the_text(&curated.rows, task);
    if let Some(share) = repeated.filter(|share| *share > 0.5) {
        notices.push(format!(
            "{:.0}% of the texts hold the words of their own label; make sure that the answer isn't part of the text",
            share * 100.0
        ));
    }
    notices
}

/// A contradiction on one line; of a captured request only where it is.
fn told(conflict: &Conflict) -> String {
    let line = |lines: &[u64]| format!("line {}", lines.first().unwrap_or(&0));
    let Some(text) = &conflict.text else {
        let lines: Vec<String> = conflict.labels.iter().map(|(_, lines)| line(lines)).collect();
        return format!("that of {}", lines.join(" and "));
    };
    let labels = conflict.labels.iter();
    let labels: Vec<String> =
        labels.map(|(answer, lines)| format!("`{}` ({})", answer.to_line(), line(lines))).collect();
    let short: String = text.chars().take(60).collect();
    format!("\"{}\" with {}", short.escape_debug(), labels.join(" and "))
}

/// Whether two texts are the same to [`curate`].
pub fn is_same_text(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

#[cfg(test)]
mod tests;
