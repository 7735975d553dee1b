//! What is the same for many texts? The tokens that stand before each, those that follow it, and the labels, if there are any,
//! as a tree, so that what several labels begin with is computed once.

use super::network::{Network, Sequence, Token};
use crate::protocol::{Prompt, Refusal};

/// Labels whose tails are computed together. More would need more sequences than there are.
pub const TOGETHER: usize = 32;

/// A prompt, in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What stands before every text.
    pub before: Vec<Token>,
    /// What follows every text that is gone on from.
    pub after: Vec<Token>,
    /// What follows every text that is scored: [`after`](Self::after) but for what its labels take of it.
    pub before_labels: Vec<Token>,
    /// Each label's tokens: at least one.
    pub labels: Vec<Vec<Token>>,
    /// The labels of more than one token, by their beginnings.
    pub groups: Vec<Group>,
    /// The adapter that reads it, and whatever goes on from it.
    pub adapter: Option<u32>,
}

/// Up to [`TOGETHER`] labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The labels, by their places.
    pub labels: Vec<usize>,
    /// Beginnings of them, shorter ones first. What follows each is asked for.
    pub beginnings: Vec<Beginning>,
}

/// What some labels begin with, and all of them go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Its last token.
    pub token: Token,
    /// Its tokens.
    pub length: usize,
    /// Places in [`Group::labels`].
    pub members: Vec<usize>,
}

impl Prepared {
    /// Reads a prompt into tokens.
    ///
    /// # Errors
    /// Why no text can be asked about with it.
    pub fn of(prompt: &Prompt, network: &impl Network) -> Result<Self, Refusal> {
        check_adapter(prompt.adapter, network)?;
        let before = network.tokens(&prompt.before, true, true);
        if before.is_empty() {
            return Err(Refusal::Bad("nothing stands before the text".to_owned()));
        }
        let after = network.tokens(&prompt.after, false, true);
        let whole: Vec<Vec<Token>> = prompt
            .labels
            .iter()
            .map(|label| network.tokens(&format!("{}{label}", prompt.after), false, true))
            .collect();
        // A label may run into what stands before it: "Label:" and " refund" need not be the tokens of "Label: refund".
        // What all labels leave of it stands before the label; the rest is the label's.
        let shared = whole.iter().map(|whole| shared(&after, whole).min(whole.len().saturating_sub(1)));
        let shared = shared.min().unwrap_or(after.len());
        let before_labels = after[..shared].to_vec();
        let labels: Vec<Vec<Token>> = whole.into_iter().map(|whole| whole[shared..].to_vec()).collect();
        if let Some(empty) = labels.iter().position(Vec::is_empty) {
            return Err(Refusal::Bad(format!("label `{}` has no tokens", prompt.labels[empty].trim())));
        }
        let long: Vec<usize> = (0..labels.len()).filter(|label| labels[*label].len() > 1).collect();
        let groups = long.chunks(TOGETHER).map(|group| Group::of(group, &labels)).collect();
        Ok(Self { before, after, before_labels, labels, groups, adapter: prompt.adapter })
    }

    /// Tokens that labels need to be remembered at a time, at most.
    pub fn most_beginnings(&self) -> usize {
        self.groups.iter().map(|group| group.beginnings.len()).max().unwrap_or(0)
    }

    /// Sequences that labels need at a time, at most.
    pub fn most_sequences(&self) -> Sequence {
        self.groups.iter().map(|group| group.labels.len() as Sequence).max().unwrap_or(0)
    }

    /// Tokens of the longest label.
    pub fn longest_label(&self) -> usize {
        self.labels.iter().map(Vec::len).max().unwrap_or(0)
    }
}

impl Group {
    fn of(group: &[usize], labels: &[Vec<Token>]) -> Self {
        let mut beginnings: Vec<Beginning> = Vec::new();
        let longest = group.iter().map(|label| labels[*label].len()).max().unwrap_or(0);
        for length in 1..longest {
            let from = beginnings.len();
            let going_on = (0..group.len()).filter(|member| labels[group[*member]].len() > length);
            for member in going_on {
                let begins = &labels[group[member]][..length];
                let same = beginnings[from..]
                    .iter_mut()
                    .find(|beginning| labels[group[beginning.members[0]]][..length] == *begins);
                match same {
                    Some(beginning) => beginning.members.push(member),
                    None => beginnings.push(Beginning {
                        token: begins[length - 1],
                        length,
                        members: vec![member],
                    }),
                }
            }
        }
        Self { labels: group.to_vec(), beginnings }
    }
}

/// Whether a network has an adapter.
///
/// # Errors
/// It has not.
pub fn check_adapter(adapter: Option<u32>, network: &impl Network) -> Result<(), Refusal> {
    let count = network.adapters();
    match adapter.filter(|adapter| *adapter >= count) {
        Some(adapter) => {
            Err(Refusal::Bad(format!("there is no adapter {adapter}: {count} were loaded, named from 0")))
        }
        None => Ok(()),
    }
}

/// How many tokens two lists begin with alike.
fn shared(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
