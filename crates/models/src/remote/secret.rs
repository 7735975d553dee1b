//! A provider's key: used in one header, shown nowhere.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sprat_task::Problem;

/// A key, wiped from memory when dropped. `Debug` and `Display` don't show it.
#[derive(Clone)]
pub struct Secret(SecretString);

/// A key's first or last letters count as the key from this length on: providers quote keys with the middle
/// starred out.
const TELLING: usize = 6;

impl Secret {
    /// A key from the text of a variable or a file; white space around it is not part of it.
    ///
    /// # Errors
    /// An empty key, or one that can't stand in a header. The message doesn't show it.
    pub fn new(text: impl Into<String>) -> Result<Self, Problem> {
        let text: SecretString = text.into().into();
        let key = text.expose_secret().trim();
        if key.is_empty() {
            return Err(Problem::new("the key is empty"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::new(
                "the key holds characters that no key has (white space, control or non-ASCII)",
            )
            .hint("is it the key alone, on one line?"));
        }
        Ok(Self(key.to_owned().into()))
    }

    /// The key itself, for the header it goes into.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The text with every word blanked that holds the key, or begins or ends as the key does.
    pub(crate) fn redact(&self, text: &str) -> String {
        let key = self.expose();
        let head = key.get(..TELLING).unwrap_or(key);
        let tail = key.get(key.len().saturating_sub(TELLING)..).unwrap_or(key);
        let tells = |word: &str| word.contains(head) || word.contains(tail);
        if !tells(text) {
            return text.to_owned();
        }
        let blanked = |word: &str| if tells(word) { "[key]".to_owned() } else { word.to_owned() };
        text.split(' ').map(blanked).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-0123456789abcdef";

    #[test]
    fn a_key_is_shown_nowhere() {
        let key = Secret::new(format!(" {KEY}\n")).unwrap();
        assert_eq!(key.expose(), KEY);
        assert_eq!(format!("{key:?} {key}"), "[key] [key]");
    }

    #[test]
    fn a_key_quoted_whole_or_in_part_is_blanked() {
        let key = Secret::new(KEY).unwrap();
        for said in [
            format!("Incorrect API key provided: {KEY}."),
            "Incorrect API key provided: sk-proj-****cdef.".to_owned(),
            "Incorrect API key provided: ****abcdef".to_owned(),
        ] {
            assert_eq!(key.redact(&said), "Incorrect API key provided: [key]");
        }
        assert_eq!(key.redact("slow down, please"), "slow down, please");
    }

    #[test]
    fn what_can_not_be_a_key_is_said_without_showing_it() {
        for (given, said) in [(" \n", "empty"), ("sk-a\nsk-b", "no key has"), ("schlüssel", "no key has")] {
            let problem = Secret::new(given).expect_err(given).to_string();
            assert!(
                problem.contains(said) && !problem.contains("sk-") && !problem.contains("schl"),
                "{problem}"
            );
        }
    }
}
