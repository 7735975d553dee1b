//! What calls will cost, before any is made.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use sprat_task::{Money, Price, Tokens};

use super::prompt::Prompt;

/// An estimate, and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// How many calls.
    pub calls: u64,
    /// Input tokens in all, prompt included.
    pub input_tokens_estimate: u64,
    /// Output tokens in all.
    pub output_tokens_estimate: u64,
    /// What they cost, without any prompt cache; `None` where the price is unknown.
    pub cost_estimate: Option<Money>,
    /// What it rests on.
    pub basis: Basis,
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A rule of thumb: no call has been made yet.
    RuleOfThumb,
    /// So many replies of this model in this process.
    Replies(u64),
    /// The answers of a file, which hold their cost; so many inputs are not in it.
    File {
        /// Inputs without an answer.
        missing: u64,
    },
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RuleOfThumb => f.write_str("a rule of thumb, about 4 characters a token"),
            Self::Replies(1) => f.write_str("the tokens of 1 reply so far"),
            Self::Replies(count) => write!(f, "the tokens of {count} replies so far"),
            Self::File { missing: 0 } => f.write_str("the costs in the file of answers"),
            Self::File { missing } => {
                write!(f, "the costs in the file of answers, which has none for {missing} inputs")
            }
        }
    }
}

/// Learns from replies how many tokens a prompt has.
///
/// The rule: a token for every 4 ASCII characters and for every 1.5 others, times the mean ratio of real tokens to
/// that rule over all replies so far (1 before the first). Output: the mean of all replies, or the caller's guess.
#[derive(Debug, Default)]
pub(super) struct Estimator(Mutex<Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    replies: u64,
    rule: f64,
    input: f64,
    output: f64,
}

impl Estimator {
    /// A reply told its tokens.
    pub(super) fn learn(&self, prompt: &Prompt, tokens: Tokens) {
        let rule = by_rule(prompt);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replies += 1;
        seen.rule += rule;
        seen.input += tokens.input as f64;
        seen.output += tokens.output as f64;
    }

    /// An estimate for some prompts. `output_guess`: tokens of one answer, where none has been seen.
    pub(super) fn quote(
        &self,
        prompts: impl Iterator<Item = Prompt>,
        output_guess: u64,
        price: Option<&Price>,
    ) -> Quote {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ratio, output, basis) = match seen.replies {
            0 => (1.0, output_guess as f64, Basis::RuleOfThumb),
            count => (seen.input / seen.rule.max(1.0), seen.output / count as f64, Basis::Replies(count)),
        };
        let (calls, rule) =
            prompts.fold((0u64, 0.0), |(calls, rule), prompt| (calls + 1, rule + by_rule(&prompt)));
        let input_tokens_estimate = (rule * ratio).ceil() as u64;
        let output_tokens_estimate = (output * calls as f64).ceil() as u64;
        let tokens =
            Tokens { input: input_tokens_estimate, output: output_tokens_estimate, ..Tokens::default() };
        let cost_estimate = price.map(|price| price.cost(tokens));
        Quote { calls, input_tokens_estimate, output_tokens_estimate, cost_estimate, basis }
    }
}

fn by_rule(prompt: &Prompt) -> f64 {
    let schema = prompt.schema.to_string();
    [prompt.system.as_str(), prompt.user.as_str(), schema.as_str()].into_iter().map(tokens_by_rule).sum()
}

/// A token for every 4 ASCII characters and for every 1.5 others.
fn tokens_by_rule(text: &str) -> f64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    ascii as f64 / 4.0 + others as f64 / 1.5
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn prompt(characters: usize) -> Prompt {
        // The schema `null` counts as 4 characters, which is one token.
        Prompt { system: String::new(), user: "x".repeat(characters), schema: Value::Null }
    }

    const PRICE: Price = Price {
        input: 1_000_000,
        output: 10_000_000,
        cached_input: None,
        cache_write: None,
        batch_input: None,
        batch_output: None,
    };

    #[test]
    fn before_any_reply_the_rule_of_thumb_holds() {
        let quote = Estimator::default().quote([prompt(396), prompt(396)].into_iter(), 5, Some(&PRICE));
        assert_eq!((quote.calls, quote.input_tokens_estimate, quote.output_tokens_estimate), (2, 200, 10));
        assert_eq!(quote.cost_estimate, Some(Money::from_micro(200 + 100)));
        assert_eq!(quote.basis, Basis::RuleOfThumb);
    }

    #[test]
    fn replies_correct_the_rule_and_an_unknown_price_stays_unknown() {
        let estimator = Estimator::default();
        for (input, output) in [(150, 8), (250, 12)] {
            estimator.learn(&prompt(396), Tokens { input, output, ..Tokens::default() });
        }
        let quote = estimator.quote([prompt(396)].into_iter(), 99, None);
        assert_eq!((quote.input_tokens_estimate, quote.output_tokens_estimate), (200, 10));
        assert_eq!((quote.cost_estimate, quote.basis), (None, Basis::Replies(2)));
    }

    #[test]
    fn other_scripts_have_more_tokens_a_character() {
        assert!(tokens_by_rule("日本語日本語") > 2.0 * tokens_by_rule("nihong"));
    }
}
