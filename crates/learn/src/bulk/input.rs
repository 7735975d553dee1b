//! What is in the input, row by row: every row, also those that can't be asked.

use std::fs::File;
use std::io::BufReader;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use sprat_task::{Input, Problem};

use super::plan::{InputColumns, Plan};
use crate::rows::arrow_value::value_at;
use crate::rows::cells::text_of;
use crate::rows::columns::{Columns, Role};
use crate::rows::delimited::fault_of;
use crate::rows::json_lines::object_of;
use crate::rows::lines::Lines;
use crate::rows::missing_column;
use crate::rows::parquet_rows::broken;
use crate::rows::record::{Record, Records};
use crate::rows::source::{cannot_open, cannot_read};

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
    let file = File::open(&plan.path).map_err(|error| cannot_open(&plan.path, &error))?;
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
    let file = File::open(&plan.path).map_err(|error| cannot_open(&plan.path, &error))?;
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
