//! Why a command ended early, and the exit code that says so.

use std::fmt;

use serde::Serialize;
use sprat_task::Problem;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The user's input is wrong. Exit code 1.
    Input(Box<Problem>),
    /// The command has already shown what is wrong with the input, or that a declared target was missed. Exit code 1.
    Told,
    /// Sprat's fault or the machine's. Exit code 2.
    Ours(Box<Fault>),
    /// Stopped by Ctrl-C; what was done is kept. Exit code 130.
    Stopped,
}

/// Something that isn't the user's doing.
#[derive(Debug)]
pub struct Fault {
    /// What happened, in a sentence that names the file or the service.
    pub message: String,
    /// One next step.
    pub hint: Option<String>,
}

impl Failure {
    /// Sprat's fault or the machine's.
    pub fn ours(message: impl Into<String>) -> Self {
        Self::Ours(Box::new(Fault { message: message.into(), hint: None }))
    }

    /// The same, with one next step.
    pub fn ours_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Ours(Box::new(Fault { message: message.into(), hint: Some(hint.into()) }))
    }

    /// What happened in one line, without its form and its place.
    pub fn plainly(&self) -> String {
        match self {
            Self::Input(problem) => problem.message.clone(),
            other => other.to_string().trim_start_matches("error: ").replace('\n', "; "),
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Told => 1,
            Self::Ours(_) => 2,
            Self::Stopped => 130,
        }
    }

    /// For `--json`; `None` where the command has shown everything itself.
    pub fn as_json(&self) -> Option<Shown> {
        match self {
            Self::Input(problem) => Some(Shown::from(&**problem)),
            Self::Ours(fault) => Some(Shown {
                message: fault.message.clone(),
                place: None,
                allowed: None,
                hint: fault.hint.clone(),
            }),
            Self::Stopped => Some(Shown {
                message: "stopped".to_owned(),
                place: None,
                allowed: None,
                hint: Some("what was done is kept; the same command goes on from there".to_owned()),
            }),
            Self::Told => None,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Input(Box::new(problem))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(problem) => problem.fmt(f),
            Self::Ours(fault) => {
                write!(f, "error: {}", fault.message)?;
                fault.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
            }
            Self::Stopped => f.write_str("stopped; what was done is kept"),
            Self::Told => Ok(()),
        }
    }
}

/// A problem as `--json` shows it. The line of the file is left out: it may hold what doesn't belong in a log.
#[derive(Debug, Serialize)]
pub struct Shown {
    message: String,
    place: Option<ShownPlace>,
    allowed: Option<String>,
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownPlace {
    file: String,
    line: Option<u64>,
    column: Option<u64>,
}

impl From<&Problem> for Shown {
    fn from(problem: &Problem) -> Self {
        Self {
            message: problem.message.clone(),
            place: problem.place.as_ref().map(|place| ShownPlace {
                file: place.file.clone(),
                line: (place.line > 0).then_some(place.line),
                column: place.column,
            }),
            allowed: problem.allowed.clone(),
            hint: problem.hint.clone(),
        }
    }
}
