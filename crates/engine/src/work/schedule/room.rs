//! Is there room? What is remembered are prompts' beginnings, earlier texts, and what is kept free for those at work; prompts
//! and texts make way for requests, the one used longest ago first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scheduler;
use crate::protocol::{Refusal, Report};
use crate::work::earlier::Earlier;
use crate::work::network::{Network, Piece, Sequence};
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

    /// Lets a new sequence begin as an earlier text did, which stays where there is room for both: its own end may be gone on
    /// from as well.
    pub(super) fn go_on_from(
        &mut self,
        earlier: Earlier,
        shared: usize,
        sequence: Sequence,
        room: usize,
    ) -> Result<usize, String> {
        self.network.fork(earlier.sequence, sequence, shared as u32)?;
        let has_room = self.used() + room + earlier.tokens.len() <= self.network.room();
        match has_room && shared < earlier.tokens.len() {
            true => self.keep_earlier(Some(earlier))?,
            false => self.release(earlier.sequence)?,
        }
        Ok(shared)
    }

    /// Keeps what an answer was written from.
    pub(super) fn keep_earlier(&mut self, earlier: Option<Earlier>) -> Result<(), String> {
        let forgotten = earlier.map(|earlier| self.earlier.add(earlier)).unwrap_or_default();
        forgotten.iter().try_for_each(|earlier| self.release(earlier.sequence))
    }

    pub(super) fn release(&mut self, sequence: Sequence) -> Result<(), String> {
        self.network.forget(sequence)?;
        self.free.push(sequence);
        Ok(())
    }

    /// Whether there is room for a request and for the prompt that it goes on from. Earlier texts make way, then prompts that
    /// nobody is using, the one used longest ago first.
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
            if let Some(earlier) = self.earlier.oldest() {
                self.release(earlier.sequence)?;
                continue;
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
            + self.earlier.tokens()
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
