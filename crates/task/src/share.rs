//! A share of the traffic.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::certificate::percent;

/// A share of the traffic: more than nothing, at most all of it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// The number is never NaN.
impl Eq for Share {}

/// A number or text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share above 0 and up to 1, such as 10% or 0.1")]
pub struct NotAShare;

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1.0);

    /// The share, in (0, 1].
    pub fn new(share: f64) -> Result<Self, NotAShare> {
        if share > 0.0 && share <= 1.0 { Ok(Self(share)) } else { Err(NotAShare) }
    }

    /// The number, in (0, 1].
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = NotAShare;

    fn try_from(share: f64) -> Result<Self, NotAShare> {
        Self::new(share)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

/// Reads `10%` and `0.1`.
impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| NotAShare);
        match text.trim().strip_suffix('%') {
            Some(percent) => Self::new(number(percent)? / 100.0),
            None => Self::new(number(text)?),
        }
    }
}

/// As a percentage, as far as two decimals tell it.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0.0001 { f.pad("<0.01%") } else { f.pad(&percent(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_people_write_it_and_nothing_else_is_one() {
        for (text, share) in [
            ("10%", Some(0.1)),
            ("0.1", Some(0.1)),
            (" 2.5 % ", Some(0.025)),
            ("100%", Some(1.0)),
            ("1", Some(1.0)),
            ("10", None),
            ("0", None),
            ("0%", None),
            ("-5%", None),
            ("101%", None),
            ("NaN", None),
            ("ten", None),
            ("", None),
            ("%", None),
        ] {
            assert_eq!(text.parse::<Share>().ok().map(Share::get), share, "{text:?}");
        }
    }

    #[test]
    fn a_share_is_shown_as_a_percentage_and_never_as_nothing() {
        for (share, shown) in [(0.1, "10%"), (0.025, "2.5%"), (1.0, "100%"), (0.000_01, "<0.01%")] {
            assert_eq!(Share::new(share).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn json_holds_the_number_and_a_wrong_one_is_refused() {
        assert_eq!(serde_json::to_string(&Share::new(0.25).unwrap()).unwrap(), "0.25");
        assert_eq!(serde_json::from_str::<Share>("0.25").unwrap().get(), 0.25);
        assert!(serde_json::from_str::<Share>("1.5").is_err());
    }
}
