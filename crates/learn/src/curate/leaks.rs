//! Signs that a test set gives the answer away.

use std::collections::HashMap;

use rayon::prelude::*;
use sprat_task::{Answer, Label, LabelledRow, Task};

use super::fold::folded;
use super::minhash;

/// Pairs of positions, one in each list, whose texts are the same or nearly the same; each position of `test` at most
/// once, with one of its likes in `train`, in the order of `test`.
pub fn near_duplicates_across(train: &[&str], test: &[&str]) -> Vec<(usize, usize)> {
    let texts: Vec<String> = train.par_iter().chain(test.par_iter()).map(|text| folded(text)).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    let same_as: Vec<usize> =
        texts.iter().enumerate().map(|(row, text)| *first.entry(text).or_insert(row)).collect();
    let distinct: Vec<usize> = (0..texts.len()).filter(|row| same_as[*row] == *row).collect();
    let distinct_texts: Vec<&str> = distinct.iter().map(|row| texts[*row].as_str()).collect();
    let mut union = super::union::Union::new(texts.len());
    same_as.iter().enumerate().for_each(|(row, first)| union.join(row, *first));
    for (one, other) in minhash::near_duplicates(&distinct_texts) {
        union.join(distinct[one], distinct[other]);
    }
    // The root is the smallest member: one of `train` wherever the cluster has any.
    (0..test.len())
        .filter_map(|row| Some((union.root(train.len() + row), row)).filter(|(root, _)| *root < train.len()))
        .collect()
}

/// The share of labelled rows whose text holds every word of their own label (`card_arrival`: both "card" and
/// "arrival"); `None` without labels. A high share may mean that the answer was left in the text.
pub fn rows_with_their_label_in_the_text(rows: &[LabelledRow], task: &Task) -> Option<f64> {
    let words: HashMap<&str, Vec<String>> =
        task.labels.iter().map(|label| (label.as_str(), words_of(label.as_str()))).collect();
    let labels = |row: &LabelledRow| match row.target() {
        Some(Answer::Label(label)) => vec![label.clone()],
        Some(Answer::Labels(labels)) => labels.clone(),
        _ => Vec::new(),
    };
    let told: Vec<bool> = rows
        .par_iter()
        .filter_map(|row| {
            let labels: Vec<Label> = labels(row);
            (!labels.is_empty()).then(|| {
                let text = words_of(&row.input.text);
                let holds = |label: &Label| {
                    let words = words.get(label.as_str());
                    words.is_some_and(|words| {
                        !words.is_empty() && words.iter().all(|word| text.contains(word))
                    })
                };
                labels.iter().any(holds)
            })
        })
        .collect();
    (!told.is_empty()).then(|| told.iter().filter(|told| **told).count() as f64 / told.len() as f64)
}

fn words_of(text: &str) -> Vec<String> {
    folded(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
