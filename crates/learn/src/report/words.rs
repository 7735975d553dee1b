//! The words that keep gold and agreement apart, and how sentences and probabilities are written.

use sprat_task::Guarantee;

use super::format::UNKNOWN;

/// How the figures are called, by what they are judged against.
pub struct Terms {
    /// The share that is right.
    pub accuracy: &'static str,
    /// The same among the answers given small.
    pub selective_accuracy: &'static str,
    /// Answered small and bad, over all requests.
    pub joint_error: &'static str,
    /// What is said of a bad answer.
    pub wrong: &'static str,
    /// The label that an answer is judged against.
    pub right_label: &'static str,
    /// What an answer is judged against, in a sentence of the page.
    pub judged: &'static str,
}

impl Terms {
    /// The words for figures that are judged as this guarantee judges. A harm guarantee's figures are judged against
    /// gold; only its certificate looks at the large model too.
    pub fn of(guarantee: Guarantee) -> Self {
        match guarantee {
            Guarantee::Gold | Guarantee::Harm => Self {
                accuracy: "accuracy",
                selective_accuracy: "selective accuracy",
                joint_error: "joint error",
                wrong: "wrong",
                right_label: "right label",
                judged: "An answer is right here where it equals the label that people gave.",
            },
            Guarantee::Agreement => Self {
                accuracy: "agreement",
                selective_accuracy: "selective agreement",
                joint_error: "joint disagreement",
                wrong: "different from the large model’s",
                right_label: "large model’s label",
                judged: "All figures here count agreement with the large model’s answers. Whether these are right is \
                         another question, and no figure here answers it unless it says so.",
            },
        }
    }
}

/// A sentence as it stands alone: with a capital and a full stop.
pub fn closed(sentence: &str) -> String {
    let mut chars = sentence.trim().chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str();
    let stop =
        if rest.ends_with(['.', '!', '?', '…', ':', '”', '"']) || first.is_empty() { "" } else { "." };
    format!("{first}{rest}{stop}")
}

/// A probability with three significant digits.
pub fn significant(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let decimals =
        if number == 0.0 { 0 } else { (2 - number.abs().log10().floor() as i32).clamp(0, 12) as usize };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_stands_alone_has_a_capital_and_a_full_stop() {
        for (sentence, alone) in [
            ("nothing has been certified", "Nothing has been certified."),
            ("Why?", "Why?"),
            ("", ""),
            ("é", "É."),
        ] {
            assert_eq!(closed(sentence), alone);
        }
    }

    #[test]
    fn probabilities_keep_three_digits() {
        for (number, text) in
            [(0.030396, "0.0304"), (0.05, "0.05"), (0.0, "0"), (1.0, "1"), (f64::NAN, "unknown")]
        {
            assert_eq!(significant(number), text);
        }
    }
}
