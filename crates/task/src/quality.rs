//! Is a text good enough beside the right one? There are many good translations of a sentence: a declared measure says how
//! near is near enough, or a model or a command is asked ([`judge`](crate::judge)).

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Sha256Hex;
use crate::names::ModelId;

/// When a free text counts as right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quality {
    /// It is like the right one.
    Alike(Likeness),
    /// A model grades it well beside the right one.
    Judged {
        /// The judge.
        judge: JudgeModel,
    },
    /// A command of the owner's finds it good.
    Tested {
        /// The command.
        tests: Tests,
    },
}

/// How like the right text one must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// How two texts are compared.
    pub metric: Metric,
    /// The least that counts as right, above 0 and up to 1.
    pub least: f64,
}

/// A model that grades texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeModel {
    /// Its declared name.
    pub model: ModelId,
    /// What it is to weigh.
    pub question: String,
    /// The least grade that counts as right, above 0 and up to 1.
    pub least: f64,
}

/// A command that tests texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tests {
    /// The program and its arguments, as written.
    pub command: Vec<String>,
    /// How long one run may take, in seconds.
    pub within_s: u64,
    /// The files among the command's words, with what is in them: other tests are another promise.
    pub files: Vec<(String, Sha256Hex)>,
}

/// How alike two texts are, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// 1 where they are the same but for white space, else 0.
    Exact,
    /// F1 over the words that they share, however ordered (Rajpurkar et al. 2016, without its English articles).
    F1,
    /// F1 over their longest common subsequence of words (ROUGE-L; Lin 2004).
    RougeL,
    /// F2 over the runs of up to six letters that they share (chrF2; Popović 2015, as sacreBLEU computes it).
    Chrf,
}

impl Metric {
    /// All of them, in the order the documentation has them.
    pub const ALL: [Self; 4] = [Self::Exact, Self::F1, Self::RougeL, Self::Chrf];

    /// The word in a task file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::F1 => "f1",
            Self::RougeL => "rouge_l",
            Self::Chrf => "chrf",
        }
    }

    /// The metric of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.word() == word)
    }

    /// How like the right text another is.
    pub fn compare(self, said: &str, right: &str) -> f64 {
        match self {
            Self::Exact => f64::from(u8::from(said.split_whitespace().eq(right.split_whitespace()))),
            Self::F1 => f1_of_words(said, right),
            Self::RougeL => rouge_l(said, right),
            Self::Chrf => chrf(said, right),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Quality {
    /// The words of `metric = "…"`, in the order the documentation has them.
    pub const WORDS: [&'static str; 6] = ["exact", "f1", "rouge_l", "chrf", JUDGE, TESTS];

    /// Whether a text is good enough beside the right one; `None` where somebody has to be asked. The same text but for white
    /// space always is.
    pub fn is_met(&self, said: &str, right: &str) -> Option<bool> {
        match self {
            Self::Alike(Likeness { metric, least }) => Some(metric.compare(said, right) >= *least),
            Self::Judged { .. } | Self::Tested { .. } => {
                (Metric::Exact.compare(said, right) == 1.0).then_some(true)
            }
        }
    }
}

/// The metric that is a model's grade.
pub const JUDGE: &str = "judge";
/// The metric that is a command's exit code.
pub const TESTS: &str = "tests";

/// Runs of letters and digits, in lower case.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// F of so many shared among so many of each; two empty texts are the same.
fn f1(shared: usize, said: usize, right: usize) -> f64 {
    match said + right {
        0 => 1.0,
        both => 2.0 * shared as f64 / both as f64,
    }
}

fn f1_of_words(said: &str, right: &str) -> f64 {
    let (said, right) = (words(said), words(right));
    f1(shared(&counts(&said), &counts(&right)), said.len(), right.len())
}

fn rouge_l(said: &str, right: &str) -> f64 {
    let (said, right) = (words(said), words(right));
    // Row by row of the table of longest common subsequences.
    let mut row = vec![0; right.len() + 1];
    for word in &said {
        let mut diagonal = 0;
        for (place, other) in right.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    f1(row[right.len()], said.len(), right.len())
}

/// Longest run of letters.
const LONGEST_RUN: usize = 6;

fn chrf(said: &str, right: &str) -> f64 {
    let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<Vec<char>>();
    let (said, right) = (letters(said), letters(right));
    if said.is_empty() && right.is_empty() {
        return 1.0;
    }
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for length in 1..=LONGEST_RUN.min(said.len()).min(right.len()) {
        let [said, right] = [&said, &right].map(|letters| letters.windows(length).collect::<Vec<_>>());
        let shared = shared(&counts(&said), &counts(&right)) as f64;
        precision += shared / said.len() as f64;
        recall += shared / right.len() as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    5.0 * precision * recall / (4.0 * precision + recall)
}

fn counts<T: std::hash::Hash + Eq>(items: &[T]) -> HashMap<&T, usize> {
    let mut counts = HashMap::new();
    items.iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

fn shared<T: std::hash::Hash + Eq>(a: &HashMap<&T, usize>, b: &HashMap<&T, usize>) -> usize {
    a.iter().map(|(item, count)| b.get(item).map_or(0, |other| *count.min(other))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the Python packages rouge-score 0.1.2 (`rougeL`, no stemming) and sacrebleu 2.6.0 (`sentence_chrf` / 100) say.
    const PEERS: [(&str, &str, f64, f64); 6] = [
        ("the cat sat on the mat", "the cat is on the mat", 0.8333333333333334, 0.645779420625287),
        (
            "A refund was sent today.",
            "Today a refund was sent to you",
            0.6666666666666666,
            0.6692152776380734,
        ),
        ("ab", "abcdefgh", 0.0, 0.23404255319148937),
        (
            "one two three four five six",
            "six five four three two one",
            0.16666666666666666,
            0.48067390698969653,
        ),
        ("fn main() {}", "fn main() { println!(); }", 0.8, 0.4015529053964007),
        // rouge-score would cut this word at its umlaut: what it says of the same words without one.
        ("Der Zug fährt um 8 ab", "Der Zug faehrt um acht Uhr ab", 8.0 / 13.0, 0.3768365855797555),
    ];

    #[test]
    fn texts_are_compared_as_the_usual_packages_compare_them() {
        for (said, right, rouge, chrf) in PEERS {
            assert!((Metric::RougeL.compare(said, right) - rouge).abs() < 1e-9, "{said} / {right}");
            let own = Metric::Chrf.compare(said, right);
            assert!((own - chrf).abs() < 1e-9, "{said} / {right}: {own}");
        }
    }

    #[test]
    fn the_same_text_is_as_good_as_can_be_and_another_is_worse() {
        for metric in Metric::ALL {
            assert_eq!(metric.compare("Guten  Tag, Welt!", "Guten Tag, Welt!"), 1.0, "{metric}");
            assert_eq!(metric.compare("", ""), 1.0, "{metric}");
            for (said, right) in [("", "Tag"), ("Tag", ""), ("xyz", "Tag")] {
                assert_eq!(metric.compare(said, right), 0.0, "{metric}: {said} / {right}");
            }
            assert_eq!(Metric::from_word(metric.word()), Some(metric));
        }
        assert_eq!(Metric::F1.compare("b a a", "a b c"), 2.0 / 3.0);
        assert_eq!(Metric::RougeL.compare("b a", "a b"), 0.5);
        let quality = Quality::Alike(Likeness { metric: Metric::F1, least: 0.5 });
        assert_eq!(quality.is_met("b a a", "a b c"), Some(true));
        assert_eq!(quality.is_met("b", "a b c d"), Some(false));
    }

    #[test]
    fn a_judge_is_not_asked_about_the_same_text() {
        let judge = JudgeModel { model: "large".into(), question: "Is it kind?".to_owned(), least: 0.5 };
        let tests = Tests { command: vec!["./check".to_owned()], within_s: 1, files: Vec::new() };
        for quality in [Quality::Judged { judge }, Quality::Tested { tests }] {
            assert_eq!(quality.is_met("Guten  Tag", "Guten Tag"), Some(true));
            assert_eq!(quality.is_met("Hallo", "Guten Tag"), None);
            let json = serde_json::to_string(&quality).expect("it is JSON");
            assert_eq!(serde_json::from_str::<Quality>(&json).expect("it can be read"), quality);
        }
    }

    #[test]
    fn a_measure_is_written_as_earlier_releases_wrote_it() {
        let json = r#"{"metric":"rouge_l","least":0.6}"#;
        let quality: Quality = serde_json::from_str(json).expect("it can be read");
        assert_eq!(serde_json::to_string(&quality).expect("it is JSON"), json);
    }
}
