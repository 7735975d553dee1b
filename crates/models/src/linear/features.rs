//! Which features does a text have? One function answers it for training and for serving.

use unicode_normalization::UnicodeNormalization;

/// What a feature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Word,
    WordPair,
    Characters,
}

/// Character n-grams within one whitespace-separated word, its edges marked by a space.
const CHAR_NGRAMS: std::ops::RangeInclusive<usize> = 2..=5;

/// Reused from text to text, so that reading one allocates nothing once the buffers have grown.
#[derive(Default)]
pub(crate) struct TextScratch {
    /// The text in normal form, words separated and surrounded by single spaces.
    chars: Vec<u32>,
    words: Vec<u64>,
}

/// Calls `emit` once for each occurrence of a feature, with the feature's 64-bit hash.
/// Returns the number of words.
pub(crate) fn read(text: &str, scratch: &mut TextScratch, mut emit: impl FnMut(Kind, u64)) -> usize {
    normalise(text, &mut scratch.chars);
    hash_words(&scratch.chars, &mut scratch.words);
    for (at, &word) in scratch.words.iter().enumerate() {
        emit(Kind::Word, finish(word));
        if let Some(&next) = scratch.words.get(at + 1) {
            emit(Kind::WordPair, finish(push(word, next)));
        }
    }
    for (at, &first) in scratch.chars.iter().enumerate() {
        let mut ngram = push(CHARACTERS, u64::from(first));
        for (length, &next) in (2..=*CHAR_NGRAMS.end()).zip(&scratch.chars[at + 1..]) {
            ngram = push(ngram, u64::from(next));
            if length >= *CHAR_NGRAMS.start() {
                emit(Kind::Characters, finish(ngram));
            }
            if next == SPACE {
                break;
            }
        }
    }
    scratch.words.len()
}

const SPACE: u32 = b' ' as u32;

/// NFKC, lower case, all digits alike, and runs of whitespace and control characters as one space.
fn normalise(text: &str, chars: &mut Vec<u32>) {
    chars.clear();
    chars.push(SPACE);
    if text.is_ascii() {
        for byte in text.bytes() {
            append(chars, byte.to_ascii_lowercase() as char);
        }
    } else {
        for character in text.nfkc().flat_map(char::to_lowercase) {
            append(chars, character);
        }
    }
    append(chars, ' ');
}

fn append(chars: &mut Vec<u32>, character: char) {
    let character = match character {
        '0'..='9' => '0',
        '\u{2019}' => '\'',
        other if other.is_whitespace() || other.is_control() => ' ',
        other => other,
    };
    if character != ' ' || chars.last() != Some(&SPACE) {
        chars.push(character as u32);
    }
}

/// A word is a run of letters and digits, with apostrophes inside; every other character is its own word.
fn hash_words(chars: &[u32], words: &mut Vec<u64>) {
    words.clear();
    let is_inner =
        |at: usize| is_letter(chars[at]) || (chars[at] == u32::from('\'') && is_letter(chars[at + 1]));
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == SPACE {
            at += 1;
            continue;
        }
        let mut hash = push(WORDS, u64::from(chars[at]));
        let is_word = is_letter(chars[at]);
        at += 1;
        // The text ends in a space, so `at + 1` exists wherever an apostrophe stands.
        while is_word && is_inner(at) {
            hash = push(hash, u64::from(chars[at]));
            at += 1;
        }
        words.push(hash);
    }
}

fn is_letter(character: u32) -> bool {
    if character < 128 {
        return (character as u8).is_ascii_alphanumeric();
    }
    char::from_u32(character).is_some_and(char::is_alphanumeric)
}

/// Starting points that keep a word's hash apart from that of the same characters as an n-gram.
const WORDS: u64 = 0x9e37_79b9_7f4a_7c15;
const CHARACTERS: u64 = 0xd1b5_4a32_d192_ed03;

fn push(hash: u64, next: u64) -> u64 {
    (hash.rotate_left(23) ^ next).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
pub(crate) fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
