//! Parquet.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;
use sprat_task::Problem;

use super::arrow_value::{is_readable, value_at};
use super::cells::Cells;
use super::columns::{Columns, Role};
use super::source::{Bytes, Opened, all_bytes, cannot_read};
use super::{Sink, missing_column};

pub(super) fn read(opened: Opened, sink: &mut Sink<'_>) -> Result<(), Problem> {
    let Opened { name, bytes, .. } = opened;
    match bytes {
        Bytes::File(file) => batches(file_of(file.into_inner(), &name)?, &name, sink),
        Bytes::Stream(stream) => {
            let bytes = all_bytes(stream, &name)?;
            if !bytes.ends_with(b"PAR1") {
                return Err(cut_off(&name));
            }
            batches(bytes::Bytes::from(bytes), &name, sink)
        }
    }
}

/// A file from its beginning, checked to be whole: Parquet's table of contents stands at its end.
pub(crate) fn file_of(mut file: File, name: &str) -> Result<File, Problem> {
    let mut end = [0; 4];
    let whole = file
        .seek(SeekFrom::End(-4))
        .and_then(|_| file.read_exact(&mut end))
        .and_then(|()| file.rewind())
        .map_err(|error| cannot_read(name, &error));
    whole?;
    if &end == b"PAR1" { Ok(file) } else { Err(cut_off(name)) }
}

/// What Parquet's own library found wrong, at the file.
pub(crate) fn broken(name: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::in_file(name, format!("the Parquet file is damaged: {error}"))
        .hint("write it again from where it came")
}

fn cut_off(name: &str) -> Problem {
    Problem::in_file(name, "the Parquet file is cut off: its end, with the table of contents, is missing")
        .hint("copy or write it again")
}

fn batches<R: ChunkReader + 'static>(input: R, name: &str, sink: &mut Sink<'_>) -> Result<(), Problem> {
    let (reader, names) = projected(input, name, &sink.wanted.options.columns, sink.wanted.needs_labels())?;
    let mut row = 0;
    for batch in reader {
        let batch = batch.map_err(|error| broken(name, &error))?;
        for index in 0..batch.num_rows() {
            row += 1;
            let mut cells = Cells::at_line(row);
            for (role, column) in &names {
                if let Some(column) = batch.column_by_name(column) {
                    cells.set(*role, value_at(column.as_ref(), index));
                }
            }
            sink.cells(cells, String::new);
        }
    }
    Ok(())
}

type Names = Vec<(Role, String)>;

/// A reader of the columns that matter, and which they are.
fn projected<R: ChunkReader + 'static>(
    input: R,
    name: &str,
    columns: &Columns,
    labelled: bool,
) -> Result<(ParquetRecordBatchReader, Names), Problem> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(|error| broken(name, &error))?;
    let schema = builder.schema().clone();
    let found = || schema.fields().iter().map(|field| field.name().as_str());
    let mut names = Names::new();
    let mut roots = Vec::new();
    for role in Role::ALL {
        match columns.find(role, found()) {
            Some(index) => {
                let field = schema.field(index);
                if !is_readable(field.data_type()) {
                    return Err(Problem::in_file(
                        name,
                        format!(
                            "column `{}` has a type that holds no text: {}",
                            field.name(),
                            field.data_type()
                        ),
                    ));
                }
                names.push((role, field.name().clone()));
                roots.push(index);
            }
            None if columns.named(role).is_some() => {
                return Err(missing_column(columns.name_of(role), found()).at(name, 0));
            }
            None => {}
        }
    }
    let has = |role: Role| names.iter().any(|(known, _)| *known == role);
    let is_labelled = [Role::Label, Role::Spans, Role::Large].into_iter().any(has);
    for (role, there) in [(Role::Text, has(Role::Text)), (Role::Label, !labelled || is_labelled)] {
        if !there {
            return Err(missing_column(columns.name_of(role), found()).at(name, 0));
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).build().map_err(|error| broken(name, &error))?;
    Ok((reader, names))
}
