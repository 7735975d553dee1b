//! Parquet out: the input's columns as they are where the input is Parquet, else as strings; then what was added.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use sprat_task::Answer;

use super::super::Answered;
use super::super::input::Batch;
use super::super::plan::InputColumns;
use super::super::shape::Shape;
use super::{cells, rounded, text_of_cell};

/// Rows a row group: this many are held in memory, encoded.
const GROUP_ROWS: usize = 1 << 16;

pub(super) struct ArrowFile {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
}

impl ArrowFile {
    pub(super) fn new(file: File, shape: &Shape) -> io::Result<Self> {
        let mut fields: Vec<Arc<Field>> = match &shape.input {
            InputColumns::Arrow { schema, .. } => schema.fields().iter().cloned().collect(),
            _ => shape.names.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true))).collect(),
        };
        let types = [
            DataType::Utf8,
            DataType::Utf8,
            DataType::Float64,
            DataType::Boolean,
            DataType::Int64,
            DataType::Utf8,
        ];
        fields
            .extend(shape.added.iter().zip(types).map(|(name, kind)| Arc::new(Field::new(name, kind, true))));
        let metadata = match &shape.input {
            InputColumns::Arrow { schema, .. } => schema.metadata().clone(),
            _ => Default::default(),
        };
        let schema: SchemaRef = Arc::new(Schema::new_with_metadata(fields, metadata));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(plain)?;
        Ok(Self { writer, schema })
    }

    pub(super) fn write(&mut self, shape: &Shape, batch: &Batch, answers: &[Answered]) -> io::Result<()> {
        let mut columns: Vec<ArrayRef> = match &batch.arrow {
            Some(columns) => columns.columns().to_vec(),
            None => as_strings(shape, batch),
        };
        columns.extend(added(answers));
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(plain)
    }

    pub(super) fn finish(self) -> io::Result<File> {
        self.writer.into_inner().map_err(plain)
    }
}

fn as_strings(shape: &Shape, batch: &Batch) -> Vec<ArrayRef> {
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::with_capacity(batch.rows.len()); shape.names.len()];
    for (index, row) in batch.rows.iter().enumerate() {
        for (column, value) in columns.iter_mut().zip(cells(shape, batch, index, row)) {
            column.push(text_of_cell(&value));
        }
    }
    columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect()
}

fn added(answers: &[Answered]) -> [ArrayRef; 6] {
    let texts = |text: &dyn Fn(&Answered) -> Option<String>| -> ArrayRef {
        Arc::new(answers.iter().map(text).collect::<StringArray>())
    };
    [
        texts(&|row| row.answer.as_ref().map(Answer::to_line)),
        texts(&|row| row.answered_by.as_ref().map(ToString::to_string)),
        Arc::new(answers.iter().map(|row| row.confidence.map(rounded)).collect::<Float64Array>()),
        Arc::new(answers.iter().map(|row| row.escalated).collect::<BooleanArray>()),
        Arc::new(
            answers.iter().map(|row| row.cost_micro_usd.map(|cost| cost.micro())).collect::<Int64Array>(),
        ),
        texts(&|row| row.error.clone()),
    ]
}

fn plain(error: ParquetError) -> io::Error {
    match error {
        // A full disk should be told as one.
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        other => io::Error::other(other),
    }
}
