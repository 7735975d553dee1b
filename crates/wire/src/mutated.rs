//! Texts that are almost right: what a fuzzer makes of them, for tests that run every time.

use proptest::prelude::*;

/// Pieces that parsers look out for.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "0.5",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{1f41f}",
    "\n\n",
    "\r",
    "data: ",
    "[DONE]",
    "{}",
    "[]",
    "\"\"",
];

/// The text with a few places cut out, exchanged or doubled.
pub(crate) fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edit =
        (any::<prop::sample::Index>(), 0_usize..20, prop::option::of(prop::sample::select(&PIECES[..])));
    prop::collection::vec(edit, 0..6).prop_map(move |edits| {
        let mut text: Vec<char> = text.chars().collect();
        for (at, length, piece) in edits {
            let from = at.index(text.len() + 1);
            let until = (from + length).min(text.len());
            // Without a piece, what stands there is doubled.
            let new: Vec<char> = match piece {
                Some(piece) => piece.chars().collect(),
                None => [&text[from..until], &text[from..until]].concat(),
            };
            text.splice(from..until, new);
        }
        text.into_iter().collect()
    })
}
