//! The names of things: short strings that never mix with one another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A task's name: the stem of its file in `tasks/`.
    TaskName
);
name!(
    /// A model's name, as declared under `[models.NAME]`.
    ModelId
);
name!(
    /// One of a task's labels.
    Label
);
name!(
    /// One request, from its first rung to the ledger.
    RequestId
);
name!(
    /// A virtual key, by the name it was given. No name is given twice, so that it says whose a request was for ever.
    KeyId
);

/// Whether a text can name a task, a model or a label file on every file system and in every URL:
/// 1 to 64 of `a-z A-Z 0-9 _ - .`, not starting with a dot or a dash.
pub fn is_plain_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The candidate nearest to `wrong`, if one is near enough to be a slip of the pen
/// (Damerau-Levenshtein distance at most a third of the longer word, at least 1).
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&folded, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (c.chars().count().max(wrong.chars().count()) / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_slip_of_the_pen_and_not_any_word() {
        let labels = ["billing", "refund", "technical"];
        let rows = [
            ("refnud", Some("refund")),
            ("Billing", Some("billing")),
            ("tehcnical", Some("technical")),
            ("banana", None),
            ("", None),
        ];
        for (wrong, right) in rows {
            assert_eq!(nearest(wrong, labels), right, "{wrong:?}");
        }
    }

    #[test]
    fn a_plain_name_is_safe_in_a_path() {
        for (name, plain) in [
            ("tickets", true),
            ("a.b-c_1", true),
            ("", false),
            ("../up", false),
            (".hidden", false),
            ("ü", false),
        ] {
            assert_eq!(is_plain_name(name), plain, "{name:?}");
        }
    }
}
