//! What is left of a text when the differences nobody means are folded away.

use rayon::prelude::*;
use sprat_task::LabelledRow;
use unicode_normalization::UnicodeNormalization;

/// The text in NFKC, in lower case (with `ß` as `ss` and final sigma as sigma, as Unicode's case folding has them),
/// runs of white space as one space, none at the ends.
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut push = |c: char| {
        if !c.is_whitespace() {
            folded.push(c);
        } else if !folded.is_empty() && !folded.ends_with(' ') {
            folded.push(' ');
        }
    };
    for c in text.nfkc() {
        match c {
            'ß' | 'ẞ' => ['s', 's'].into_iter().for_each(&mut push),
            'ς' => push('σ'),
            c => c.to_lowercase().for_each(&mut push),
        }
    }
    if folded.ends_with(' ') {
        folded.pop();
    }
    folded
}

pub(super) fn folded_all(rows: &[LabelledRow]) -> Vec<String> {
    rows.par_iter().map(|row| folded(&row.input.text)).collect()
}

pub(super) fn hashes(texts: &[String]) -> Vec<u64> {
    texts.par_iter().map(|text| hash(0, text.as_bytes())).collect()
}

/// A number that is the same on every machine and in every version: what is drawn by it stays drawn. Spreads evenly
/// (FNV-1a, then SplitMix64's finaliser); not for secrets.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = 0xCBF2_9CE4_8422_2325 ^ mix(seed);
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    mix(state)
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014).
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_width_and_spaces_are_folded_away_and_nothing_else() {
        for (text, same) in [
            ("  Where is\t my\u{a0}CARD?\r\n", "where is my card?"),
            ("Ｃａｒｄ　ﬁne", "card fine"),
            ("STRASSE Straße STRAẞE", "strasse strasse strasse"),
            ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
            ("cafe\u{301}", "café"),
            ("مرحبا 👋🏽", "مرحبا 👋🏽"),
            (" ", ""),
        ] {
            assert_eq!(folded(text), same, "{text:?}");
        }
    }
}
