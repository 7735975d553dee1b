//! A uniform sample of a stream of any length: the same stream gives the same sample.

use std::collections::BTreeMap;

use super::hash::scatter;

/// Rows kept of each group: as many as the probe learns from.
pub(super) const MOST_ROWS: usize = 2_000;
/// Bytes kept of each text; what comes after them seldom decides an answer.
const MOST_BYTES: usize = 8_000;

/// A text and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) answer: String,
}

/// The rows whose numbers have the smallest hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample(BTreeMap<(u64, u64), Row>);

impl Sample {
    /// Offers the row that stood at place `number` of the log.
    pub(super) fn offer(&mut self, number: u64, text: &str, answer: &str) {
        let rank = (scatter(number), number);
        let is_full = self.0.len() >= MOST_ROWS;
        if is_full && self.0.last_key_value().is_some_and(|(last, _)| *last < rank) {
            return;
        }
        self.0.insert(rank, Row { text: cut(text), answer: cut(answer) });
        self.shrink();
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.shrink();
    }

    /// The rows, in an order that has nothing to do with the log's.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.values()
    }

    fn shrink(&mut self) {
        while self.0.len() > MOST_ROWS {
            self.0.pop_last();
        }
    }
}

fn cut(text: &str) -> String {
    let end = (0..=text.len().min(MOST_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(numbers: impl IntoIterator<Item = u64>) -> Sample {
        let mut sample = Sample::default();
        numbers.into_iter().for_each(|number| sample.offer(number, &number.to_string(), ""));
        sample
    }

    #[test]
    fn two_halves_merged_are_the_sample_of_the_whole_and_no_part_is_preferred() {
        let whole = sample(0..10_000);
        let mut halves = sample((0..10_000).filter(|number| number % 2 == 0));
        halves.merge(sample((0..10_000).filter(|number| number % 2 == 1)));
        assert!(whole.rows().eq(halves.rows()));
        assert_eq!(whole.rows().count(), MOST_ROWS);
        let early =
            whole.rows().filter(|row| row.text.parse::<u64>().is_ok_and(|number| number < 5_000)).count();
        assert!((850..1_150).contains(&early), "{early} of {MOST_ROWS} are from the first half");
    }
}
