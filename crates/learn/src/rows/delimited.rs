//! CSV and TSV.

use serde_json::Value;
use sprat_task::Problem;

use super::cells::Cells;
use super::columns::{Columns, Role};
use super::lines::Lines;
use super::record::{Record, Records};
use super::source::{Format, Opened, cannot_read};
use super::{Sink, missing_column};

pub(super) fn read(opened: Opened, sink: &mut Sink<'_>) -> Result<(), Problem> {
    let Opened { name, format, bytes } = opened;
    let broken_off = |error| cannot_read(&name, &error);
    let mut reader = bytes.into_reader();
    let delimiter = delimiter_of(format, reader.fill_buf().map_err(broken_off)?);
    let mut records = Records::new(Lines::new(reader).map_err(broken_off)?, delimiter);
    let mut record = Record::default();
    if !records.read(&mut record).map_err(broken_off)? {
        return Err(Problem::in_file(&name, "the file holds nothing but blank lines"));
    }
    let header = header_of(&record, &name)?;
    let columns = &sink.wanted.options.columns;
    let positions = positions(&header, columns, sink.wanted.needs_labels())
        .map_err(|problem| problem.at(&name, record.line))?;
    while records.read(&mut record).map_err(broken_off)? {
        let raw = || String::from_utf8_lossy(record.content()).into_owned();
        match fault_of(&record, &header, &name) {
            Some(problem) => sink.broken(problem, raw()),
            None => sink.cells(cells_of(&record, &positions), raw),
        }
    }
    Ok(())
}

/// Tabs for TSV; for CSV commas, or semicolons where the header has them and no comma.
pub(crate) fn delimiter_of(format: Format, beginning: &[u8]) -> u8 {
    let header = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match format {
        Format::Tsv => b'\t',
        _ if header.contains(&b';') && !header.contains(&b',') => b';',
        _ => b',',
    }
}

/// The names in the header.
pub(crate) fn header_of(record: &Record, file: &str) -> Result<Vec<String>, Problem> {
    if let Some((line, column)) = record.not_utf8_at() {
        return Err(not_utf8(file, line, column));
    }
    if !record.is_closed {
        return Err(never_closed(record, file));
    }
    let names: Vec<String> =
        record.fields().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect();
    for (index, name) in names.iter().enumerate() {
        if !name.is_empty() && names[..index].contains(name) {
            let (line, column) = record.place_of(index);
            return Err(Problem::new(format!("the header names `{name}` twice"))
                .at(file, line)
                .column(column)
                .hint("rename one of them"));
        }
    }
    Ok(names)
}

/// What keeps a record from being a row of this header, if anything does.
pub(crate) fn fault_of(record: &Record, header: &[String], file: &str) -> Option<Problem> {
    if !record.is_closed {
        return Some(never_closed(record, file));
    }
    if let Some((line, column)) = record.not_utf8_at() {
        return Some(not_utf8(file, line, column));
    }
    (record.len() != header.len()).then(|| {
        let fields = if record.len() == 1 { "field" } else { "fields" };
        let problem =
            Problem::new(format!("the row has {} {fields}, and the header {}", record.len(), header.len()))
                .at(file, record.line);
        if record.len() > header.len() {
            problem.hint("put quotes around a text that holds a comma: \"Hello, there\"")
        } else {
            problem.hint("a field may be empty, but its comma must stand")
        }
    })
}

/// The column, in bytes, of the first byte that is not UTF-8.
pub(super) fn not_utf8(file: &str, line: u64, column: u64) -> Problem {
    Problem::new(format!("byte {column} of the line is not UTF-8"))
        .at(file, line)
        .column(column)
        .hint("save the file as UTF-8, or set such rows aside with `--rejects FILE`")
}

fn never_closed(record: &Record, file: &str) -> Problem {
    let (line, column) = record.place_of(record.len().saturating_sub(1));
    Problem::new("the quote that begins here is never closed")
        .at(file, line)
        .column(column)
        .hint("close it, and write a quote inside a quoted field twice: \"\"")
}

type Positions = Vec<(Role, usize)>;

fn positions(header: &[String], columns: &Columns, labelled: bool) -> Result<Positions, Problem> {
    let names = || header.iter().map(String::as_str);
    let found: Positions =
        Role::ALL.into_iter().filter_map(|role| Some((role, columns.find(role, names())?))).collect();
    let has = |role: Role| found.iter().any(|(known, _)| *known == role);
    for role in Role::ALL {
        let needed = match role {
            Role::Text => true,
            Role::Label => labelled && !has(Role::Large) && !has(Role::Spans),
            _ => false,
        };
        if !has(role) && (needed || columns.named(role).is_some()) {
            return Err(missing_column(columns.name_of(role), names()));
        }
    }
    Ok(found)
}

fn cells_of(record: &Record, positions: &Positions) -> Cells {
    let mut cells = Cells::at_line(record.line);
    for (role, index) in positions {
        let field = record.field(*index).unwrap_or_default();
        cells.set(*role, Value::String(String::from_utf8_lossy(field).into_owned()));
        cells.set_place(*role, record.place_of(*index));
    }
    cells
}
