//! A spool file's records: 4 bytes of length, 4 of CRC-32 (both little-endian), then that many bytes.

/// Bytes before each record.
const HEAD: usize = 8;

/// A longer record can't have been written by us.
const LONGEST: usize = 16 << 20;

/// A record with its length and checksum before it; `None` where it is empty or too long to be one.
pub(super) fn frame(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.is_empty() || payload.len() > LONGEST {
        return None;
    }
    let mut framed = Vec::with_capacity(HEAD + payload.len());
    framed.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    framed.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    framed.extend_from_slice(payload);
    Some(framed)
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole record, and how many bytes it takes with its head.
    Record(&'a [u8], usize),
    /// The bytes end before the record does.
    CutOff,
    /// Not a record.
    Damaged,
}

/// Reads the record at the beginning of `bytes`, which are not empty.
pub(super) fn read(bytes: &[u8]) -> Found<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Found::CutOff };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > LONGEST {
        return Found::Damaged;
    }
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else { return Found::CutOff };
    match rest.get(..length) {
        None => Found::CutOff,
        Some(payload) if crc32fast::hash(payload) == u32::from_le_bytes(*sum) => {
            Found::Record(payload, HEAD + length)
        }
        Some(_) => Found::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cut_anywhere_is_cut_off_and_a_changed_one_is_damaged() {
        let framed = frame(b"hello").unwrap();
        assert_eq!(read(&framed), Found::Record(b"hello", 13));
        for length in 1..framed.len() {
            assert_eq!(read(&framed[..length]), Found::CutOff, "{length} bytes");
        }
        for at in 4..framed.len() {
            let mut changed = framed.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed), Found::Damaged, "byte {at}");
        }
    }

    #[test]
    fn zeros_after_a_power_cut_are_not_a_record() {
        assert_eq!(read(&[0; 64]), Found::Damaged);
        assert_eq!(frame(b""), None);
    }
}
