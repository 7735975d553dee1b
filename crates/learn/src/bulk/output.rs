//! How a row is written: as it stood where the format stays, else column by column; then what was added.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value};
use sprat_task::{Answer, Label};

use super::Answered;
use super::input::{Batch, Original, Row};
use super::plan::InputColumns;
use super::shape::Shape;
use crate::rows::arrow_value::value_at;
use crate::rows::record::Record;
use crate::rows::source::Format;

mod arrow_file;

use arrow_file::ArrowFile;

/// The output while it is being written.
pub struct Output {
    shape: Shape,
    file: OutputFile,
    line: Vec<u8>,
}

enum OutputFile {
    Text(BufWriter<File>),
    Arrow(Box<ArrowFile>),
}

impl Output {
    /// Begins an output, over whatever an interrupted run has left there.
    pub fn create(path: &Path, shape: Shape) -> io::Result<Self> {
        let file = File::create(path)?;
        let mut output = match shape.format {
            Format::Parquet => {
                let file = OutputFile::Arrow(Box::new(ArrowFile::new(file, &shape)?));
                return Ok(Self { shape, file, line: Vec::new() });
            }
            _ => Self {
                file: OutputFile::Text(BufWriter::with_capacity(1 << 18, file)),
                shape,
                line: Vec::new(),
            },
        };
        if let Some(delimiter) = output.delimiter() {
            output.header(delimiter)?;
        }
        Ok(output)
    }

    /// Writes a batch with its answers, one a row.
    pub fn write(&mut self, batch: &Batch, answers: &[Answered]) -> io::Result<()> {
        if let OutputFile::Arrow(file) = &mut self.file {
            return file.write(&self.shape, batch, answers);
        }
        let delimiter = self.delimiter();
        for (index, (row, answered)) in batch.rows.iter().zip(answers).enumerate() {
            let mut line = std::mem::take(&mut self.line);
            line.clear();
            match delimiter {
                Some(delimiter) => {
                    delimited_line(&mut line, &self.shape, batch, index, row, answered, delimiter)
                }
                None => json_line(&mut line, &self.shape, batch, index, row, answered)?,
            }
            line.push(b'\n');
            self.line = line;
            if let OutputFile::Text(file) = &mut self.file {
                file.write_all(&self.line)?;
            }
        }
        Ok(())
    }

    /// Ends the output and makes it survive a power cut.
    pub fn finish(self) -> io::Result<()> {
        match self.file {
            OutputFile::Text(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
            OutputFile::Arrow(file) => file.finish()?.sync_all(),
        }
    }

    /// What separates fields: as in the input, where that is the same format.
    fn delimiter(&self) -> Option<u8> {
        match (self.shape.format, &self.shape.input) {
            (Format::Tsv, _) => Some(b'\t'),
            (Format::Csv, InputColumns::Delimited { delimiter, .. }) if *delimiter != b'\t' => {
                Some(*delimiter)
            }
            (Format::Csv, _) => Some(b','),
            _ => None,
        }
    }

    fn header(&mut self, delimiter: u8) -> io::Result<()> {
        let mut line = Vec::new();
        match &self.shape.input {
            InputColumns::Delimited { header, delimiter: same, .. } if *same == delimiter => {
                line.extend_from_slice(header.content());
            }
            _ => self.shape.names.iter().enumerate().for_each(|(index, name)| {
                field(&mut line, name.as_bytes(), delimiter, index > 0);
            }),
        }
        self.shape.added.iter().for_each(|name| field(&mut line, name.as_bytes(), delimiter, true));
        line.push(b'\n');
        match &mut self.file {
            OutputFile::Text(file) => file.write_all(&line),
            OutputFile::Arrow(_) => Ok(()),
        }
    }
}

fn delimited_line(
    line: &mut Vec<u8>,
    shape: &Shape,
    batch: &Batch,
    index: usize,
    row: &Row,
    answered: &Answered,
    delimiter: u8,
) {
    match (&row.original, &shape.input) {
        (Original::Record(record), InputColumns::Delimited { delimiter: same, names, .. })
            if *same == delimiter && record.is_closed && record.len() == names.len() =>
        {
            line.extend_from_slice(record.content());
        }
        (Original::Record(record), InputColumns::Delimited { names, delimiter: was, .. }) => {
            for (at, value) in aligned(record, names.len(), *was).iter().enumerate() {
                field(line, value, delimiter, at > 0);
            }
        }
        _ => {
            for (at, value) in cells(shape, batch, index, row).iter().enumerate() {
                field(line, text_of_cell(value).as_deref().unwrap_or_default().as_bytes(), delimiter, at > 0);
            }
        }
    }
    let answer = answered.answer.as_ref().map(Answer::to_line);
    let others = added_values(answered).into_iter().skip(1).map(|value| text_of_cell(&value));
    for text in [answer].into_iter().chain(others) {
        field(line, text.as_deref().unwrap_or_default().as_bytes(), delimiter, true);
    }
}

fn json_line(
    line: &mut Vec<u8>,
    shape: &Shape,
    batch: &Batch,
    index: usize,
    row: &Row,
    answered: &Answered,
) -> io::Result<()> {
    let object_as_it_stood = match &row.original {
        Original::Line(bytes) if is_object(bytes) => Some(bytes.trim_ascii()),
        _ => None,
    };
    match object_as_it_stood {
        Some(object) => {
            let open = object.strip_suffix(b"}").unwrap_or(object);
            line.extend_from_slice(open);
            if open.trim_ascii().len() > 1 {
                line.push(b',');
            }
        }
        None => {
            line.push(b'{');
            for (name, value) in shape.names.iter().zip(cells(shape, batch, index, row)) {
                // Of a line that is no object, only that is known.
                if !matches!((&row.original, &value), (Original::Line(_), Value::Null)) {
                    member(line, name, &value)?;
                    line.push(b',');
                }
            }
        }
    }
    for (position, (name, value)) in shape.added.iter().zip(added_values(answered)).enumerate() {
        if position > 0 {
            line.push(b',');
        }
        member(line, name, &value)?;
    }
    line.push(b'}');
    Ok(())
}

fn is_object(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<Map<String, Value>>(bytes).is_ok()
}

fn member(line: &mut Vec<u8>, name: &str, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *line, name)?;
    line.push(b':');
    Ok(serde_json::to_writer(line, value)?)
}

/// A row's input columns as values, in the order of [`Shape::names`].
fn cells(shape: &Shape, batch: &Batch, index: usize, row: &Row) -> Vec<Value> {
    match (&row.original, &shape.input) {
        (Original::Record(record), InputColumns::Delimited { names, delimiter, .. }) => {
            let fields = aligned(record, names.len(), *delimiter);
            fields.iter().map(|field| Value::String(String::from_utf8_lossy(field).into_owned())).collect()
        }
        (Original::Line(bytes), _) => match serde_json::from_slice::<Map<String, Value>>(bytes) {
            Ok(mut object) if std::str::from_utf8(bytes).is_ok() => shape
                .names
                .iter()
                .map(|name| object.get_mut(name).map(Value::take).unwrap_or_default())
                .collect(),
            _ => {
                let raw = || Value::String(String::from_utf8_lossy(bytes).into_owned());
                let is_raw = |name: &String| shape.raw.as_ref() == Some(name);
                shape.names.iter().map(|name| if is_raw(name) { raw() } else { Value::Null }).collect()
            }
        },
        _ => match &batch.arrow {
            Some(columns) => {
                columns.columns().iter().map(|column| value_at(column.as_ref(), index)).collect()
            }
            None => vec![Value::Null; shape.names.len()],
        },
    }
}

/// As many fields as the header has: missing ones empty, what is too much kept in the last.
fn aligned(record: &Record, columns: usize, delimiter: u8) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = record.fields().take(columns).map(<[u8]>::to_vec).collect();
    fields.resize(columns, Vec::new());
    if let Some(last) = fields.last_mut() {
        for field in record.fields().skip(columns) {
            last.push(delimiter);
            last.extend_from_slice(field);
        }
    }
    fields
}

/// The added columns, in the order of [`ADDED`](super::shape::ADDED).
fn added_values(answered: &Answered) -> [Value; 6] {
    [
        answered.answer.as_ref().map_or(Value::Null, answer_value),
        answered.answered_by.as_ref().map_or(Value::Null, |model| model.as_str().into()),
        answered.confidence.map_or(Value::Null, |confidence| rounded(confidence).into()),
        answered.escalated.map_or(Value::Null, Value::Bool),
        answered.cost_micro_usd.map_or(Value::Null, |cost| cost.micro().into()),
        answered.error.as_ref().map_or(Value::Null, |error| error.as_str().into()),
    ]
}

fn answer_value(answer: &Answer) -> Value {
    match answer {
        Answer::Label(label) => label.as_str().into(),
        Answer::Labels(labels) => labels.iter().map(Label::as_str).collect(),
        Answer::Fields(fields) => Value::Object(fields.clone()),
        Answer::Text(text) => text.as_str().into(),
    }
}

/// To a millionth: more digits of an estimate say nothing.
fn rounded(confidence: f64) -> f64 {
    (confidence * 1e6).round() / 1e6
}

/// A value as a cell of CSV, TSV or Parquet has it: a string as it is, else JSON; `None` for null.
fn text_of_cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Adds a field, in quotes where it has to be.
fn field(line: &mut Vec<u8>, value: &[u8], delimiter: u8, separated: bool) {
    if separated {
        line.push(delimiter);
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == delimiter;
    // A line of one empty field would be a blank line, which is no record.
    if !value.iter().any(special) && (separated || !value.is_empty()) {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}
