//! Money in integer micro-units, and what tokens cost. Unknown is `None`, never 0.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// An amount in millionths of a currency unit. The currency is one for a workspace (see [`Currency`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money {
    micro: i64,
}

/// The currency that amounts are in. One workspace has one currency; price tables are in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// US dollars.
    #[default]
    #[serde(rename = "USD")]
    Usd,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self { micro: 0 };

    /// From millionths of a unit.
    pub const fn from_micro(micro: i64) -> Self {
        Self { micro }
    }

    /// From whole units, rounded to the nearest millionth; `None` if not finite or out of range.
    pub fn from_units(units: f64) -> Option<Self> {
        let micro = (units * 1e6).round();
        (micro.is_finite() && micro.abs() < 9e18).then_some(Self { micro: micro as i64 })
    }

    /// Millionths of a unit.
    pub const fn micro(self) -> i64 {
        self.micro
    }

    /// Whole units, for display and ratios only.
    pub fn units(self) -> f64 {
        self.micro as f64 / 1e6
    }

    /// `count` times this amount; saturates.
    pub fn times(self, count: u64) -> Self {
        Self { micro: self.micro.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)) }
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { micro: self.micro.saturating_add(other.micro) }
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { micro: self.micro.saturating_sub(other.micro) }
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Cents from one dollar up, otherwise enough digits to see the amount: `$12.34`, `$0.0021`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micro < 0 { "-" } else { "" };
        let amount = self.micro.unsigned_abs() as f64 / 1e6;
        let text = match self.micro.unsigned_abs() {
            0 => "$0".to_owned(),
            1_000_000.. => format!("{sign}${amount:.2}"),
            10_000.. => format!("{sign}${amount:.3}"),
            100.. => format!("{sign}${amount:.4}"),
            _ => format!("{sign}${amount:.6}"),
        };
        f.pad(&text)
    }
}

/// Tokens of one call, as the provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Input tokens in all, cached ones included.
    pub input: u64,
    /// Of the input, how many were read from the provider's prompt cache.
    #[serde(default)]
    pub cached_input: u64,
    /// Of the input, how many were written to the provider's prompt cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
}

impl Add for Tokens {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cached_input: self.cached_input + other.cached_input,
            cache_write: self.cache_write + other.cache_write,
            output: self.output + other.output,
        }
    }
}

/// What an attempt used. `None` means unknown (a call that broke off, a model without a price), never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens, where the model counts any.
    pub tokens: Option<Tokens>,
    /// What it cost, in micro-units.
    #[serde(rename = "cost_micro_usd")]
    pub cost: Option<Money>,
}

impl Usage {
    /// A local model's: no tokens are billed, and it costs nothing a call.
    pub const FREE: Self = Self { tokens: None, cost: Some(Money::ZERO) };
    /// Something was or may have been spent, and nobody knows how much.
    pub const UNKNOWN: Self = Self { tokens: None, cost: None };
}

/// A model's price, in micro-units per million tokens (so $0.15 per million is 150,000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Input tokens that were not cached.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache; the input price where the table has none.
    pub cached_input: Option<u64>,
    /// Input tokens written to the prompt cache; the input price where the table has none.
    pub cache_write: Option<u64>,
    /// Input tokens of a batch call.
    pub batch_input: Option<u64>,
    /// Output tokens of a batch call.
    pub batch_output: Option<u64>,
}

impl Price {
    /// Nobody is paid.
    pub const FREE: Self = Self {
        input: 0,
        output: 0,
        cached_input: None,
        cache_write: None,
        batch_input: None,
        batch_output: None,
    };

    /// What a call of so many tokens costs, exact to the micro-unit (half rounds up).
    pub fn cost(&self, tokens: Tokens) -> Money {
        let cached = tokens.cached_input.min(tokens.input);
        let written = tokens.cache_write.min(tokens.input - cached);
        let plain = tokens.input - cached - written;
        charge([
            (plain, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (written, self.cache_write.unwrap_or(self.input)),
            (tokens.output, self.output),
        ])
    }

    /// What so many tokens cost at most: none of them cached, or all of them written to the cache, whichever is dearer.
    pub fn at_most(&self, tokens: Tokens) -> Money {
        let input = self.input.max(self.cache_write.unwrap_or(0)).max(self.cached_input.unwrap_or(0));
        charge([(tokens.input, input), (tokens.output, self.output)])
    }

    /// What the same tokens cost through the provider's batch interface; the ordinary price where it has none.
    pub fn batch_cost(&self, tokens: Tokens) -> Money {
        charge([
            (tokens.input, self.batch_input.unwrap_or(self.input)),
            (tokens.output, self.batch_output.unwrap_or(self.output)),
        ])
    }
}

fn charge<const N: usize>(lines: [(u64, u64); N]) -> Money {
    let micro_millionths: u128 =
        lines.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
    let micro = (micro_millionths + 500_000) / 1_000_000;
    Money::from_micro(i64::try_from(micro).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price {
        input: 250_000,
        output: 2_000_000,
        cached_input: Some(25_000),
        cache_write: None,
        batch_input: Some(125_000),
        batch_output: Some(1_000_000),
    };

    #[test]
    fn a_call_costs_each_kind_of_token_at_its_own_price() {
        let tokens = Tokens { input: 1_000_000, cached_input: 400_000, cache_write: 0, output: 100_000 };
        // 600,000 at $0.25 + 400,000 at $0.025 + 100,000 at $2 per million
        assert_eq!(PRICE.cost(tokens), Money::from_micro(150_000 + 10_000 + 200_000));
        assert_eq!(PRICE.batch_cost(tokens), Money::from_micro(125_000 + 100_000));
    }

    #[test]
    fn more_cached_tokens_than_input_never_makes_a_cost_negative() {
        let tokens = Tokens { input: 10, cached_input: 50, cache_write: 50, output: 0 };
        assert_eq!(PRICE.cost(tokens), Money::ZERO);
    }

    #[test]
    fn amounts_read_as_a_person_would_write_them() {
        for (micro, text) in [
            (0, "$0"),
            (12_345_678, "$12.35"),
            (450_000, "$0.450"),
            (2_100, "$0.0021"),
            (17, "$0.000017"),
            (-2_000_000, "-$2.00"),
        ] {
            assert_eq!(Money::from_micro(micro).to_string(), text);
        }
    }
}
