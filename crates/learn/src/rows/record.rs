//! Where the records and fields of CSV and TSV begin and end (RFC 4180, as leniently as spreadsheets write it).
//!
//! The `csv` crate reads the same fields (a test holds the two together), but can't say at which column a field
//! begins, whether a quote was ever closed, or give a record back exactly as it stood; messages and `sprat run` need
//! all three.

use std::io::{self, BufRead};
use std::ops::Range;

use super::lines::{LONGEST_LINE, Lines, without_end};

/// Reads records one by one.
pub struct Records<R> {
    lines: Lines<R>,
    delimiter: u8,
}

/// One record: its fields, and the bytes it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The offset at which it begins.
    pub offset: u64,
    /// Its bytes as they stood, the end of the line included.
    pub raw: Vec<u8>,
    /// Whether every quote in it was closed.
    pub is_closed: bool,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    starts: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first half of a doubled quote.
    Quote,
}

impl<R: BufRead> Records<R> {
    /// Records of `lines`, their fields separated by `delimiter`.
    pub fn new(lines: Lines<R>, delimiter: u8) -> Self {
        Self { lines, delimiter }
    }

    /// Reads the next record into `record`; `false` at the end. Blank lines are no records.
    pub fn read(&mut self, record: &mut Record) -> io::Result<bool> {
        record.clear();
        loop {
            let Some(line) = self.lines.read()? else { return Ok(false) };
            if line.content().is_empty() {
                continue;
            }
            (record.line, record.offset) = (line.number, line.offset);
            record.raw.extend_from_slice(line.bytes);
            break;
        }
        let mut at = At::FieldStart;
        let mut done = 0;
        loop {
            at = record.split(done, at, self.delimiter);
            if at != At::Quoted {
                record.is_closed = true;
                break;
            }
            // The field goes on in the next line, the line's end being part of it.
            done = record.raw.len();
            if done as u64 > LONGEST_LINE {
                let line = record.line;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "the record on line {line} is longer than {} MiB: a quote in it is never closed",
                        LONGEST_LINE >> 20
                    ),
                ));
            }
            match self.lines.read()? {
                Some(line) => record.raw.extend_from_slice(line.bytes),
                None => {
                    record.is_closed = false;
                    break;
                }
            }
        }
        record.ends.push(record.unquoted.len());
        Ok(true)
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.lines.offset()
    }
}

impl Record {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no fields, which no record that was read is.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A field without its quotes.
    pub fn field(&self, index: usize) -> Option<&[u8]> {
        self.ends.get(index)?;
        Some(&self.unquoted[self.range(index)])
    }

    /// All fields without their quotes.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| &self.unquoted[self.range(index)])
    }

    /// The record as it stood, without the end of its last line.
    pub fn content(&self) -> &[u8] {
        without_end(&self.raw)
    }

    /// The line, and the column in characters, on which a field begins; both from 1.
    pub fn place_of(&self, index: usize) -> (u64, u64) {
        self.place_at(self.starts.get(index).copied().unwrap_or(0), |bytes| {
            String::from_utf8_lossy(bytes).chars().count()
        })
    }

    /// The line and the byte column, both from 1, of the first byte that is not UTF-8.
    pub fn not_utf8_at(&self) -> Option<(u64, u64)> {
        let valid = std::str::from_utf8(&self.raw).err()?.valid_up_to();
        Some(self.place_at(valid, <[u8]>::len))
    }

    fn place_at(&self, offset: usize, count: impl Fn(&[u8]) -> usize) -> (u64, u64) {
        let before = &self.raw[..offset.min(self.raw.len())];
        let lines_before = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (self.line + lines_before, count(&before[line_start..]) as u64 + 1)
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    fn clear(&mut self) {
        self.raw.clear();
        self.unquoted.clear();
        self.ends.clear();
        self.starts.clear();
        self.is_closed = false;
    }

    /// Splits the raw bytes from `from` on; gives the state at their end.
    fn split(&mut self, from: usize, mut at: At, delimiter: u8) -> At {
        let end = self.raw.len();
        // Inside quotes the line's end belongs to the field; outside it does not. Which it is shows only there.
        let content = without_end(&self.raw[from..]).len() + from;
        if from == 0 {
            self.starts.push(0);
        }
        for index in from..end {
            let byte = self.raw[index];
            if index >= content && at != At::Quoted {
                break;
            }
            at = match at {
                At::FieldStart | At::Plain | At::Quote if byte == delimiter => {
                    self.ends.push(self.unquoted.len());
                    self.starts.push(index + 1);
                    At::FieldStart
                }
                At::FieldStart if byte == b'"' => At::Quoted,
                At::Quoted if byte == b'"' => At::Quote,
                At::Quote if byte == b'"' => {
                    self.unquoted.push(byte);
                    At::Quoted
                }
                At::Quoted => {
                    self.unquoted.push(byte);
                    At::Quoted
                }
                At::FieldStart | At::Plain | At::Quote => {
                    self.unquoted.push(byte);
                    At::Plain
                }
            };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(bytes: &[u8]) -> Vec<Record> {
        let mut records = Records::new(Lines::new(bytes).expect("reads"), b',');
        let (mut record, mut all) = (Record::default(), Vec::new());
        while records.read(&mut record).expect("reads") {
            all.push(record.clone());
        }
        all
    }

    fn fields(record: &Record) -> Vec<&str> {
        record.fields().map(|field| std::str::from_utf8(field).expect("text")).collect()
    }

    #[test]
    fn quoted_newlines_belong_to_their_field_and_lines_are_still_counted() {
        let all = records(b"a,b\r\n\"one\r\ntwo\",\"say \"\"hi\"\"\"\r\n\r\nlast,\n");
        assert_eq!(fields(&all[1]), ["one\r\ntwo", "say \"hi\""]);
        assert_eq!((all[1].line, all[1].offset, all[1].place_of(1)), (2, 5, (3, 6)));
        assert_eq!((fields(&all[2]), all[2].line), (vec!["last", ""], 5));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told() {
        let all = records(b"a,b\nx,\"y\nz,w\n");
        assert_eq!((all.len(), all[1].is_closed, all[1].line), (2, false, 2));
    }

    #[test]
    fn the_first_byte_that_is_not_utf8_has_a_line_and_a_column() {
        let all = records(b"\"\xC3\xA9\n\xC3\xA9\xFF\",x\n");
        assert_eq!(all[0].not_utf8_at(), Some((2, 3)));
    }

    proptest! {
        #[test]
        fn fields_are_those_the_csv_crate_writes(
            rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n é]{0,6}", 2..4), 1..6)
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("writes");
            }
            let bytes = writer.into_inner().expect("flushes");
            let all = records(&bytes);
            let seen: Vec<Vec<&str>> = all.iter().map(fields).collect();
            prop_assert_eq!(seen, rows);
            let whole: Vec<u8> = all.iter().flat_map(|record| record.raw.clone()).collect();
            prop_assert_eq!(whole, bytes);
        }
    }
}
