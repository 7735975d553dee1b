//! What did an earlier text begin with, too? A conversation is sent anew with each turn, and many have the same instructions: what
//! an answer was written from stays for a while, and a text that begins alike goes on from there.

use std::collections::VecDeque;

use super::network::{Sequence, Token};

/// Texts that are kept with their answers, at most. They make way for whatever else needs room.
const MOST: usize = 16;
/// Tokens that have to be the same: fewer are computed as soon as looked up.
const LEAST: usize = 32;

/// A text with its answer, and where it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its tokens, as far as they were computed.
    pub tokens: Vec<Token>,
    /// The sequence that remembers them.
    pub sequence: Sequence,
    /// The adapter that they were computed with.
    pub adapter: Option<u32>,
}

/// Those that are kept, the oldest first.
#[derive(Debug, Default)]
pub struct Kept(VecDeque<Earlier>);

impl Kept {
    /// Keeps one; what comes back is to be forgotten for it: those that it goes on from, and the oldest where there are too
    /// many.
    #[must_use]
    pub fn add(&mut self, earlier: Earlier) -> Vec<Earlier> {
        let (begun, others): (VecDeque<Earlier>, VecDeque<Earlier>) = self
            .0
            .drain(..)
            .partition(|kept| kept.adapter == earlier.adapter && earlier.tokens.starts_with(&kept.tokens));
        self.0 = others;
        self.0.push_back(earlier);
        let too_many = self.0.len().saturating_sub(MOST);
        begun.into_iter().chain(self.0.drain(..too_many)).collect()
    }

    /// Takes out the one that shares the longest beginning with a text, and says how many tokens that are: never all of the
    /// text, whose last token has to be computed for what may follow it. `whole`: only one that the text goes on from.
    pub fn take(&mut self, text: &[Token], adapter: Option<u32>, whole: bool) -> Option<(Earlier, usize)> {
        let most = text.len().saturating_sub(1);
        let shared = |earlier: &Earlier| {
            let shared = earlier.tokens.iter().zip(&text[..most]).take_while(|(a, b)| a == b).count();
            let is_usable = earlier.adapter == adapter && (!whole || shared == earlier.tokens.len());
            if is_usable { shared } else { 0 }
        };
        let each = self.0.iter().map(shared).enumerate();
        let (place, shared) =
            each.max_by_key(|(_, shared)| *shared).filter(|(_, shared)| *shared >= LEAST)?;
        self.0.remove(place).map(|earlier| (earlier, shared))
    }

    /// Takes out the oldest.
    pub fn oldest(&mut self) -> Option<Earlier> {
        self.0.pop_front()
    }

    /// Tokens that are remembered for them.
    pub fn tokens(&self) -> usize {
        self.0.iter().map(|earlier| earlier.tokens.len()).sum()
    }
}
