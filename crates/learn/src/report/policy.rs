//! The page's content security policy: nothing is loaded, nothing runs, and only our own style sheet applies, known by
//! its hash. A text that slipped through escaping could still do nothing.

use sha2::{Digest, Sha256};

/// The policy of a page whose one `<style>` holds exactly this text.
pub fn policy(style: &str) -> String {
    let hash = base64(&Sha256::digest(style.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let sextet = |place: usize| match place > three.len() {
            true => '=',
            false => char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]),
        };
        [0, 1, 2, 3].map(sextet)
    };
    bytes.chunks(3).flat_map(of_three).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_style_sheet_is_known_by_its_hash() {
        // The digest of the empty text, as published in FIPS 180-4, in base64.
        assert!(
            policy("").contains("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"),
            "{}",
            policy("")
        );
    }
}
