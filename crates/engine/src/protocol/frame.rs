//! Where does a message begin and end? Four bytes say how long it is, little-endian; then it stands there as JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message, in bytes: what a gateway lets in is shorter.
pub const LONGEST: u32 = 32 << 20;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side has left.
    #[error("the other side has left")]
    Closed,
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is longer than any message.
    #[error("a message of {0} bytes, and {LONGEST} is the most")]
    TooLong(u64),
    /// It can't be understood.
    #[error("a message that can't be understood: {0}")]
    Garbage(#[from] serde_json::Error),
}

/// Writes one message, in one piece.
///
/// # Errors
/// What the writer says; or that the message is too long, and then nothing was written.
pub fn write<T: Serialize>(output: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() as u64 - 4;
    let head =
        u32::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(FrameError::TooLong(length))?;
    bytes[..4].copy_from_slice(&head.to_le_bytes());
    output.write_all(&bytes)?;
    output.flush()?;
    Ok(())
}

/// Reads one message; [`FrameError::Closed`] where the other side left between two.
///
/// # Errors
/// What the reader says, or what is wrong with the message. Memory is taken as bytes come, never as the length says.
pub fn read<T: DeserializeOwned>(input: &mut impl Read) -> Result<T, FrameError> {
    let mut head = [0; 4];
    let mut had = 0;
    while had < head.len() {
        match input.read(&mut head[had..]) {
            Ok(0) if had == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(more) => had += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_le_bytes(head);
    if length > LONGEST {
        return Err(FrameError::TooLong(u64::from(length)));
    }
    let mut bytes = Vec::new();
    let came = input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if came < length as usize {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}
