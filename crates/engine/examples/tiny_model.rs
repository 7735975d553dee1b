//! Writes a language model of a few kilobytes that knows what nine words speak for, to follow docs/guides/use-a-local-model.md
//! where no other is at hand, and rows that it is right about.
//!
//! `cargo run -p sprat-engine --example tiny_model tiny.gguf > rows.jsonl`

use std::path::PathBuf;

use sprat_engine::tiny::Knowing;

const LABELS: [&str; 3] = ["billing", "refund", "technical"];
/// Three words for each label, in their order, then words that say nothing.
const WORDS: [&str; 16] = [
    "invoice", "charged", "receipt", "money", "back", "returned", "crash", "error", "broken", "the", "my",
    "again", "today", "please", "was", "still",
];
const TELLING: usize = 9;
const ROWS: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file =
        std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: tiny_model FILE.gguf > rows.jsonl")?;
    let words: Vec<(&str, Option<usize>)> =
        WORDS.iter().enumerate().map(|(at, word)| (*word, (at < TELLING).then_some(at / 3))).collect();
    Knowing { labels: &LABELS, words: &words, context: 4_096, writes: false }.write(&file)?;
    let mut random = fastrand::Rng::with_seed(0);
    for number in 0..ROWS {
        let label = number % LABELS.len();
        let mut text: Vec<&str> =
            (0..random.usize(4..8)).map(|_| WORDS[random.usize(TELLING..WORDS.len())]).collect();
        text.insert(random.usize(..=text.len()), WORDS[3 * label + random.usize(..3)]);
        println!("{{\"text\": \"{} {number}\", \"label\": \"{}\"}}", text.join(" "), LABELS[label]);
    }
    Ok(())
}
