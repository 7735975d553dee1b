//! What is known of the input before its rows are read.

use std::fs::File;
use std::io::{BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sprat_task::{Problem, Sha256Hex};

use super::shape::keys_of_lines;
use super::{Job, Names};
use crate::rows::arrow_value::is_readable;
use crate::rows::columns::{Columns, Role};
use crate::rows::delimited::{delimiter_of, header_of};
use crate::rows::lines::Lines;
use crate::rows::missing_column;
use crate::rows::parquet_rows::{broken, file_of};
use crate::rows::record::{Record, Records};
use crate::rows::source::{Bytes, Format, Opened, cannot_read, open};

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
    pub(super) path: PathBuf,
    pub(super) text: Columns,
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
