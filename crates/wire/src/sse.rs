//! Server-sent events: bytes in, events out, and back.
//!
//! After the HTML standard's "parsing an event stream", with two differences. Memory is bounded: an event longer
//! than the limit is an error. And [`SseParser::finish`] gives an event that the end of the stream cut off before
//! its blank line, because model servers forget that line; the caller may ignore it.

/// Longest event accepted unless told otherwise, in bytes: more than any model's longest answer in one piece.
pub const DEFAULT_EVENT_LIMIT: usize = 8 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; `None` where it was not named, which browsers call `message`.
    pub event: Option<String>,
    /// What it says, lines joined by `\n`.
    pub data: String,
    /// The last id the stream gave, in this event or before; `None` before the first.
    pub id: Option<String>,
}

/// A stream that cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event grew beyond the limit.
    #[error("an event of the stream is longer than {limit} bytes")]
    TooLong {
        /// The most bytes an event may have.
        limit: usize,
    },
}

/// Finds events in bytes that come in any pieces.
#[derive(Clone, Debug)]
pub struct SseParser {
    limit: usize,
    line: Vec<u8>,
    event: Option<String>,
    data: Option<String>,
    id: Option<String>,
    retry_ms: Option<u64>,
    at_first_line: bool,
    after_carriage_return: bool, // so that CR LF ends one line, even when split between two pieces
    failed: Option<SseError>,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new()
    }
}

impl SseParser {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_EVENT_LIMIT)
    }

    /// At the start of a stream whose events may have this many bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: None,
            data: None,
            id: None,
            retry_ms: None,
            at_first_line: true,
            after_carriage_return: false,
            failed: None,
        }
    }

    /// Takes the next bytes and appends the events they complete. On an error, the events before it have been
    /// appended, and every later call gives the same error.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut left = bytes;
        while let Some(&first) = left.first() {
            if std::mem::take(&mut self.after_carriage_return) && first == b'\n' {
                left = &left[1..];
                continue;
            }
            let Some(end) = left.iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
                return self.extend_line(left);
            };
            self.extend_line(&left[..end])?;
            self.after_carriage_return = left[end] == b'\r';
            left = &left[end + 1..];
            events.extend(self.end_line());
        }
        Ok(())
    }

    /// The event that the end of the stream cut off before its blank line, if it had data.
    pub fn finish(mut self) -> Option<SseEvent> {
        if self.failed.is_some() {
            return None;
        }
        if !self.line.is_empty() {
            self.end_line();
        }
        self.dispatch()
    }

    /// How long the server asks to wait before connecting again, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        let held = self.data.as_ref().map_or(0, String::len) + self.event.as_ref().map_or(0, String::len);
        if held + self.line.len() + bytes.len() > self.limit {
            let error = SseError::TooLong { limit: self.limit };
            self.failed = Some(error);
            return Err(error);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let mut bytes = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_first_line) && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        if bytes.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(&bytes);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        self.set(field, value.strip_prefix(' ').unwrap_or(value));
        bytes.clear();
        self.line = bytes; // keeps its allocation for the next line
        None
    }

    fn set(&mut self, field: &str, value: &str) {
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => self.event = (!value.is_empty()).then(|| value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {} // a comment has an empty field name; unknown fields are ignored, says the standard
        }
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = self.event.take();
        let data = self.data.take()?;
        Some(SseEvent { event, data, id: self.id.clone() })
    }
}

impl SseEvent {
    /// An event without a name.
    pub fn from_data(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// An event with a name.
    pub fn named(event: impl Into<String>, data: impl Into<String>) -> Self {
        Self { event: Some(event.into()), ..Self::from_data(data) }
    }

    /// Appends the event as bytes on the wire. A line break in the name or the id would end the line, so what
    /// follows it is left out; line breaks in the data become lines.
    pub fn write_to(&self, out: &mut String) {
        for (field, value) in [("event", &self.event), ("id", &self.id)] {
            if let Some(value) = value {
                write_line(field, value.split(['\r', '\n']).next().unwrap_or_default(), out);
            }
        }
        write_data(&self.data, out);
    }
}

/// Appends an event without a name: `data: …` and a blank line.
pub fn write_data(data: &str, out: &mut String) {
    for line in data.replace("\r\n", "\n").split(['\r', '\n']) {
        write_line("data", line, out);
    }
    out.push('\n');
}

/// Appends a comment, which keeps a quiet connection open; clients ignore it.
pub fn write_comment(comment: &str, out: &mut String) {
    for line in comment.split(['\r', '\n']) {
        write_line("", line, out);
    }
    out.push('\n');
}

fn write_line(field: &str, value: &str, out: &mut String) {
    out.push_str(field);
    out.push_str(": ");
    out.push_str(value);
    out.push('\n');
}

#[cfg(test)]
mod tests;
