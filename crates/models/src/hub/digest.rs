//! What the right bytes are known by: the hub names large files by SHA-256, small ones as git does.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a file's bytes must hash to, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    /// SHA-256 of the bytes: files in the hub's large storage.
    Sha256(String),
    /// SHA-1 of `blob LENGTH\0` and the bytes: git's name of a file.
    GitBlob(String),
}

impl Digest {
    /// A digest from an `ETag`, which holds one or the other; `None` where it is neither.
    pub fn from_etag(etag: &str) -> Option<Self> {
        let word = etag.trim().trim_start_matches("W/").trim_matches('"');
        Self::sha256(word).or_else(|| Self::git_blob(word))
    }

    /// 64 hexadecimal digits.
    pub fn sha256(word: &str) -> Option<Self> {
        is_hex(word, 64).then(|| Self::Sha256(word.to_ascii_lowercase()))
    }

    /// 40 hexadecimal digits.
    pub fn git_blob(word: &str) -> Option<Self> {
        is_hex(word, 40).then(|| Self::GitBlob(word.to_ascii_lowercase()))
    }

    /// A hasher of the same kind, for a file of this many bytes.
    pub(super) fn hasher(&self, bytes: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => Hasher::GitBlob(Sha1::new_with_prefix(format!("blob {bytes}\0"))),
        }
    }
}

fn is_hex(word: &str, digits: usize) -> bool {
    word.len() == digits && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hex) => write!(f, "sha256:{hex}"),
            Self::GitBlob(hex) => write!(f, "git:{hex}"),
        }
    }
}

/// Hashes bytes as they come.
pub(super) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    /// Reads a file through; one that isn't there has no bytes.
    pub(super) fn update_from(&mut self, path: &Path) -> io::Result<()> {
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                got => self.update(&buffer[..got]),
            }
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hex(&hasher.finalize())),
            Self::GitBlob(hasher) => Digest::GitBlob(hex(&hasher.finalize())),
        }
    }
}

/// SHA-256 of a file's bytes.
pub fn sha256_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::Sha256(Sha256::new());
    std::fs::metadata(path)?;
    hasher.update_from(path)?;
    Ok(hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(digest: &Digest, bytes: &[u8]) -> Digest {
        let mut hasher = digest.hasher(bytes.len() as u64);
        hasher.update(bytes);
        hasher.finish()
    }

    // Golden values: `printf 'hello\n' | sha256sum` and `printf 'hello\n' | git hash-object --stdin`.
    const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    #[test]
    fn a_file_is_known_by_the_names_that_the_hub_and_git_give_it() {
        for digest in [Digest::sha256(SHA256).unwrap(), Digest::git_blob(GIT).unwrap()] {
            assert_eq!(hash(&digest, b"hello\n"), digest);
            assert_ne!(hash(&digest, b"hello"), digest);
        }
    }

    #[test]
    fn an_etag_says_which_of_the_two_it_is() {
        assert_eq!(Digest::from_etag(&format!("\"{SHA256}\"")), Digest::sha256(SHA256));
        assert_eq!(Digest::from_etag(&format!("W/\"{GIT}\"")), Digest::git_blob(GIT));
        for other in ["", "\"abc\"", &GIT[1..], "zz013625030ba8dba906f756967f9e9ca394464a"] {
            assert_eq!(Digest::from_etag(other), None);
        }
    }
}
