//! A log's lines as bytes, with their places.

use std::io::{self, BufRead};

/// A longer line is passed over: no chat call is that long, and a file without line breaks would fill the memory.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// One line.
#[derive(Default)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Where it begins in the file.
    pub(super) start: u64,
    /// Bytes of the file it takes, line break included.
    pub(super) length: u64,
    /// What it says, without the line break; empty where it is too long.
    pub(super) bytes: Vec<u8>,
    /// Whether a line break follows: the last line of a file may have none, or be torn.
    pub(super) is_ended: bool,
    pub(super) is_too_long: bool,
}

pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    start: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0, start: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { number: self.number + 1, start: self.start, ..Line::default() };
        while !line.is_ended {
            let available = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let line_break = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..line_break.unwrap_or(available.len())];
            if line.bytes.len() + piece.len() > MOST_BYTES {
                line.is_too_long = true;
                line.bytes = Vec::new();
            }
            if !line.is_too_long {
                line.bytes.extend_from_slice(piece);
            }
            line.is_ended = line_break.is_some();
            let taken = piece.len() + usize::from(line.is_ended);
            self.reader.consume(taken);
            line.length += taken as u64;
        }
        self.number += 1;
        self.start += line.length;
        Ok((line.length > 0).then_some(line))
    }
}
