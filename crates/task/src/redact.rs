//! What is blanked out of a text before it is kept: each find becomes a word in brackets, such as `[email]`.
//!
//! Written to err on the private side: a long order number may be taken for a telephone number, and a text that names a
//! person in words is left as it is. Each sort takes time in proportion to the text, whatever the text.

mod beside;
mod network;
mod numbers;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use beside::Redacted;
use serde::{Deserialize, Serialize};

/// A sort of thing that is blanked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redaction {
    /// Addresses such as `ada@example.org`.
    Email,
    /// Telephone numbers: 9 to 15 digits however grouped, 7 after a `+` or as 555-1234; dates are left.
    Phone,
    /// Payment cards: 13 to 19 digits whose check digit is right (ISO/IEC 7812, Luhn).
    Card,
    /// Bank accounts whose check digits are right (ISO 13616, modulo 97).
    Iban,
    /// IPv4 and IPv6 addresses.
    Ip,
    /// Keys and passwords: credentials inside an address, tokens with a known beginning, long mixed tokens.
    Secret,
}

impl Redaction {
    /// All of them, in the order they are looked for: what contains others comes first.
    pub const ALL: [Self; 6] = [Self::Secret, Self::Email, Self::Iban, Self::Card, Self::Ip, Self::Phone];

    /// The word in task files, and in brackets in place of what was found.
    pub fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ip => "ip",
            Self::Secret => "secret",
        }
    }

    /// The sort of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|redaction| redaction.word() == word)
    }

    /// Where this sort of thing stands, in order and without overlap.
    fn find(self, text: &[char]) -> Vec<Range<usize>> {
        match self {
            Self::Email => network::emails(text),
            Self::Phone => numbers::phones(text),
            Self::Card => numbers::cards(text),
            Self::Iban => numbers::ibans(text),
            Self::Ip => network::ips(text),
            Self::Secret => network::secrets(text),
        }
    }
}

/// The text with these sorts of things blanked out. What a blanked neighbour hid (a telephone number can end where an
/// account's begins, in the middle of a word) is looked for again, until nothing is found: blanking out twice changes nothing.
pub fn redact(text: &str, sorts: &[Redaction]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    loop {
        let blanked = Redaction::ALL
            .into_iter()
            .filter(|sort| sorts.contains(sort))
            .fold(chars.clone(), |text, sort| replaced(&text, &sort.find(&text), sort.word()));
        if blanked == chars {
            return chars.into_iter().collect();
        }
        chars = blanked;
    }
}

/// Whether something was blanked out of a text.
pub fn is_redacted(text: &str) -> bool {
    Redaction::ALL.into_iter().any(|sort| text.contains(&format!("[{}]", sort.word())))
}

fn replaced(text: &[char], found: &[Range<usize>], word: &str) -> Vec<char> {
    let mut kept = Vec::with_capacity(text.len());
    let mut done = 0;
    for range in found {
        kept.extend_from_slice(&text[done..range.start]);
        kept.push('[');
        kept.extend(word.chars());
        kept.push(']');
        done = range.end;
    }
    kept.extend_from_slice(&text[done..]);
    kept
}

/// Whether a word can't go on before this place: the text begins there, or what stands before is no letter or digit.
fn begins(text: &[char], at: usize) -> bool {
    at == 0 || !text[at - 1].is_alphanumeric()
}

/// Whether a word can't go on at this place.
fn ends(text: &[char], at: usize) -> bool {
    text.get(at).is_none_or(|next| !next.is_alphanumeric())
}
