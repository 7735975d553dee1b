//! Is there room? What is remembered are prompts' beginnings, and what is kept free for those at work; prompts make way for
//! requests, the one used longest ago first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scheduler;
use crate::protocol::{Refusal, Report};
use crate::work::earlier::{self, Earlier, Found};
use crate::work::network::{Network, Piece, Sequence, Token};
use crate::work::prompt::Prepared;

/// A prompt, and where its beginning is remembered.
pub(super) struct Kept {
    pub prompt: Arc<Prepared>,
    pub sequence: Option<Sequence>,
    pub used: u64,
}

impl<N: Network> Scheduler<N> {
    /// A prompt that no text fits behind is of no use.
    pub(super) fn fits(&self, prompt: &Prepared) -> Result<(), Refusal> {
        let tokens = prompt.before.len() + prompt.after.len().max(prompt.before_labels.len()) + 1;
        let room = self.network.room().saturating_sub(prompt.most_beginnings());
        let reach = self.network.reach().saturating_sub(prompt.longest_label());
        let room = room.min(reach);
        if tokens > room {
            return Err(Refusal::TooLong { tokens: tokens as u64, room: room as u64 });
        }
        let needed = usize::from(prompt.most_sequences()) + 2;
        match needed > usize::from(self.network.sequences()) {
            true => Err(Refusal::Bad(format!(
                "labels need {needed} sequences, and there are {}",
                self.network.sequences()
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn keep(&mut self, number: u64, prompt: Prepared) {
        let same = self.prompts.get(&number).is_some_and(|kept| *kept.prompt == prompt);
        if same {
            return;
        }
        if let Some(Kept { sequence: Some(sequence), .. }) = self.prompts.get(&number) {
            // Requests at work have their own sequences, which remember it still.
            let sequence = *sequence;
            if self.network.forget(sequence).is_ok() {
                self.free.push(sequence);
            }
        }
        self.prompts.insert(number, Kept { prompt: Arc::new(prompt), sequence: None, used: self.clock });
    }

    /// Lets a new sequence begin as an earlier text did, and says how many tokens it remembers of it: none where all of the
    /// earlier text, which is put back before its end is forgotten, doesn't fit beside what is remembered.
    pub(super) fn go_on_from(&mut self, found: Found, sequence: Sequence) -> Result<usize, String> {
        let free = self.network.room().saturating_sub(self.used());
        let Some(earlier) = self.earlier.take_up(found).filter(|earlier| earlier.tokens.len() <= free) else {
            return Ok(0);
        };
        let is_back = self.network.put_back(&earlier.memory, sequence, found.shared as u32)?;
        Ok(if is_back { found.shared } else { 0 })
    }

    /// Puts away what an answer was written from. Of what is shorter than anything that is gone on from, nothing is kept.
    pub(super) fn put_away(
        &mut self,
        tokens: Vec<Token>,
        sequence: Sequence,
        adapter: Option<u32>,
    ) -> Result<(), String> {
        if tokens.len() < earlier::LEAST {
            return Ok(());
        }
        let memory = self.network.put_away(sequence)?;
        self.earlier.add(Earlier { tokens, memory, adapter }, self.network.room());
        Ok(())
    }

    pub(super) fn release(&mut self, sequence: Sequence) -> Result<(), String> {
        self.network.forget(sequence)?;
        self.free.push(sequence);
        Ok(())
    }

    /// Whether there is room for a request and for the prompt that it goes on from. Prompts that nobody is using make way, the
    /// one used longest ago first.
    pub(super) fn make_room(
        &mut self,
        room: usize,
        sequences: usize,
        prompt: Option<u64>,
    ) -> Result<bool, String> {
        loop {
            let own =
                prompt.and_then(|prompt| self.prompts.get(&prompt)).filter(|kept| kept.sequence.is_none());
            let tokens = room + own.map_or(0, |kept| kept.prompt.before.len());
            let sequences = sequences + usize::from(own.is_some());
            if self.used() + tokens <= self.network.room() && sequences <= self.free.len() {
                return Ok(true);
            }
            let in_use = |number: &u64| self.jobs.iter().any(|job| job.prompt == Some(*number));
            let idle = self.prompts.iter().filter(|(number, kept)| {
                kept.sequence.is_some() && prompt != Some(**number) && !in_use(number)
            });
            let Some((number, _)) = idle.min_by_key(|(_, kept)| kept.used) else { return Ok(false) };
            let number = *number;
            self.forget_prompt(number)?;
        }
    }

    pub(super) fn forget_prompt(&mut self, number: u64) -> Result<(), String> {
        if let Some(sequence) = self.prompts.get_mut(&number).and_then(|kept| kept.sequence.take()) {
            self.release(sequence)?;
        }
        Ok(())
    }

    /// Tokens that are remembered or kept free.
    pub(super) fn used(&self) -> usize {
        let kept = self.prompts.values().filter(|kept| kept.sequence.is_some());
        kept.map(|kept| kept.prompt.before.len()).sum::<usize>()
            + self.jobs.iter().map(|job| job.room).sum::<usize>()
    }

    /// Computes a prompt's beginning, unless it is remembered, and gives the sequence that remembers it.
    pub(super) fn remember(
        &mut self,
        number: u64,
        now: &impl Fn() -> Instant,
        say: &mut dyn FnMut(Report),
    ) -> Result<Option<Sequence>, String> {
        self.clock += 1;
        let Some(kept) = self.prompts.get_mut(&number) else { return Ok(None) };
        kept.used = self.clock;
        if kept.sequence.is_some() {
            return Ok(kept.sequence);
        }
        let Some(sequence) = self.free.pop() else { return Ok(None) };
        let pieces = (0..).zip(&kept.prompt.before).map(|(position, token)| Piece {
            token: *token,
            position,
            sequences: vec![sequence],
            wanted: false,
        });
        let pieces: Vec<Piece> = pieces.collect();
        let mut said = now();
        for batch in pieces.chunks(self.network.batch()) {
            self.network.compute(batch, kept.prompt.adapter, &mut |_, _| {})?;
            if now().duration_since(said) > Duration::from_millis(500) {
                say(Report::Alive);
                said = now();
            }
        }
        kept.sequence = Some(sequence);
        Ok(kept.sequence)
    }
}
