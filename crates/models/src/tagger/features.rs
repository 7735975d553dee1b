//! Which features do the words of a text have? One function answers it for training and for serving.

use std::ops::Range;

use sprat_task::extract::spans::Place;

use super::lexicon::Lexicon;
use crate::linear::features::finish;

/// The features of every word of a text, and those of the text as a whole, as 64-bit hashes.
#[derive(Debug, Default)]
pub(super) struct Reading {
    hashes: Vec<u64>,
    /// Word `i` has `hashes[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    itself: Vec<u64>,
    /// What the text is about: each of its words, where there are few.
    pub(super) about: Vec<u64>,
}

impl Reading {
    pub(super) fn words(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(super) fn of_word(&self, word: usize) -> &[u64] {
        &self.hashes[self.starts[word]..self.starts[word + 1]]
    }

    /// The feature that is the word itself.
    pub(super) fn itself(&self, word: usize) -> Option<u64> {
        self.itself.get(word).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &u64> {
        self.hashes.iter().chain(&self.about)
    }
}

/// What a feature is made of. A number never changes its meaning: models on disk hold hashes of it.
#[derive(Clone, Copy)]
enum Sort {
    Always = 1,
    Word = 2,
    Pair = 3,
    Shape = 4,
    Shapes = 5,
    Beginning = 6,
    End = 7,
    Nearby = 8,
    Edge = 9,
    Line = 10,
    LineFromEnd = 11,
    LineEdge = 12,
    Known = 13,
    About = 14,
    Around = 15,
}

/// Up to this many words a text is taken as one thing that is said, and each of its words says what it is about.
const ABOUT_AT_MOST: usize = 40;
/// Letters of a word's beginning and end.
const LONGEST_AFFIX: usize = 4;

/// Reads a text. `own` are the values that this very row has taught the lexicon: they don't count as known.
pub(super) fn read(place: &Place<'_>, lexicon: &Lexicon, own: &[(usize, Range<usize>)]) -> Reading {
    let words: Vec<Seen> = (0..place.words().len()).map(|at| Seen::of(place.word(at))).collect();
    let lines = lines(place);
    let mut known: Vec<Vec<u64>> = vec![Vec::new(); words.len()];
    let lower: Vec<&str> = words.iter().map(|word| word.lower.as_str()).collect();
    lexicon.find(&lower, own, |field, range| {
        let length = range.len().min(4) as u64;
        for at in range.clone() {
            let position = u64::from(at == range.start) + 2 * u64::from(at + 1 == range.end);
            known[at].push(number(Sort::Known, field as u64 * 64 + position * 8 + length));
        }
    });
    let mut reading = Reading { starts: vec![0], ..Reading::default() };
    for at in 0..words.len() {
        let mut emit = |hash: u64| reading.hashes.push(hash);
        of_word(&words, at, &mut emit);
        of_line(&lines, at, &mut emit);
        known[at].iter().for_each(|hash| emit(*hash));
        reading.starts.push(reading.hashes.len());
        reading.itself.push(text(Sort::Word, 0, &[lower[at]]));
    }
    if words.len() <= ABOUT_AT_MOST {
        reading.about = words.iter().map(|word| text(Sort::About, 0, &[&word.lower])).collect();
        reading.about.sort_unstable();
        reading.about.dedup();
    }
    reading
}

/// A word, and what it looks like.
struct Seen {
    lower: String,
    shape: String,
}

impl Seen {
    fn of(word: &str) -> Self {
        Self { lower: word.to_lowercase(), shape: shape(word) }
    }
}

fn of_word(words: &[Seen], at: usize, emit: &mut impl FnMut(u64)) {
    let near = |by: isize| at.checked_add_signed(by).and_then(|at| words.get(at));
    let lower = |by: isize| near(by).map_or("", |word| word.lower.as_str());
    let shape = |by: isize| near(by).map_or("", |word| word.shape.as_str());
    emit(number(Sort::Always, 0));
    for by in -2..=2 {
        match near(by) {
            Some(_) => {
                emit(text(Sort::Word, by, &[lower(by)]));
                emit(text(Sort::Shape, by, &[shape(by)]));
            }
            None => emit(number(Sort::Edge, by as u64)),
        }
    }
    for by in [-4, -3, 3, 4] {
        if near(by).is_some() {
            emit(text(Sort::Nearby, by.signum(), &[lower(by)]));
        }
    }
    emit(text(Sort::Pair, -2, &[lower(-2), lower(-1)]));
    emit(text(Sort::Pair, -1, &[lower(-1), lower(0)]));
    emit(text(Sort::Pair, 0, &[lower(0), lower(1)]));
    emit(text(Sort::Pair, 1, &[lower(1), lower(2)]));
    emit(text(Sort::Around, 0, &[lower(-1), lower(1)]));
    emit(text(Sort::Around, 1, &[lower(-1), shape(0)]));
    emit(text(Sort::Shapes, 0, &[shape(-1), shape(0), shape(1)]));
    let word = lower(0);
    let ends: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
    for length in 1..=LONGEST_AFFIX.min(ends.len() - 1) {
        emit(text(Sort::Beginning, 0, &[&word[..ends[length]]]));
        emit(text(Sort::End, 0, &[&word[ends[ends.len() - 1 - length]..]]));
    }
    for by in [-1, 1] {
        let word = lower(by);
        let start = word.char_indices().rev().nth(2).map_or(0, |(at, _)| at);
        emit(text(Sort::End, by, &[&word[start..]]));
    }
}

/// In a text of several lines, where a word's line stands and where in its line the word does.
fn of_line(lines: &[usize], at: usize, emit: &mut impl FnMut(u64)) {
    let last = lines.last().copied().unwrap_or(0);
    if last == 0 {
        return;
    }
    let line = lines[at];
    emit(number(Sort::Line, bucket(line)));
    emit(number(Sort::LineFromEnd, bucket(last - line)));
    let is_first = at == 0 || lines[at - 1] != line;
    let is_last = lines.get(at + 1) != Some(&line);
    emit(number(Sort::LineEdge, u64::from(is_first) + 2 * u64::from(is_last)));
}

fn bucket(lines: usize) -> u64 {
    if lines < 4 { lines as u64 } else { 2 + u64::from(lines.ilog2()) }
}

/// The line of each word, from 0.
fn lines(place: &Place<'_>) -> Vec<usize> {
    let (mut line, mut end) = (0, 0);
    let mut lines = Vec::with_capacity(place.words().len());
    for word in place.words() {
        line += usize::from(end > 0 && place.text()[end..word.start].contains('\n'));
        end = word.end;
        lines.push(line);
    }
    lines
}

/// Upper case, lower case and digits, a run of one of them as two: `Flow` is `Xxx`, `1,234.50` is `d,dd.dd`.
fn shape(word: &str) -> String {
    let mut shape = String::with_capacity(word.len());
    let (mut last, mut run) = ('\0', 0);
    for character in word.chars() {
        let class = match character {
            c if c.is_ascii_digit() => 'd',
            c if c.is_uppercase() => 'X',
            c if c.is_alphabetic() => 'x',
            c => c,
        };
        run = if class == last { run + 1 } else { 1 };
        last = class;
        // Two digits are a day, four a year: digits are told apart up to four.
        if run <= if class == 'd' { 4 } else { 2 } {
            shape.push(class);
        }
    }
    shape
}

fn number(sort: Sort, number: u64) -> u64 {
    finish(push(push(START, sort as u64), number))
}

fn text(sort: Sort, by: isize, parts: &[&str]) -> u64 {
    let start = push(push(START, sort as u64), by as u64);
    let hash = parts.iter().fold(start, |hash, part| {
        push(part.bytes().fold(hash, |hash, byte| push(hash, u64::from(byte))), 256)
    });
    finish(hash)
}

const START: u64 = 0x9e37_79b9_7f4a_7c15;

fn push(hash: u64, next: u64) -> u64 {
    (hash.rotate_left(23) ^ next).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A run of words in lower case, as the lexicon knows it.
pub(super) fn phrase<'a>(words: impl IntoIterator<Item = &'a str>) -> u64 {
    finish(words.into_iter().fold(START, phrase_with))
}

/// One more word of a phrase, before [`finish`].
pub(super) fn phrase_with(hash: u64, word: &str) -> u64 {
    push(word.bytes().fold(hash, |hash, byte| push(hash, u64::from(byte))), 256)
}

pub(super) const PHRASE: u64 = START;
