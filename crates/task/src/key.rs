//! A virtual key: what may whoever shows it do, and what is kept of it?

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::calendar::{DAY_MS, start_of_day, start_of_month, start_of_next_month};
use crate::money::Money;
use crate::names::{ModelId, TaskName};

/// What every key begins with, so that people and scanners for lost secrets recognise one.
pub const KEY_PREFIX: &str = "sprat-";

/// What whoever shows a key may do. The default may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// How much may be spent.
    pub budget: Option<Budget>,
    /// How many requests a minute.
    pub requests_per_minute: Option<u32>,
    /// How many tokens of remote models a minute, in and out together.
    pub tokens_per_minute: Option<u32>,
    /// How many requests at once.
    pub concurrency: Option<u32>,
    /// The tasks that may be named. Where both lists are empty everything may.
    #[serde(default)]
    pub tasks: Vec<TaskName>,
    /// The models that may be named.
    #[serde(default)]
    pub models: Vec<ModelId>,
}

impl Allowance {
    /// Whether this task may be named.
    pub fn allows_task(&self, task: &TaskName) -> bool {
        self.allows_all() || self.tasks.contains(task)
    }

    /// Whether this model may be named.
    pub fn allows_model(&self, model: &ModelId) -> bool {
        self.allows_all() || self.models.contains(model)
    }

    fn allows_all(&self) -> bool {
        self.tasks.is_empty() && self.models.is_empty()
    }
}

/// How much may be spent, and in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How much.
    #[serde(rename = "micro_usd")]
    pub amount: Money,
    /// In what time.
    pub per: Period,
}

/// The time in which a budget may be spent, by the calendar and in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A day.
    Day,
    /// A month.
    Month,
    /// For ever: it isn't renewed.
    Total,
}

impl Period {
    /// The first millisecond, since 1970, of the period that `unix_ms` lies in.
    pub fn start(self, unix_ms: i64) -> i64 {
        match self {
            Self::Day => start_of_day(unix_ms),
            Self::Month => start_of_month(unix_ms),
            Self::Total => 0,
        }
    }

    /// The first millisecond of the next period; `None` where there is none.
    pub fn next(self, unix_ms: i64) -> Option<i64> {
        match self {
            Self::Day => Some(start_of_day(unix_ms).saturating_add(DAY_MS)),
            Self::Month => Some(start_of_next_month(unix_ms)),
            Self::Total => None,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per {
            Period::Day => write!(f, "{} a day", self.amount),
            Period::Month => write!(f, "{} a month", self.amount),
            Period::Total => write!(f, "{} in all", self.amount),
        }
    }
}

/// A workspace's own secret. Keys are kept as digests that nobody can check a guess against without it.
#[derive(Clone)]
pub struct KeySecret([u8; 32]);

/// What is kept of a key: its HMAC-SHA-256 (RFC 2104) with the workspace's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeySecret {
    /// A secret of these bytes, which must be drawn at random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// The secret as 64 hexadecimal digits, for the one file that holds it.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// What is kept of a key, and what a key that is shown is looked up by. That a lookup ends sooner or later tells
    /// nothing: without the secret nobody knows which digest they are guessing at.
    pub fn digest(&self, key: &str) -> KeyDigest {
        // HMAC pads a secret to the hash's block with zeros.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mac = Hmac::<Sha256>::new(&block.into()).chain_update(key.as_bytes());
        KeyDigest(mac.finalize().into_bytes().into())
    }
}

impl KeyDigest {
    /// Reads what [`to_hex`](Self::to_hex) wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// The digest as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        to_hex(&self.0)
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// A key from 32 random bytes, and the part of it that may be shown to recognise it by.
pub fn write_key(random: [u8; 32]) -> (String, String) {
    let key = format!("{KEY_PREFIX}{}", to_hex(&random));
    // Six of 64 digits: enough to tell keys apart, and no help in guessing the rest.
    let shown = key[..KEY_PREFIX.len() + 6].to_owned();
    (key, shown)
}

fn to_hex(bytes: &[u8; 32]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
        hex
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_hmac() {
        // RFC 4231, test case 2, its key padded with zeros to 32 bytes, which HMAC does anyhow.
        let mut secret = [0; 32];
        secret[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            KeySecret::new(secret).digest("what do ya want for nothing?").to_hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn hexadecimal_goes_there_and_back_and_nothing_else_is_taken_for_it() {
        let secret = KeySecret::new(std::array::from_fn(|at| at as u8 * 8));
        assert_eq!(KeySecret::from_hex(&secret.to_hex()).unwrap().to_hex(), secret.to_hex());
        for wrong in ["", "12", &"g".repeat(64), &"ä".repeat(32), &"0".repeat(65)] {
            assert!(KeySecret::from_hex(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{secret:?} {:?}", secret.digest("k")).contains("08"));
    }

    #[test]
    fn a_key_shows_six_of_its_64_digits() {
        let (key, shown) = write_key([0xab; 32]);
        assert_eq!((key.len(), shown.as_str()), (70, "sprat-ababab"));
        assert!(key.starts_with(&shown));
    }

    #[test]
    fn lists_leave_out_what_they_do_not_name() {
        let only = Allowance { tasks: vec!["tickets".into()], ..Allowance::default() };
        assert!(only.allows_task(&"tickets".into()) && !only.allows_task(&"mails".into()));
        assert!(!only.allows_model(&"large".into()), "a key for a task is no key for a model");
        let all = Allowance::default();
        assert!(all.allows_task(&"mails".into()) && all.allows_model(&"large".into()));
    }

    #[test]
    fn a_period_ends_where_the_next_begins() {
        let noon = 1_795_176_000_000; // 2026-11-20 12:00 UTC
        for period in [Period::Day, Period::Month] {
            let next = period.next(noon).unwrap();
            assert_eq!((period.start(next), period.start(next - 1)), (next, period.start(noon)));
        }
        assert_eq!((Period::Total.start(noon), Period::Total.next(noon)), (0, None));
    }
}
