//! Rows from files: CSV, TSV, JSON lines and Parquet, each fault with its place, no row lost on the way.
//!
//! | question | file |
//! |---|---|
//! | Which format is a file in, and can it be opened? | [`source`] |
//! | Where do lines and records begin and end? | [`lines`], [`record`] |
//! | Which column is which? | [`columns`] |
//! | What does a row say, and what is wrong with it? | [`cells`], [`time`] |
//! | Which rows does the traffic give? | [`captured`] |
//! | Are there enough rows, and of enough labels? | [`enough`] |

use std::path::Path;

use sprat_task::problem::list;
use sprat_task::{Answer, LabelledRow, Problem, Provenance, Sha256Hex, Task};

pub mod arrow_value;
pub mod captured;
pub mod cells;
pub mod columns;
pub(crate) mod delimited;
pub mod enough;
pub(crate) mod json_lines;
pub mod lines;
pub(crate) mod parquet_rows;
pub mod record;
pub mod source;

use cells::{Cells, Row, row_of};
use columns::Columns;
use source::{Format, Opened, open};

/// How rows are to be read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Which column holds what, where the usual names don't fit.
    pub columns: Columns,
    /// The format, where neither the file's name nor its beginning tells.
    pub format: Option<Format>,
    /// Takes a file without any label: somebody is going to give them.
    pub labels_may_be_missing: bool,
    /// Sets bad rows aside in [`RowSet::rejected`] instead of stopping at the first.
    pub skip_bad: bool,
    /// Where the large model's answers come from, for rows that don't say.
    pub large_provenance: Provenance,
}

/// The rows of some files, in their order.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    /// Rows that somebody, a person or the large model, has labelled.
    pub rows: Vec<LabelledRow>,
    /// Rows nobody has labelled.
    pub unlabelled: Vec<LabelledRow>,
    /// Rows that can't be used, as they stood in the file (only with [`ReadOptions::skip_bad`]).
    pub rejected: Vec<Rejected>,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
    /// Each file, and how many of `rows` were read when it had been read to its end.
    pub files: Vec<(String, usize)>,
}

/// A row that can't be used.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The row as it stood in the file; what is not UTF-8 is replaced. Empty for Parquet.
    pub raw: String,
    /// What is wrong with it, and where it stands.
    pub problem: Problem,
}

impl RowSet {
    /// The file of the labelled row at `index`.
    pub fn file_of(&self, index: usize) -> Option<&str> {
        self.files.iter().find(|(_, end)| index < *end).map(|(name, _)| name.as_str())
    }

    /// Adds the rows of another set after these.
    pub fn append(&mut self, other: Self) {
        let before = self.rows.len();
        self.rows.extend(other.rows);
        self.unlabelled.extend(other.unlabelled);
        self.rejected.extend(other.rejected);
        self.notices.extend(other.notices);
        self.files.extend(other.files.into_iter().map(|(name, end)| (name, before + end)));
    }

    /// Where the labelled row at `index` stands: `rows.csv:12`.
    pub fn place_of(&self, index: usize) -> String {
        let line = self.rows.get(index).map_or(0, |row| row.line);
        format!("{}:{line}", self.file_of(index).unwrap_or("?"))
    }

    /// Changes when any labelled row does: what a learned artefact says it was made from.
    pub fn digest(&self) -> Sha256Hex {
        let parts: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let line = |answer: &Option<Answer>| answer.as_ref().map(Answer::to_line).unwrap_or_default();
                let session = row.session.as_deref().unwrap_or_default();
                let teaches = if row.only_teaches { "\0teaches" } else { "" };
                let marks = if row.marks.is_empty() { String::new() } else { format!("\0{:?}", row.marks) };
                format!(
                    "{}\0{}\0{}\0{session}\0{:?}\0{}{teaches}{marks}",
                    row.input.text,
                    line(&row.gold),
                    line(&row.large),
                    row.time_unix_ms,
                    row.weight
                )
            })
            .collect();
        Sha256Hex::of_parts(parts.iter().map(String::as_bytes))
    }
}

/// Reads labelled rows from files, or from standard input where a path is `-`.
///
/// Strict by default: the first bad row is the error, which also says how many more there are.
pub fn read_labelled<P: AsRef<Path>>(
    paths: &[P],
    task: &Task,
    options: &ReadOptions,
) -> Result<RowSet, Problem> {
    read(paths, &Wanted { task: Some(task), options })
}

/// Reads rows of which only the text counts; labels, where there are any, are not looked at.
pub fn read_unlabelled<P: AsRef<Path>>(paths: &[P], options: &ReadOptions) -> Result<RowSet, Problem> {
    read(paths, &Wanted { task: None, options })
}

/// What a reader needs to know about the rows it reads.
struct Wanted<'a> {
    /// `None`: labels don't matter.
    task: Option<&'a Task>,
    options: &'a ReadOptions,
}

impl Wanted<'_> {
    /// Whether a file must have a column of labels.
    fn needs_labels(&self) -> bool {
        self.task.is_some() && !self.options.labels_may_be_missing
    }
}

fn read<P: AsRef<Path>>(paths: &[P], wanted: &Wanted<'_>) -> Result<RowSet, Problem> {
    if paths.is_empty() {
        return Err(Problem::new("no file of rows was given").hint("name one, or `-` for standard input"));
    }
    let mut sink = Sink::new(wanted);
    for path in paths {
        let opened = open(path.as_ref(), wanted.options.format)?;
        let name = opened.name.clone();
        sink.begin(&name);
        read_one(opened, &mut sink)?;
        sink.end()?;
    }
    sink.finish()
}

fn read_one(opened: Opened, sink: &mut Sink<'_>) -> Result<(), Problem> {
    match opened.format {
        Format::Csv | Format::Tsv => delimited::read(opened, sink),
        Format::Jsonl => json_lines::read(opened, sink),
        Format::Parquet => parquet_rows::read(opened, sink),
    }
}

/// Where the readers of each format put what they find.
struct Sink<'a> {
    wanted: &'a Wanted<'a>,
    set: RowSet,
    file: String,
    in_file: usize,
    first_bad: Option<Problem>,
    bad: usize,
    long: Option<(usize, String)>,
    foreign: usize,
}

/// Above this many characters a text is pointed out: models read far less than that of it.
const LONG_TEXT: usize = 20_000;

impl<'a> Sink<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Self {
        Self {
            wanted,
            set: RowSet::default(),
            file: String::new(),
            in_file: 0,
            first_bad: None,
            bad: 0,
            long: None,
            foreign: 0,
        }
    }

    fn begin(&mut self, file: &str) {
        self.file = file.to_owned();
        self.in_file = 0;
    }

    /// Takes a row's cells; `raw` gives the row as it stood, should it be bad.
    fn cells(&mut self, cells: Cells, raw: impl FnOnce() -> String) {
        self.in_file += 1;
        match row_of(cells, self.wanted.task, &self.file, self.wanted.options.large_provenance) {
            Ok(row) => self.row(row),
            Err(problem) => self.bad_row(problem, raw()),
        }
    }

    /// Takes a row that didn't even have cells.
    fn broken(&mut self, problem: Problem, raw: String) {
        self.in_file += 1;
        self.bad_row(problem, raw);
    }

    fn row(&mut self, Row { row, foreign_large }: Row) {
        self.foreign += usize::from(foreign_large);
        let characters = if row.input.text.len() > LONG_TEXT { row.input.text.chars().count() } else { 0 };
        if characters > self.long.as_ref().map_or(LONG_TEXT, |(longest, _)| *longest) {
            self.long = Some((characters, format!("{}:{}", self.file, row.line)));
        }
        if row.target().is_some() { &mut self.set.rows } else { &mut self.set.unlabelled }.push(row);
    }

    fn bad_row(&mut self, problem: Problem, raw: String) {
        self.bad += 1;
        if self.wanted.options.skip_bad {
            self.set.rejected.push(Rejected { raw, problem });
        } else if self.first_bad.is_none() {
            self.first_bad = Some(problem);
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        if self.in_file == 0 {
            return Err(Problem::in_file(&self.file, "the file has no rows, only a header")
                .hint("add rows below the header"));
        }
        self.set.files.push((std::mem::take(&mut self.file), self.set.rows.len()));
        Ok(())
    }

    fn finish(mut self) -> Result<RowSet, Problem> {
        if let Some(problem) = self.first_bad {
            return Err(with_others(problem, self.bad - 1));
        }
        let notices = &mut self.set.notices;
        if !self.set.rejected.is_empty() {
            notices.push(format!("{} rows can't be used and were set aside", self.set.rejected.len()));
        }
        if self.wanted.task.is_some() && !self.set.unlabelled.is_empty() {
            notices.push(format!("{} rows have no label", self.set.unlabelled.len()));
        }
        if let Some((characters, place)) = self.long {
            notices.push(format!("the longest text has {characters} characters ({place}); it is kept whole"));
        }
        if self.foreign > 0 {
            notices.push(format!(
                "{} answers of the large model are none of this task's labels; they count as wrong",
                self.foreign
            ));
        }
        Ok(self.set)
    }
}

fn with_others(problem: Problem, others: usize) -> Problem {
    if others == 0 {
        return problem;
    }
    let rows = if others == 1 { "row is bad too" } else { "rows are bad too" };
    let more = format!("{others} more {rows}; `--rejects FILE` sets them aside");
    let hint = match &problem.hint {
        Some(hint) => format!("{hint} ({more})"),
        None => more,
    };
    problem.hint(hint)
}

/// A missing column, with the columns there are and the one that may have been meant.
pub(crate) fn missing_column<'a>(wanted: &str, found: impl IntoIterator<Item = &'a str> + Clone) -> Problem {
    let problem = Problem::new(format!("there is no column `{wanted}`"))
        .allowed(format!("one of the columns found: {}", list(found.clone())));
    match sprat_task::names::nearest(wanted, found) {
        Some(near) => problem.hint(format!("did you mean `{near}`? say so with --{wanted}-column {near}")),
        None => problem.hint(format!("name the right one with --{wanted}-column NAME")),
    }
}

#[cfg(test)]
mod tests;
