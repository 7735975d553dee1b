//! How well would a small model do? Tried out on a sample, quickly: do like texts get like answers, and what does a
//! linear model make of rows it has not seen?

use std::collections::BTreeMap;

use sprat_models::linear::{Config, LinearModel, Prediction, Rows, Watch};
use sprat_models::retrieval::NeighbourIndex;
use sprat_stats::interval::{Estimate, Interval, wilson};

use super::candidate::Learnable;
use super::hash::{hash, scatter};

/// Below this there is nothing to tell: five folds of a dozen rows each.
const FEWEST_ROWS: usize = 60;
const FOLDS: u32 = 5;
/// Texts whose nearest other text is looked up.
const MOST_LOOKED_UP: usize = 1_000;
const CONFIDENCE: f64 = 0.95;

/// A row to try: the input, and the places of its labels.
pub(super) struct Labelled<'a> {
    pub(super) text: &'a str,
    pub(super) labels: Vec<usize>,
}

/// `None` where there are too few rows, or there is nothing to tell apart.
pub(super) fn learnable(
    rows: &[Labelled<'_>],
    labels: &[String],
    multi: bool,
    max_error: f64,
) -> Option<Learnable> {
    let mut answers: BTreeMap<&[usize], u64> = BTreeMap::new();
    rows.iter().for_each(|row| *answers.entry(&row.labels).or_default() += 1);
    if rows.len() < FEWEST_ROWS || answers.len() < 2 {
        return None;
    }
    let commonest = answers.values().max().copied().unwrap_or(0);
    let judged = out_of_fold(rows, labels, multi)?;
    let right = judged.iter().filter(|(_, right)| *right).count();
    Some(Learnable {
        rows: rows.len() as u64,
        majority: commonest as f64 / rows.len() as f64,
        neighbour_agreement: neighbour_agreement(rows),
        accuracy: share(right, rows.len()),
        max_error,
        answerable: answerable(judged, max_error),
    })
}

fn share(part: usize, of: usize) -> Estimate {
    let interval = wilson(part as u64, of as u64, CONFIDENCE);
    Estimate { value: part as f64 / of.max(1) as f64, interval }
}

/// How often a text's nearest other text got the same answer. Texts that stand in the log several times are looked up
/// once, so that a copy is never its own proof.
fn neighbour_agreement(rows: &[Labelled<'_>]) -> Estimate {
    let mut by_text: BTreeMap<u64, &Labelled<'_>> = BTreeMap::new();
    rows.iter().for_each(|row| {
        by_text.entry(text_id(row.text)).or_insert(row);
    });
    let distinct: Vec<&Labelled<'_>> = by_text.into_values().collect();
    let texts: Vec<&str> = distinct.iter().map(|row| row.text).collect();
    let index = NeighbourIndex::build(&texts);
    let looked_up = distinct.len().min(MOST_LOOKED_UP);
    let agreeing = (0..looked_up).filter(|row| {
        let nearest = index.nearest(texts[*row], 2).into_iter().find(|near| near.row != *row);
        nearest.is_some_and(|near| distinct[near.row].labels == distinct[*row].labels)
    });
    share(agreeing.count(), looked_up)
}

/// Texts that differ only in case and spacing are one.
fn text_id(text: &str) -> u64 {
    let folded: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    scatter(hash(&folded.join(" ")))
}

/// Each row's confidence and whether it was right, by a model that saw no row with the same text.
fn out_of_fold(rows: &[Labelled<'_>], labels: &[String], multi: bool) -> Option<Vec<(f64, bool)>> {
    let texts: Vec<&str> = rows.iter().map(|row| row.text).collect();
    let targets: Vec<Vec<u32>> =
        rows.iter().map(|row| row.labels.iter().map(|label| *label as u32).collect()).collect();
    let training = if multi {
        Rows::several_labels(&texts, &targets, labels)
    } else {
        let single: Vec<u32> = targets.iter().filter_map(|row| row.first().copied()).collect();
        Rows::one_label(&texts, &single, labels)
    };
    let predictions =
        LinearModel::out_of_fold(&training.ok()?, &folds(&texts), &Config::default(), Watch::default())
            .ok()?;
    let judged = predictions.iter().zip(&targets).map(|(prediction, target)| {
        (f64::from(prediction.signals.max_probability), chosen(prediction, multi) == *target)
    });
    Some(judged.collect())
}

/// Equal texts share a fold, and the folds have about equally many texts.
fn folds(texts: &[&str]) -> Vec<u32> {
    let ids: Vec<u64> = texts.iter().map(|text| text_id(text)).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let fold = |id: &u64| distinct.binary_search(id).unwrap_or(0) as u32 % FOLDS;
    ids.iter().map(fold).collect()
}

fn chosen(prediction: &Prediction, multi: bool) -> Vec<u32> {
    let scores = prediction.log_probabilities.iter().enumerate();
    if multi {
        return scores.filter(|(_, score)| score.exp() >= 0.5).map(|(label, _)| label as u32).collect();
    }
    let best = scores.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.map(|(label, _)| label as u32).into_iter().collect()
}

/// The largest share of the rows, most confident first, among which at most `max_error` are wrong, with one more wrong
/// answer counted than was seen. The interval: where even the upper end of the error's Wilson interval meets the
/// target, and where only the lower end does.
fn answerable(mut judged: Vec<(f64, bool)>, max_error: f64) -> Estimate {
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all = judged.len().max(1) as f64;
    let (mut value, mut lower, mut upper) = (0.0, 0.0, 0.0);
    let (mut accepted, mut wrong) = (0_u64, 0_u64);
    for tied in judged.chunk_by(|a, b| a.0 == b.0) {
        accepted += tied.len() as u64;
        wrong += tied.iter().filter(|(_, right)| !right).count() as u64;
        let coverage = accepted as f64 / all;
        let error = wilson(wrong, accepted, CONFIDENCE);
        if (wrong + 1) as f64 / (accepted + 1) as f64 <= max_error {
            value = coverage;
        }
        if error.upper <= max_error {
            lower = coverage;
        }
        if error.lower <= max_error {
            upper = coverage;
        }
    }
    Estimate { value, interval: Interval { lower: f64::min(lower, value), upper: f64::max(upper, value) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[String], labels: impl Fn(usize) -> usize) -> Vec<Labelled<'_>> {
        texts.iter().enumerate().map(|(row, text)| Labelled { text, labels: vec![labels(row)] }).collect()
    }

    fn names() -> Vec<String> {
        ["refund", "delivery"].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_the_words_decide_is_learnable_and_what_a_coin_decides_is_not() {
        let topics = ["please send my money back", "where does my parcel stay"];
        let texts: Vec<String> = (0..400_u64)
            .map(|row| format!("{} {:x}", topics[row as usize % 2], scatter(row) % 1_000_000))
            .collect();
        let words = learnable(&rows(&texts, |row| row % 2), &names(), false, 0.05).expect("enough rows");
        assert!(words.accuracy.value > 0.97 && words.answerable.value > 0.9, "{words:?}");
        assert!(words.neighbour_agreement.value > 0.9, "{words:?}");
        let coin =
            learnable(&rows(&texts, |row| scatter(row as u64 + 5_000) as usize % 2), &names(), false, 0.05);
        let coin = coin.expect("enough rows");
        assert!(coin.accuracy.interval.lower < 0.6 && coin.answerable.value < 0.1, "{coin:?}");
        assert!((0.4..0.6).contains(&coin.majority), "{coin:?}");
    }

    #[test]
    fn copies_of_a_text_prove_nothing() {
        let texts: Vec<String> = (0..400_u64).map(|row| format!("ticket {:x}", scatter(row / 4))).collect();
        let found = learnable(
            &rows(&texts, |row| scatter(row as u64 / 4 + 5_000) as usize % 2),
            &names(),
            false,
            0.05,
        );
        let found = found.expect("enough rows");
        assert!(found.accuracy.value < 0.75 && found.answerable.value < 0.2, "{found:?}");
    }

    #[test]
    fn too_few_rows_or_one_answer_say_nothing() {
        let texts: Vec<String> = (0..100).map(|row| format!("text {row}")).collect();
        assert_eq!(learnable(&rows(&texts[..59], |row| row % 2), &names(), false, 0.05), None);
        assert_eq!(learnable(&rows(&texts, |_| 0), &names(), false, 0.05), None);
    }

    #[test]
    fn the_share_answerable_stops_where_the_errors_begin() {
        let judged: Vec<(f64, bool)> =
            (0..1_000).map(|row| (1.0 - f64::from(row) / 1e3, row < 800)).collect();
        let found = answerable(judged, 0.05);
        assert!((0.82..0.85).contains(&found.value), "{found:?}");
        assert!(found.interval.lower < found.value && found.value < found.interval.upper, "{found:?}");
        assert_eq!(answerable(Vec::new(), 0.05).value, 0.0);
    }
}
