//! The one place that writes to the terminal: results on stdout, progress and notices on stderr.
//!
//! With `--json` stdout carries one object and nothing else. When the reader of stdout goes away (`sprat … | head`)
//! the work is cancelled as by Ctrl-C and the program ends without a word.

mod progress;
mod table;
pub mod words;
mod wrap;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use clap::builder::StyledStr;
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

use progress::Unit;

pub use progress::Progress;
pub use table::Table;

use crate::args::{Colour, Early};
use crate::failure::{Failure, Shown};

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

/// Where everything that is shown goes. Cheap to clone.
#[derive(Clone)]
pub struct Output {
    inner: Arc<Inner>,
    /// Says nothing on stdout: for a command that is a step of another one.
    muted: bool,
    /// Goes on where nobody reads stdout any more: for a command whose work is elsewhere.
    outlives_reader: bool,
}

struct Inner {
    json: bool,
    stdout_colour: bool,
    stderr_colour: bool,
    /// Columns of the terminal; `None` where stdout is not one, so that nothing is folded in a pipe.
    width: Option<usize>,
    cancel: CancellationToken,
    /// Why stdout takes nothing more.
    broken: Mutex<Option<io::Error>>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// It doesn't work.
    Fail,
}

impl Output {
    /// Finds out what the terminal can do; `cancel` is cancelled when nobody reads any more.
    pub fn new(early: &Early, cancel: CancellationToken) -> Self {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(terminal_size::terminal_size).flatten();
        Self {
            inner: Arc::new(Inner {
                json: early.json,
                stdout_colour: colour(early.colour, stdout.is_terminal()),
                stderr_colour: colour(early.colour, io::stderr().is_terminal()),
                width: width.map(|(width, _)| usize::from(width.0).max(40)),
                cancel,
                broken: Mutex::new(None),
            }),
            muted: false,
            outlives_reader: false,
        }
    }

    /// The same, of a server: it answers its clients whether or not anybody still reads its stdout.
    pub fn of_a_server(&self) -> Self {
        Self { outlives_reader: true, ..self.clone() }
    }

    /// The same, but with `--json` silent on stdout: for a command that is a step of another one, whose object is the
    /// only one there.
    pub fn muted_where_json(&self) -> Self {
        Self { muted: self.is_json(), ..self.clone() }
    }

    /// Whether stdout must carry one JSON object and nothing else.
    pub fn is_json(&self) -> bool {
        self.inner.json
    }

    /// Whether colours may be used on stderr.
    pub fn stderr_has_colour(&self) -> bool {
        self.inner.stderr_colour
    }

    /// A result: as JSON where that was asked for, else as `told` puts it.
    pub fn show<T: Serialize>(&self, result: &T, told: impl FnOnce(&Self)) {
        if self.is_json() { self.json(result) } else { told(self) }
    }

    /// One JSON object on stdout.
    pub fn json<T: Serialize>(&self, result: &T) {
        let text = serde_json::to_string_pretty(result)
            .unwrap_or_else(|error| json!({"error": {"message": error.to_string()}}).to_string());
        self.text(&format!("{text}\n"));
    }

    /// A line of the result.
    pub fn line(&self, line: impl Display) {
        self.text(&format!("{}\n", words::plain(&line.to_string())));
    }

    /// A sentence of the result, folded to the terminal's width.
    pub fn sentence(&self, sentence: impl Display) {
        self.line(wrap::fold(&sentence.to_string(), self.inner.width));
    }

    /// A command that is about to run, as it would be typed.
    pub fn command(&self, line: &str) {
        if !self.is_json() {
            self.text(&format!("\n{}\n", paint(self.inner.stdout_colour, CYAN, &format!("$ {line}"))));
        }
    }

    /// The title of what follows, with an empty line above it.
    pub fn heading(&self, title: impl Display) {
        self.text(&format!(
            "\n{}\n",
            paint(self.inner.stdout_colour, BOLD, &words::plain(&title.to_string()))
        ));
    }

    /// A table.
    pub fn table(&self, table: &Table) {
        let drawn = table.draw(self.inner.width);
        let (head, rows) = drawn.split_once('\n').unwrap_or((&drawn, ""));
        self.text(&format!("{}\n{rows}", paint(self.inner.stdout_colour, BOLD, head)));
    }

    /// A check and how it came out, with what to do about it.
    pub fn check(&self, mark: Mark, what: impl Display, next: Option<&str>) {
        let (style, word) = match mark {
            Mark::Ok => (GREEN, "ok  "),
            Mark::Warn => (YELLOW, "warn"),
            Mark::Fail => (RED, "FAIL"),
        };
        let word = paint(self.inner.stdout_colour, style, word);
        self.text(&format!("{word}  {}\n", words::plain(&what.to_string())));
        if let Some(next) = next {
            self.text(&format!("      -> {}\n", words::plain(next)));
        }
    }

    /// Text for stdout, as it is.
    pub fn text(&self, text: &str) {
        if self.muted {
            return;
        }
        let mut broken = self.inner.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none()
            && let Err(error) = io::stdout().write_all(text.as_bytes())
        {
            if !self.outlives_reader {
                // Nobody reads the rest: stop where nothing is lost, rather than in the middle of something.
                self.inner.cancel.cancel();
            }
            *broken = Some(error);
        }
    }

    /// Something the user should know, on stderr.
    pub fn notice(&self, notice: impl Display) {
        self.tell(CYAN, "note", &notice.to_string());
    }

    /// Something the user should do something about, on stderr.
    pub fn warning(&self, warning: impl Display) {
        self.tell(YELLOW, "warning", &warning.to_string());
    }

    /// A problem that doesn't end the command, on stderr.
    pub fn problem(&self, problem: &sprat_task::Problem) {
        self.aside(&format!("{}\n", self.painted(&problem.to_string())));
    }

    /// Text for stderr, as it is.
    pub fn aside(&self, text: &str) {
        // There is nobody left to tell when stderr is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Shows how far a long piece of work is; `total` where it is known.
    pub fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        Progress::start(self.clone(), what, total, Unit::Things, io::stderr().is_terminal())
    }

    /// Shows how many bytes of a file have come.
    pub fn download(&self, what: &str, total: u64) -> Progress {
        Progress::start(self.clone(), what, Some(total), Unit::Bytes, io::stderr().is_terminal())
    }

    /// Help text, with colours where stdout has them.
    pub fn styled(&self, text: &StyledStr) -> String {
        if self.inner.stdout_colour { text.ansi().to_string() } else { text.to_string() }
    }

    /// Help text, with colours where stderr has them.
    pub fn styled_aside(&self, text: &StyledStr) -> String {
        if self.inner.stderr_colour { text.ansi().to_string() } else { text.to_string() }
    }

    /// Tells the outcome of the whole program and gives its exit code.
    pub fn finish(&self, outcome: Result<(), Failure>) -> ExitCode {
        if let Err(failure) = &outcome
            && let Some(shown) = failure.as_json()
            && !self.reader_is_gone()
        {
            if self.is_json() {
                self.json(&json!({ "error": shown }));
            } else {
                self.aside(&format!("{}\n", self.painted(&failure.to_string())));
            }
        }
        let flushed = io::stdout().flush();
        let mut broken = self.inner.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = broken.take().or(flushed.err());
        match (broken, outcome) {
            (Some(error), Ok(()) | Err(Failure::Stopped)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            (Some(error), outcome) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.aside(&format!(
                    "{}\n",
                    self.painted(&format!("error: can't write the result: {error}"))
                ));
                ExitCode::from(outcome.err().map_or(2, |failure| failure.exit_code()))
            }
            (_, Ok(())) => ExitCode::SUCCESS,
            (_, Err(failure)) => ExitCode::from(failure.exit_code()),
        }
    }

    /// Problems as `--json` shows them.
    pub fn shown(problems: &[sprat_task::Problem]) -> Vec<Shown> {
        problems.iter().map(Shown::from).collect()
    }

    fn reader_is_gone(&self) -> bool {
        let broken = self.inner.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn tell(&self, style: Style, word: &str, text: &str) {
        let word = paint(self.inner.stderr_colour, style, word);
        self.aside(&format!("{word}: {}\n", words::plain(text)));
    }

    /// A problem's text with its first words coloured, for stderr.
    fn painted(&self, text: &str) -> String {
        let lines = words::plain(text);
        let painted = lines.lines().map(|line| match line.split_once(": ") {
            Some(("error", rest)) => format!("{}: {rest}", paint(self.inner.stderr_colour, RED, "error")),
            Some(("hint", rest)) => format!("{}: {rest}", paint(self.inner.stderr_colour, CYAN, "hint")),
            _ => line.to_owned(),
        });
        painted.collect::<Vec<_>>().join("\n")
    }
}

fn colour(wanted: Colour, is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match wanted {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}
