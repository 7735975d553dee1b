//! What is in the input, row by row: every row, also those that can't be asked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use sprat_task::{Input, Problem, Sha256Hex};

use super::shape::keys_of_lines;
use super::{Job, Names};
use crate::rows::arrow_value::{is_readable, value_at};
use crate::rows::cells::text_of;
use crate::rows::columns::{Columns, Role};
use crate::rows::delimited::{delimiter_of, fault_of, header_of};
use crate::rows::json_lines::object_of;
use crate::rows::lines::Lines;
use crate::rows::parquet_rows::{broken, file_of};
use crate::rows::record::{Record, Records};
use crate::rows::source::{Bytes, Format, Opened, cannot_read, open};
use crate::rows::{missing_column, source};

/// What is known of the input before its rows are read.
pub struct Plan {
    /// The file, as the user named it.
    pub name: String,
    /// Its columns.
    pub columns: InputColumns,
    /// Its length in bytes.
    pub bytes: u64,
    /// Changes when the file does: its length, and the hash of its first and last 64 KiB. Not the time of its last
    /// change, which copying changes too; the rows themselves are compared as they are replayed.
    pub fingerprint: String,
    path: std::path::PathBuf,
    text: Columns,
}

/// The input's columns, by format.
#[derive(Clone)]
pub enum InputColumns {
    /// CSV and TSV.
    Delimited {
        /// Names, in order.
        names: Names,
        /// The header as it stood.
        header: Record,
        /// What separates fields.
        delimiter: u8,
        /// Where the text is.
        text: usize,
    },
    /// JSON lines.
    Lines {
        /// Every key of every row, in order of first appearance.
        names: Names,
        /// Whether some lines are no JSON objects.
        has_bad_lines: bool,
    },
    /// Parquet.
    Arrow {
        /// Names and types.
        schema: SchemaRef,
        /// Where the text is.
        text: usize,
        /// Rows in all.
        rows: u64,
    },
}

/// Some rows in a row.
pub struct Batch {
    /// The number of the first, from 0.
    pub first: u64,
    /// The rows.
    pub rows: Vec<Row>,
    /// Their columns, for Parquet.
    pub arrow: Option<RecordBatch>,
    /// How far into the input, in bytes, its end is.
    pub bytes_read: u64,
    /// How many of the rows an earlier run has answered.
    pub replayed: u64,
}

/// One row of the input.
pub struct Row {
    /// The row as it stood.
    pub original: Original,
    /// What to ask; or why it can't be asked.
    pub asked: Result<Input, String>,
    /// Tells whether the text is still the one that was answered (CRC-32).
    pub text_crc: u32,
}

/// A row as it stood in the input.
pub enum Original {
    /// Of a CSV or TSV file.
    Record(Record),
    /// Of a JSON lines file, without the line's end.
    Line(Vec<u8>),
    /// In the batch's own columns.
    Arrow,
}

impl Row {
    fn new(original: Original, asked: Result<String, Problem>) -> Self {
        let text_crc = asked.as_ref().map_or(0, |text| crc32fast::hash(text.as_bytes()));
        Self { original, asked: asked.map(Input::new).map_err(|problem| in_one_line(&problem)), text_crc }
    }
}

/// Opens the input and finds its columns out. JSON lines are read through once for that.
pub fn plan(path: &Path, job: &Job) -> Result<Plan, Problem> {
    let opened = open(path, job.input_format)?;
    let name = opened.name.clone();
    let broken_off = |error| cannot_read(&name, &error);
    let bytes = path.metadata().map_err(broken_off)?.len();
    let fingerprint = fingerprint(path, bytes).map_err(broken_off)?;
    let columns = match opened.format {
        Format::Csv | Format::Tsv => delimited_columns(opened, &job.columns)?,
        Format::Jsonl => {
            let lines = Lines::new(opened.bytes.into_reader()).map_err(broken_off)?;
            let (names, has_bad_lines) = keys_of_lines(lines, &name)?;
            let found = || names.iter().map(String::as_str);
            if job.columns.find(Role::Text, found()).is_none() {
                return Err(missing_column(job.columns.name_of(Role::Text), found()).at(&name, 0));
            }
            InputColumns::Lines { names, has_bad_lines }
        }
        Format::Parquet => arrow_columns(opened, &job.columns)?,
    };
    Ok(Plan { name, columns, bytes, fingerprint, path: path.to_owned(), text: job.columns.clone() })
}

/// Reads the whole input in batches of `batch_rows`, handing each to `take` until that says `false`. Ends with an
/// error where the file can't be read on. Gives whether the end was reached.
pub fn read(plan: Plan, batch_rows: usize, take: &mut dyn FnMut(Result<Batch, Problem>) -> bool) -> bool {
    let result = match &plan.columns {
        InputColumns::Delimited { names, delimiter, text, .. } => {
            read_delimited(&plan, names, *delimiter, *text, batch_rows, take)
        }
        InputColumns::Lines { .. } => read_lines(&plan, batch_rows, take),
        InputColumns::Arrow { text, rows, .. } => read_arrow(&plan, *text, *rows, batch_rows, take),
    };
    result.unwrap_or_else(|problem| {
        take(Err(problem));
        false
    })
}

fn fingerprint(path: &Path, bytes: u64) -> std::io::Result<String> {
    const END: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    (&mut file).take(END).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(END)))?;
    file.take(END).read_to_end(&mut tail)?;
    Ok(format!("{bytes}-{}", Sha256Hex::of_parts([head.as_slice(), tail.as_slice()])))
}

fn delimited_columns(opened: Opened, columns: &Columns) -> Result<InputColumns, Problem> {
    let Opened { name, format, bytes } = opened;
    let broken_off = |error| cannot_read(&name, &error);
    let mut reader = bytes.into_reader();
    let delimiter = delimiter_of(format, reader.fill_buf().map_err(broken_off)?);
    let mut header = Record::default();
    let mut records = Records::new(Lines::new(reader).map_err(broken_off)?, delimiter);
    if !records.read(&mut header).map_err(broken_off)? {
        return Err(Problem::in_file(&name, "the file holds nothing but blank lines"));
    }
    let names = header_of(&header, &name)?;
    let found = || names.iter().map(String::as_str);
    let Some(text) = columns.find(Role::Text, found()) else {
        return Err(missing_column(columns.name_of(Role::Text), found()).at(&name, header.line));
    };
    Ok(InputColumns::Delimited { names: names.into(), header, delimiter, text })
}

fn arrow_columns(opened: Opened, columns: &Columns) -> Result<InputColumns, Problem> {
    let Opened { name, bytes, .. } = opened;
    let Bytes::File(file) = bytes else {
        return Err(Problem::in_file(&name, "Parquet can only be read from a file"));
    };
    let file = file_of(file.into_inner(), &name)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&name, &error))?;
    let schema = builder.schema().clone();
    let found = || schema.fields().iter().map(|field| field.name().as_str());
    let Some(text) = columns.find(Role::Text, found()) else {
        return Err(missing_column(columns.name_of(Role::Text), found()).at(&name, 0));
    };
    if !is_readable(schema.field(text).data_type()) {
        let kind = schema.field(text).data_type();
        return Err(Problem::in_file(
            &name,
            format!("column `{}` holds no text: {kind}", schema.field(text).name()),
        ));
    }
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok(InputColumns::Arrow { schema, text, rows })
}

fn read_delimited(
    plan: &Plan,
    names: &[String],
    delimiter: u8,
    text: usize,
    batch_rows: usize,
    take: &mut dyn FnMut(Result<Batch, Problem>) -> bool,
) -> Result<bool, Problem> {
    let mut records = Records::new(lines_of(plan)?, delimiter);
    let mut collect = Collect::new(batch_rows, take);
    let mut record = Record::default();
    let mut is_header = true;
    while records.read(&mut record).map_err(|error| cannot_read(&plan.name, &error))? {
        if std::mem::take(&mut is_header) {
            continue;
        }
        let asked = match fault_of(&record, names, &plan.name) {
            Some(problem) => Err(problem),
            None => {
                let field = String::from_utf8_lossy(record.field(text).unwrap_or_default()).into_owned();
                text_of(Value::String(field)).map_err(|problem| problem.at(&plan.name, record.line))
            }
        };
        if !collect.row(Row::new(Original::Record(std::mem::take(&mut record)), asked), records.offset()) {
            return Ok(false);
        }
    }
    Ok(collect.end())
}

fn read_lines(
    plan: &Plan,
    batch_rows: usize,
    take: &mut dyn FnMut(Result<Batch, Problem>) -> bool,
) -> Result<bool, Problem> {
    let mut lines = lines_of(plan)?;
    let mut collect = Collect::new(batch_rows, take);
    while let Some(line) = lines.read().map_err(|error| cannot_read(&plan.name, &error))? {
        if line.content().trim_ascii().is_empty() {
            continue;
        }
        let asked = object_of(&line, &plan.name).and_then(|object| {
            text_in(object, &plan.text).map_err(|problem| problem.at(&plan.name, line.number))
        });
        let end = line.offset + line.bytes.len() as u64;
        if !collect.row(Row::new(Original::Line(line.content().to_vec()), asked), end) {
            return Ok(false);
        }
    }
    Ok(collect.end())
}

fn text_in(mut object: Map<String, Value>, columns: &Columns) -> Result<String, Problem> {
    let names: Vec<String> = object.keys().cloned().collect();
    let found = || names.iter().map(String::as_str);
    let Some(index) = columns.find(Role::Text, found()) else {
        return Err(missing_column(columns.name_of(Role::Text), found()));
    };
    match object.remove(&names[index]) {
        Some(Value::Null) | None => Err(Problem::new("the row has no text")),
        Some(value) => text_of(value),
    }
}

fn read_arrow(
    plan: &Plan,
    text: usize,
    rows: u64,
    batch_rows: usize,
    take: &mut dyn FnMut(Result<Batch, Problem>) -> bool,
) -> Result<bool, Problem> {
    let fault = |error: &dyn std::fmt::Display| broken(&plan.name, error);
    let file = File::open(&plan.path).map_err(|error| source::cannot_open(&plan.path, &error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| fault(&error))?;
    let reader = builder.with_batch_size(batch_rows).build().map_err(|error| fault(&error))?;
    let mut first = 0;
    for columns in reader {
        let columns = columns.map_err(|error| fault(&error))?;
        let texts = columns.column(text);
        let read: Vec<Row> = (0..columns.num_rows())
            .map(|row| {
                let asked = match value_at(texts.as_ref(), row) {
                    Value::Null => Err(Problem::new("the row has no text")),
                    value => text_of(value),
                };
                let place = first + row as u64 + 1;
                Row::new(Original::Arrow, asked.map_err(|problem| problem.at(&plan.name, place)))
            })
            .collect();
        let count = read.len() as u64;
        let bytes_read = (plan.bytes as f64 * (first + count) as f64 / rows.max(1) as f64) as u64;
        if !take(Ok(Batch { first, rows: read, arrow: Some(columns), bytes_read, replayed: 0 })) {
            return Ok(false);
        }
        first += count;
    }
    Ok(true)
}

fn lines_of(plan: &Plan) -> Result<Lines<BufReader<File>>, Problem> {
    let file = File::open(&plan.path).map_err(|error| source::cannot_open(&plan.path, &error))?;
    Lines::new(BufReader::with_capacity(1 << 18, file)).map_err(|error| cannot_read(&plan.name, &error))
}

/// Gathers rows into batches.
struct Collect<'a> {
    batch_rows: usize,
    first: u64,
    rows: Vec<Row>,
    bytes_read: u64,
    take: &'a mut dyn FnMut(Result<Batch, Problem>) -> bool,
}

impl<'a> Collect<'a> {
    fn new(batch_rows: usize, take: &'a mut dyn FnMut(Result<Batch, Problem>) -> bool) -> Self {
        Self { batch_rows, first: 0, rows: Vec::with_capacity(batch_rows), bytes_read: 0, take }
    }

    fn row(&mut self, row: Row, bytes_read: u64) -> bool {
        self.rows.push(row);
        self.bytes_read = bytes_read;
        self.rows.len() < self.batch_rows || self.end()
    }

    fn end(&mut self) -> bool {
        if self.rows.is_empty() {
            return true;
        }
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(self.batch_rows));
        let first = self.first;
        self.first += rows.len() as u64;
        (self.take)(Ok(Batch { first, rows, arrow: None, bytes_read: self.bytes_read, replayed: 0 }))
    }
}

/// A problem as the `error` column has it: what, and where.
fn in_one_line(problem: &Problem) -> String {
    match &problem.place {
        Some(place) if place.line > 0 => format!("{} ({}:{})", problem.message, place.file, place.line),
        _ => problem.message.clone(),
    }
}
