//! What is wrong with something a person gave us: what, where, what would be right, one next step.

use std::fmt;

/// A fault in the user's input, told so that they can mend it. `Display` gives the whole message:
///
/// ```text
/// error: label `refnud` is not one of this task's labels
///   --> tickets/rows.jsonl:212
///   allowed: billing, refund, technical
/// hint: did you mean `refund`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was wrong, quoting the value; one line.
    pub message: String,
    /// Where it stands.
    pub place: Option<Place>,
    /// What would be right.
    pub allowed: Option<String>,
    /// One next step.
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u64,
    /// Column in characters, from 1, where known.
    pub column: Option<u64>,
    /// The line itself and how many characters are wrong, for a caret.
    pub excerpt: Option<(String, usize)>,
}

impl Problem {
    /// A problem that is nowhere in particular.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, allowed: None, hint: None }
    }

    /// A problem with a file as a whole.
    pub fn in_file(file: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::new(message).at(file, 0)
    }

    /// The same problem, at a line of a file.
    pub fn at(mut self, file: impl fmt::Display, line: u64) -> Self {
        self.place = Some(Place { file: file.to_string(), line, column: None, excerpt: None });
        self
    }

    /// The same problem, with the column (from 1) where it starts.
    pub fn column(mut self, column: u64) -> Self {
        if let Some(place) = &mut self.place {
            place.column = Some(column);
        }
        self
    }

    /// The same problem, with what would be right.
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same problem, with one next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem, with "did you mean" where a valid name is near.
    pub fn did_you_mean<'a>(self, wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Self {
        match crate::names::nearest(wrong, valid) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {}", place.file)?;
            if place.line > 0 {
                write!(f, ":{}", place.line)?;
                if let Some(column) = place.column {
                    write!(f, ":{column}")?;
                }
            }
            if let (Some((line, width)), Some(column)) = (&place.excerpt, place.column) {
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                let indent = " ".repeat(usize::try_from(column).unwrap_or(1).saturating_sub(1));
                write!(
                    f,
                    "\n {margin} |\n {number} | {line}\n {margin} | {indent}{}",
                    "^".repeat((*width).max(1))
                )?;
            }
        }
        if let Some(allowed) = &self.allowed {
            write!(f, "\n  allowed: {allowed}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Names as a list for `allowed`: all of them up to a dozen, then a count.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.len() {
        0..=12 => names.join(", "),
        more => format!("{}, … ({} in all)", names[..10].join(", "), more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_the_style_guide_shows_it() {
        let problem = Problem::new("label `refnud` is not one of this task's labels")
            .at("tickets/rows.jsonl", 212)
            .allowed(list(["billing", "refund", "technical"]))
            .did_you_mean("refnud", ["billing", "refund", "technical"]);
        assert_eq!(
            problem.to_string(),
            "error: label `refnud` is not one of this task's labels\n  --> tickets/rows.jsonl:212\n  \
             allowed: billing, refund, technical\nhint: did you mean `refund`?"
        );
    }
}
