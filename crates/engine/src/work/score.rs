//! How well does each label fit a text? The text goes on from the prompt, and the labels from the text: their first tokens
//! are read off what may follow the text, the later ones off what may follow each beginning of a label.

use std::collections::VecDeque;
use std::sync::Arc;

use super::network::{Piece, Sequence, Token};
use super::prompt::Prepared;
use super::sample::log_sum;
use crate::protocol::{Report, Scored};

/// One text that is being scored.
pub struct Scoring {
    id: u64,
    prompt: Arc<Prepared>,
    /// Where the text ends.
    end: u32,
    read: u32,
    log_likelihoods: Vec<f32>,
    /// What is computed now: the text, or a group of labels.
    stage: Stage,
    /// Beginnings whose logits are still to come, in the order in which they were asked for.
    asked: VecDeque<usize>,
    sequences: Vec<Sequence>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Text,
    Group(usize),
}

/// What a scoring needs next.
pub enum Next {
    /// What was asked for is still to come.
    Wait,
    /// The labels' sequences are to forget, then to remember what the text's does; then these pieces are to be computed.
    Labels {
        /// The sequences.
        forked: Vec<Sequence>,
        /// The pieces.
        pieces: Vec<Piece>,
    },
    /// It is done.
    Done(Report),
}

impl Scoring {
    /// Begins. `sequences`: the text's own, then as many as [`Prepared::most_sequences`]. The second is what to compute.
    pub fn begin(
        id: u64,
        prompt: Arc<Prepared>,
        text: &[Token],
        sequences: Vec<Sequence>,
    ) -> (Self, Vec<Piece>) {
        let before = prompt.before.len() as u32;
        let own: Vec<Token> = text.iter().chain(&prompt.before_labels).copied().collect();
        let pieces = (before..).zip(&own).map(|(position, token)| Piece {
            token: *token,
            position,
            sequences: vec![sequences[0]],
            wanted: false,
        });
        let mut pieces: Vec<Piece> = pieces.collect();
        if let Some(last) = pieces.last_mut() {
            last.wanted = true;
        }
        let read = own.len() as u32;
        let log_likelihoods = vec![0.0; prompt.labels.len()];
        let asked = VecDeque::new();
        let scoring = Self {
            id,
            end: before + read,
            read,
            log_likelihoods,
            stage: Stage::Text,
            asked,
            sequences,
            prompt,
        };
        (scoring, pieces)
    }

    /// The sequence of the text.
    pub fn text_sequence(&self) -> Sequence {
        self.sequences[0]
    }

    /// Tokens up to where the text ends.
    pub fn text_end(&self) -> u32 {
        self.end
    }

    /// All its sequences.
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// Hears what may follow the next of the pieces that were wanted.
    ///
    /// # Errors
    /// The logits are no numbers.
    pub fn hear(&mut self, logits: &[f32]) -> Result<Next, String> {
        let log_sum = log_sum(logits).ok_or("the model's numbers are infinite or none")?;
        let prompt = self.prompt.clone();
        let mut add = |label: usize, place: usize| {
            let token = prompt.labels[label][place];
            let logit = usize::try_from(token).ok().and_then(|token| logits.get(token));
            self.log_likelihoods[label] += logit.map_or(f32::NEG_INFINITY, |logit| logit - log_sum);
        };
        match self.stage {
            Stage::Text => {
                (0..prompt.labels.len()).for_each(|label| add(label, 0));
                self.group(0)
            }
            Stage::Group(number) => {
                let group = &prompt.groups[number];
                let beginning = self.asked.pop_front().ok_or("a row that nobody asked for")?;
                let beginning = &group.beginnings[beginning];
                beginning.members.iter().for_each(|member| add(group.labels[*member], beginning.length));
                if self.asked.is_empty() { self.group(number + 1) } else { Ok(Next::Wait) }
            }
        }
    }

    fn group(&mut self, number: usize) -> Result<Next, String> {
        let Some(group) = self.prompt.groups.get(number) else { return self.done() };
        self.stage = Stage::Group(number);
        self.asked = (0..group.beginnings.len()).collect();
        let of =
            |members: &[usize]| members.iter().map(|member| self.sequences[1 + member]).collect::<Vec<_>>();
        let pieces = group.beginnings.iter().map(|beginning| Piece {
            token: beginning.token,
            position: self.end + beginning.length as u32 - 1,
            sequences: of(&beginning.members),
            wanted: true,
        });
        let forked = self.sequences[1..=group.labels.len()].to_vec();
        Ok(Next::Labels { forked, pieces: pieces.collect() })
    }

    fn done(&self) -> Result<Next, String> {
        if self.log_likelihoods.iter().any(|number| !number.is_finite()) {
            return Err("a label's likelihood is no number".to_owned());
        }
        let tokens = self.prompt.labels.iter().map(|label| label.len() as u32).collect();
        let log_likelihoods = self.log_likelihoods.clone();
        Ok(Next::Done(Report::Scored(Scored { id: self.id, log_likelihoods, tokens, read: self.read })))
    }
}
