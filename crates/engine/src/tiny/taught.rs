//! A model that was taught by rows: what each word speaks for is learned by gradient descent through its one layer, as that
//! computes it. Larger models are taught elsewhere; this one shows that nothing here depends on who did it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::Knowing;
use super::knowing::{DECIDED, LOUDNESS, WIDTH};

/// How often all rows are gone through.
const ROUNDS: usize = 200;
/// How far a round goes along each row's gradient.
const STEP: f32 = 0.02;
/// Rows that a word has to stand in: of rarer ones nothing is learned.
const LEAST_ROWS: usize = 2;

/// Words, each with how much it speaks for each label.
#[derive(Clone, Debug, PartialEq)]
pub struct Taught<'a> {
    labels: &'a [&'a str],
    words: BTreeMap<&'a str, Vec<f32>>,
}

impl<'a> Taught<'a> {
    /// Learns from texts with the places of their labels. The same rows teach the same.
    pub fn by(labels: &'a [&'a str], rows: &[(&'a str, usize)]) -> Self {
        let split: Vec<(Vec<&'a str>, usize)> =
            rows.iter().map(|(text, label)| (text.split_whitespace().collect(), *label)).collect();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (text, _) in &split {
            let mut words = text.clone();
            words.sort_unstable();
            words.dedup();
            words.into_iter().for_each(|word| *seen.entry(word).or_default() += 1);
        }
        let kept = seen.into_iter().filter(|(word, rows)| {
            *rows >= LEAST_ROWS && word.chars().all(char::is_alphabetic) && !labels.contains(word)
        });
        let mut taught =
            Self { labels, words: kept.map(|(word, _)| (word, vec![0.0; labels.len()])).collect() };
        for _ in 0..ROUNDS {
            for (text, label) in &split {
                taught.learn(text, *label);
            }
        }
        taught
    }

    /// One step along one row's gradient of the cross-entropy.
    fn learn(&mut self, text: &[&'a str], label: usize) {
        let known: Vec<&'a str> = text.iter().copied().filter(|word| self.words.contains_key(word)).collect();
        if known.is_empty() {
            return;
        }
        let share = 1.0 / known.len() as f32;
        // As the layer has it: each word's numbers over their root mean square, averaged, and louder than the last token.
        let normal: Vec<(f32, Vec<f32>)> = known
            .iter()
            .map(|word| {
                let numbers = &self.words[word];
                let rms = root_mean_square(numbers);
                (rms, numbers.iter().map(|number| number / rms).collect())
            })
            .collect();
        let mean = |place: usize| normal.iter().map(|(_, numbers)| numbers[place]).sum::<f32>() * share;
        let seen: Vec<f32> =
            (0..self.labels.len()).map(|place| LOUDNESS / WIDTH as f32 * mean(place)).collect();
        let out = root_mean_square(&seen);
        let exponentials: Vec<f32> = seen.iter().map(|number| (DECIDED * number / out).exp()).collect();
        let sum: f32 = exponentials.iter().sum();
        // The root mean square of what is seen is taken for a constant.
        let gradient: Vec<f32> = exponentials
            .iter()
            .enumerate()
            .map(|(place, number)| number / sum - f32::from(u8::from(place == label)))
            .collect();
        for (word, (rms, numbers)) in known.iter().zip(&normal) {
            let along: f32 = gradient.iter().zip(numbers).map(|(a, b)| a * b).sum::<f32>() / WIDTH as f32;
            let Some(own) = self.words.get_mut(word) else { continue };
            for ((own, gradient), normal) in own.iter_mut().zip(&gradient).zip(numbers) {
                *own -= STEP * share * (gradient - normal * along) / rms.max(1.0);
            }
        }
    }

    /// How much a word speaks for each label; nothing of those that weren't learned.
    pub fn speaks_for(&self, word: &str) -> Option<&[f32]> {
        self.words.get(word).map(Vec::as_slice)
    }

    /// Writes the model into a file.
    ///
    /// # Errors
    /// There are too many labels, or what the operating system says.
    pub fn write(&self, file: &Path, context: u32) -> io::Result<()> {
        let words: Vec<(&str, Option<usize>)> = self.words.keys().map(|word| (*word, None)).collect();
        let speaks = |word: &str| self.speaks_for(word).map(<[f32]>::to_vec).unwrap_or_default();
        Knowing { labels: self.labels, words: &words, context, writes: false }.write_speaking(file, &speaks)
    }
}

/// Of a token's numbers, the first of which says that it is there.
fn root_mean_square(numbers: &[f32]) -> f32 {
    ((1.0 + numbers.iter().map(|number| number * number).sum::<f32>()) / WIDTH as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_to_speak_for_the_labels_they_stand_with() {
        let labels = ["billing", "crash"];
        let rows = [("the invoice", 0), ("the error", 1), ("my invoice", 0), ("my error", 1), ("once", 1)];
        let taught = Taught::by(&labels, &rows);
        let [invoice, error, the] = ["invoice", "error", "the"].map(|word| taught.speaks_for(word).unwrap());
        let leaning = |word: &[f32]| word[0] - word[1];
        assert!(leaning(invoice) > 4.0 * leaning(the).abs(), "{invoice:?}, {the:?}");
        assert!(leaning(error) < -4.0 * leaning(the).abs(), "{error:?}, {the:?}");
        assert_eq!(taught.speaks_for("once"), None);
        assert_eq!(taught, Taught::by(&labels, &rows));
    }
}
