//! What follows a text? A token is drawn, becomes the next piece, and so on until something ends it.

use super::network::{Network, Piece, Sequence, Token};
use super::sample::draw;
use super::speech::Speech;
use crate::protocol::{End, Generate, Report, Sampling};

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
    speech: Speech,
    written: Vec<f32>,
}

impl Writing {
    /// Begins after `text`, of which there is room for `room` tokens with the answer. The second is what to compute.
    pub fn begin(order: &Generate, text: &[Token], room: usize, sequence: Sequence) -> (Self, Vec<Piece>) {
        let read = text.len() as u32;
        let left = (room as u32).saturating_sub(read);
        let (most, at_most) = if order.most_tokens <= left {
            (order.most_tokens, End::MostTokens)
        } else {
            (left, End::Context)
        };
        let mut pieces: Vec<Piece> = (0..)
            .zip(text)
            .map(|(position, token)| Piece {
                token: *token,
                position,
                sequences: vec![sequence],
                wanted: false,
            })
            .collect();
        if let Some(last) = pieces.last_mut() {
            last.wanted = true;
        }
        let writing = Self {
            id: order.id,
            sequence,
            length: read,
            read,
            most,
            at_most,
            sampling: order.sampling,
            random: fastrand::Rng::with_seed(order.sampling.seed),
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
    /// The logits are no numbers.
    pub fn hear(
        &mut self,
        logits: &[f32],
        network: &impl Network,
    ) -> Result<(Vec<Report>, Option<Piece>), String> {
        let drawn = draw(logits, &self.sampling, &mut self.random);
        let (token, log_probability) = drawn.ok_or("the model's numbers are infinite or none")?;
        if self.most == 0 {
            return Ok((self.end(self.at_most, String::new()), None));
        }
        self.written.push(log_probability);
        if network.is_end(token) {
            let rest = self.speech.finish();
            return Ok((self.end(End::Model, rest), None));
        }
        let (shown, stopped) = self.speech.hear(&network.bytes(token));
        if stopped {
            return Ok((self.end(End::Stop, shown), None));
        }
        if self.written.len() as u32 >= self.most {
            let rest = self.speech.finish();
            return Ok((self.end(self.at_most, shown + &rest), None));
        }
        let piece = Piece { token, position: self.length, sequences: vec![self.sequence], wanted: true };
        self.length += 1;
        Ok((self.say(shown), Some(piece)))
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
