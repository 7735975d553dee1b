//! What kinds of values does the metadata have?

/// One value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number without a sign, of 8 to 64 bits.
    Whole(u64, WholeKind),
    /// A whole number with a sign, of 8 to 64 bits.
    Signed(i64, WholeKind),
    /// A number of 32 bits.
    F32(f32),
    /// A number of 64 bits.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// A text. What is not UTF-8 is replaced: some vocabularies hold halves of characters.
    Text(String),
    /// Values of one kind.
    List(Vec<Value>),
}

/// How wide a whole number is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeKind {
    /// 1 byte.
    Bits8,
    /// 2 bytes.
    Bits16,
    /// 4 bytes.
    Bits32,
    /// 8 bytes.
    Bits64,
}

impl Value {
    /// The number that the file names this kind by.
    pub fn code(&self) -> u32 {
        use WholeKind::{Bits8, Bits16, Bits32, Bits64};
        match self {
            Self::Whole(_, Bits8) => 0,
            Self::Signed(_, Bits8) => 1,
            Self::Whole(_, Bits16) => 2,
            Self::Signed(_, Bits16) => 3,
            Self::Whole(_, Bits32) => 4,
            Self::Signed(_, Bits32) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::List(_) => 9,
            Self::Whole(_, Bits64) => 10,
            Self::Signed(_, Bits64) => 11,
            Self::F64(_) => 12,
        }
    }

    /// A whole number of 32 bits, the usual one.
    pub fn u32(number: u32) -> Self {
        Self::Whole(u64::from(number), WholeKind::Bits32)
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// As a whole number that is not negative.
    pub fn as_whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number, _) => Some(*number),
            Self::Signed(number, _) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// As a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }
}
