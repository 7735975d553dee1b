//! What follows a text? A token is drawn, becomes the next piece, and so on until something ends it.

use super::constrain::Grammar;
use super::network::{Network, Piece, Sequence, Token};
use super::sample::{Outlook, draw};
use super::speech::Speech;
use crate::protocol::{End, Generate, MOST_LIKELIEST, Report, Sampling, Written};

const NO_NUMBERS: &str = "the model's numbers are infinite or none";

/// One answer that is being written.
pub struct Writing {
    id: u64,
    sequence: Sequence,
    /// Tokens remembered.
    length: u32,
    /// Tokens read.
    read: u32,
    /// Most tokens that the answer may have.
    most: u32,
    /// What it means to reach them.
    at_most: End,
    sampling: Sampling,
    random: fastrand::Rng,
    /// Likeliest tokens that are told at each place.
    likeliest: usize,
    grammar: Option<Grammar>,
    speech: Speech,
    written: Vec<Written>,
}

/// Where an answer begins.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Tokens of the prompt that it goes on from.
    pub before: u32,
    /// What follows them.
    pub text: &'a [Token],
    /// How many tokens of the text are remembered already: fewer than all.
    pub known: usize,
    /// Tokens that there is room for, of the text and the answer.
    pub room: usize,
    /// The sequence.
    pub sequence: Sequence,
}

impl Writing {
    /// Begins; the second is what to compute.
    pub fn begin(order: &Generate, start: &Start<'_>, grammar: Option<Grammar>) -> (Self, Vec<Piece>) {
        let Start { before, text, known, room, sequence } = *start;
        let read = text.len() as u32;
        let left = (room as u32).saturating_sub(read);
        let (most, at_most) = if order.most_tokens <= left {
            (order.most_tokens, End::MostTokens)
        } else {
            (left, End::Context)
        };
        let pieces = (before..).zip(text).skip(known).map(|(position, token)| Piece {
            token: *token,
            position,
            sequences: vec![sequence],
            wanted: false,
        });
        let mut pieces: Vec<Piece> = pieces.collect();
        if let Some(last) = pieces.last_mut() {
            last.wanted = true;
        }
        let writing = Self {
            id: order.id,
            sequence,
            length: before + read,
            read,
            most,
            at_most,
            sampling: order.sampling,
            random: fastrand::Rng::with_seed(order.sampling.seed),
            likeliest: usize::from(order.likeliest.min(MOST_LIKELIEST)),
            grammar,
            speech: Speech::new(&order.stop),
            written: Vec::new(),
        };
        (writing, pieces)
    }

    /// Its sequence.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Draws the next token: what to say, and what to compute; nothing where it has ended.
    ///
    /// # Errors
    /// The logits are no numbers, or the constraint can't be followed.
    pub fn hear(
        &mut self,
        logits: &[f32],
        network: &impl Network,
    ) -> Result<(Vec<Report>, Option<Piece>), String> {
        let outlook = Outlook::of(logits).ok_or(NO_NUMBERS)?;
        if self.most == 0 {
            return Ok((self.end(self.at_most, String::new()), None));
        }
        let (token, is_whole) = self.draw(logits)?;
        let is_end = network.is_end(token);
        let bytes = if is_end { Vec::new() } else { network.bytes(token) };
        self.written.push(self.told(token, &bytes, outlook, network));
        if is_end {
            let rest = self.speech.finish();
            return Ok((self.end(End::Model, rest), None));
        }
        let (shown, stopped) = self.speech.hear(&bytes);
        if stopped {
            return Ok((self.end(End::Stop, shown), None));
        }
        if is_whole {
            let rest = self.speech.finish();
            return Ok((self.end(End::Model, shown + &rest), None));
        }
        if self.written.len() as u32 >= self.most {
            let rest = self.speech.finish();
            return Ok((self.end(self.at_most, shown + &rest), None));
        }
        let piece = Piece { token, position: self.length, sequences: vec![self.sequence], wanted: true };
        self.length += 1;
        Ok((self.say(shown), Some(piece)))
    }

    /// A token that the constraint allows; the second is whether the answer is whole with it, and nothing can follow.
    fn draw(&mut self, logits: &[f32]) -> Result<(Token, bool), String> {
        let Some(grammar) = &mut self.grammar else {
            return Ok((draw(logits, &self.sampling, &mut self.random).ok_or(NO_NUMBERS)?, false));
        };
        let mut allowed = logits.to_vec();
        grammar.rule_out(&mut allowed)?;
        let token = draw(&allowed, &self.sampling, &mut self.random).ok_or(NO_NUMBERS)?;
        Ok((token, grammar.take(token)?))
    }

    /// What is told of a token that was taken.
    fn told(&self, token: Token, bytes: &[u8], outlook: Outlook<'_>, network: &impl Network) -> Written {
        let likeliest = outlook.likeliest(self.likeliest).into_iter();
        Written {
            bytes: bytes.len() as u32,
            log_probability: outlook.log_probability(token),
            margin: outlook.margin(),
            text: if self.likeliest > 0 { bytes.to_vec() } else { Vec::new() },
            likeliest: likeliest.map(|(token, number)| (network.bytes(token), number)).collect(),
        }
    }

    fn say(&self, text: String) -> Vec<Report> {
        if text.is_empty() { Vec::new() } else { vec![Report::Text { id: self.id, text }] }
    }

    fn end(&mut self, end: End, rest: String) -> Vec<Report> {
        let mut reports = self.say(rest);
        let written = std::mem::take(&mut self.written);
        reports.push(Report::Ended { id: self.id, end, read: self.read, written });
        reports
    }
}
