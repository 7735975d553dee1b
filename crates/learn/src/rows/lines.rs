//! Where lines begin and end: numbered, with their offset in the file, as bytes and unchanged.

use std::io::{self, BufRead, Read};

/// A line longer than this is no line of text: the file is something else.
pub const LONGEST_LINE: u64 = 64 << 20;

/// Reads lines one by one into a buffer of its own, so that a file of any length takes the memory of one line.
pub struct Lines<R> {
    inner: R,
    number: u64,
    offset: u64,
    buffer: Vec<u8>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    /// Where the line begins, in bytes from the beginning of what is read.
    pub offset: u64,
    /// The line with its end (LF or CR LF, nothing at the end of a file that stops without one).
    pub bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// The line without its end.
    pub fn content(&self) -> &'a [u8] {
        without_end(self.bytes)
    }

    /// Whether the line has an end: a file that was cut off stops without one.
    pub fn is_ended(&self) -> bool {
        self.bytes.ends_with(b"\n")
    }
}

impl<R: BufRead> Lines<R> {
    /// Lines of `inner`, a byte order mark at its beginning left out.
    pub fn new(mut inner: R) -> io::Result<Self> {
        let mark = b"\xEF\xBB\xBF";
        let mut offset = 0;
        if inner.fill_buf()?.starts_with(mark) {
            inner.consume(mark.len());
            offset = mark.len() as u64;
        }
        Ok(Self { inner, number: 0, offset, buffer: Vec::new() })
    }

    /// The next line; `None` at the end.
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let read = (&mut self.inner).take(LONGEST_LINE).read_until(b'\n', &mut self.buffer)? as u64;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.number += 1;
        self.offset += read;
        if read == LONGEST_LINE {
            let number = self.number;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {number} is longer than {} MiB", LONGEST_LINE >> 20),
            ));
        }
        Ok(Some(Line { number: self.number, offset, bytes: &self.buffer }))
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// A line's bytes without LF or CR LF.
pub fn without_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends_numbers_and_offsets() {
        let mut lines = Lines::new(&b"\xEF\xBB\xBFone\r\n\ntwo"[..]).expect("reads");
        let mut seen = Vec::new();
        while let Some(line) = lines.read().expect("reads") {
            seen.push((line.number, line.offset, line.content().to_vec(), line.is_ended()));
        }
        assert_eq!(
            seen,
            [(1, 3, b"one".to_vec(), true), (2, 8, Vec::new(), true), (3, 9, b"two".to_vec(), false)]
        );
        assert_eq!(lines.offset(), 12);
    }
}
