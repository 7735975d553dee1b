//! Where is the hole in a text, and what stands around it?

use std::fmt;

use serde::{Deserialize, Serialize};

/// What marks the place that an answer belongs in. Every text has it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hole(String);

/// What stands before and behind the hole of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around<'a> {
    /// What the answer follows.
    pub before: &'a str,
    /// What follows the answer.
    pub behind: &'a str,
}

/// A text has no hole, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOne {
    /// How often the marker stands in it.
    pub times: usize,
    /// How many characters stand before the one too many.
    pub before: usize,
}

impl Hole {
    /// A hole that is marked so; `None` where nothing would be seen of the marker.
    pub fn marked(marker: &str) -> Option<Self> {
        (!marker.trim().is_empty()).then(|| Self(marker.to_owned()))
    }

    /// What marks it.
    pub fn marker(&self) -> &str {
        &self.0
    }

    /// What stands around the hole of a text.
    ///
    /// # Errors
    /// The text has none, or several.
    pub fn around<'a>(&self, text: &'a str) -> Result<Around<'a>, NotOne> {
        let (before, behind) = text.split_once(self.marker()).ok_or(NotOne { times: 0, before: 0 })?;
        match behind.find(self.marker()) {
            None => Ok(Around { before, behind }),
            Some(at) => {
                let second = before.len() + self.marker().len() + at;
                let times = text.matches(self.marker()).count();
                Err(NotOne { times, before: text[..second].chars().count() })
            }
        }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_hole_and_what_stands_around_it_is_kept_to_the_last_blank() {
        let hole = Hole::marked("<HOLE>").unwrap();
        let around = hole.around("fn main() {\n  <HOLE>\n}\n");
        assert_eq!(around, Ok(Around { before: "fn main() {\n  ", behind: "\n}\n" }));
        assert_eq!(hole.around("<HOLE>"), Ok(Around { before: "", behind: "" }));
        for (text, times, before) in
            [("<hole>", 0, 0), ("ä<HOLE>b<HOLE>c", 2, 8), ("<HOLE><HOLE><HOLE>", 3, 6)]
        {
            assert_eq!(hole.around(text), Err(NotOne { times, before }), "{text}");
        }
        assert_eq!((Hole::marked(""), Hole::marked(" \n")), (None, None));
    }
}
