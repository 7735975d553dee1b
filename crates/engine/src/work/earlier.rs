//! What did an earlier text begin with, too? A conversation is sent anew with each turn, and many have the same instructions: what
//! an answer was written from is put away for a while, and a text that begins alike goes on from there. It is put away beside the
//! network's memory, not in it: whatever is remembered there is looked through for every token that is computed.

use std::collections::VecDeque;

use super::network::Token;

/// Texts that are kept with their answers, at most.
const MOST: usize = 16;
/// Tokens that have to be the same: fewer are computed as soon as looked up.
pub const LEAST: usize = 32;

/// A text with its answer, put away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its tokens, as far as they were computed.
    pub tokens: Vec<Token>,
    /// What the network remembered of them.
    pub memory: Vec<u8>,
    /// The adapter that they were computed with.
    pub adapter: Option<u32>,
}

/// One that begins as a text does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    place: usize,
    /// Tokens that are the same.
    pub shared: usize,
}

/// Those that are kept, the one used longest ago first.
#[derive(Debug, Default)]
pub struct Kept(VecDeque<Earlier>);

impl Kept {
    /// Keeps one, in place of those that it goes on from; the ones used longest ago go where there are too many of them, or
    /// more than `room` tokens together.
    pub fn add(&mut self, earlier: Earlier, room: usize) {
        self.0.retain(|kept| kept.adapter != earlier.adapter || !earlier.tokens.starts_with(&kept.tokens));
        self.0.push_back(earlier);
        while self.0.len() > MOST || self.tokens() > room {
            self.0.pop_front();
        }
    }

    /// Finds the one that shares the longest beginning with a text, but for the text's last token, which has to be computed
    /// for what may follow it. `whole`: only one that the text goes on from.
    pub fn find(&self, text: &[Token], adapter: Option<u32>, whole: bool) -> Option<Found> {
        let most = text.len().saturating_sub(1);
        let shared = |earlier: &Earlier| {
            let shared = earlier.tokens.iter().zip(&text[..most]).take_while(|(a, b)| a == b).count();
            let is_usable = earlier.adapter == adapter && (!whole || shared == earlier.tokens.len());
            if is_usable { shared } else { 0 }
        };
        let each = self.0.iter().map(shared).enumerate();
        let found = each.map(|(place, shared)| Found { place, shared }).max_by_key(|found| found.shared);
        found.filter(|found| found.shared >= LEAST)
    }

    /// The one that was found; it is now the one used last.
    pub fn take_up(&mut self, found: Found) -> Option<&Earlier> {
        let earlier = self.0.remove(found.place)?;
        self.0.push_back(earlier);
        self.0.back()
    }

    /// Tokens of all of them.
    fn tokens(&self) -> usize {
        self.0.iter().map(|earlier| earlier.tokens.len()).sum()
    }
}
