//! Whose turn is it? Requests wait in line until there is room for all that they may need; those at work
//! share each batch evenly, so that a long one doesn't hold up the short ones. A batch has one adapter or none: these take turns.

mod room;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use room::Kept;

use super::constrain::{Constraints, Grammar};
use super::earlier;
use super::fill::{around, no_prompt_around_a_hole};
use super::generate::{Start, Writing};
use super::network::{Network, Piece, Sequence, Token};
use super::prompt::{Prepared, check_adapter};
use super::score::{Next, Scoring};
use crate::protocol::{Constraint, Generate, Order, Refusal, Report, Score};

/// Batches in a row with one adapter, where others wait: after a change llama.cpp lays out its memory anew, which took 1.7
/// milliseconds for 22 layers.
const BATCHES_IN_A_ROW: u32 = 4;

/// Everything that one network is asked.
pub struct Scheduler<N> {
    network: N,
    /// Made when the first answer needs it: reading the vocabulary takes a moment.
    constraints: Option<Constraints>,
    prompts: BTreeMap<u64, Kept>,
    earlier: earlier::Kept,
    waiting: VecDeque<Waiting>,
    most_waiting: usize,
    jobs: Vec<Job>,
    /// Who is first in the next batch.
    turn: usize,
    /// Which adapter the last batch had, and how many more it may have while others wait.
    adapter: (Option<u32>, u32),
    free: Vec<Sequence>,
    /// Counts up whenever a prompt is used: the least was used longest ago.
    clock: u64,
}

struct Waiting {
    order: Work,
    until: Instant,
}

enum Work {
    Score(Score),
    Generate(Generate),
}

impl Work {
    fn id(&self) -> u64 {
        match self {
            Self::Score(score) => score.id,
            Self::Generate(generate) => generate.id,
        }
    }
}

/// A request at work.
struct Job {
    id: u64,
    until: Instant,
    kind: Kind,
    pending: VecDeque<Piece>,
    /// Tokens that are kept free for it.
    room: usize,
    /// The prompt it goes on from.
    prompt: Option<u64>,
    adapter: Option<u32>,
    /// What its sequence remembers, where another text may go on from it.
    tokens: Option<Vec<Token>>,
    ended: bool,
}

enum Kind {
    Score(Scoring),
    Generate(Writing),
}

impl Job {
    fn sequences(&self) -> Vec<Sequence> {
        match &self.kind {
            Kind::Score(scoring) => scoring.sequences().to_vec(),
            Kind::Generate(writing) => vec![writing.sequence()],
        }
    }
}

/// Whether a request can begin.
enum Begun {
    Yes,
    NotYet,
    Refused(Refusal),
}

impl<N: Network> Scheduler<N> {
    /// Over one network; more than `most_waiting` requests in line are refused.
    pub fn new(network: N, most_waiting: usize) -> Self {
        let free = (0..network.sequences()).rev().collect();
        let (prompts, waiting, jobs) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        let (constraints, adapter, earlier) = (None, (None, 0), earlier::Kept::default());
        Self {
            network,
            constraints,
            prompts,
            earlier,
            waiting,
            most_waiting,
            jobs,
            turn: 0,
            adapter,
            free,
            clock: 0,
        }
    }

    /// What it works with.
    #[cfg(test)]
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Whether nothing is to be done.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.waiting.is_empty()
    }

    /// Takes an order that came at `now`.
    pub fn take(&mut self, order: Order, now: Instant, say: &mut dyn FnMut(Report)) {
        let (work, within_ms) = match order {
            Order::Load(_) => return,
            Order::Prompt(prompt) => {
                match Prepared::of(&prompt, &self.network)
                    .and_then(|prepared| self.fits(&prepared).map(|()| prepared))
                {
                    Ok(prepared) => self.keep(prompt.prompt, prepared),
                    Err(why) => say(Report::NoPrompt { prompt: prompt.prompt, why }),
                }
                return;
            }
            Order::Cancel(id) => return self.cancel(id, say),
            Order::Score(score) => {
                let within_ms = score.within_ms;
                (Work::Score(score), within_ms)
            }
            Order::Generate(generate) => {
                let within_ms = generate.within_ms;
                (Work::Generate(generate), within_ms)
            }
        };
        if self.waiting.len() >= self.most_waiting {
            return say(Report::Refused { id: work.id(), why: Refusal::Full });
        }
        // A deadline beyond what a clock can say is a day away.
        let day = Duration::from_secs(24 * 60 * 60);
        let until = now + Duration::from_millis(within_ms).min(day);
        self.waiting.push_back(Waiting { order: work, until });
    }

    /// One batch; `now` gives the time.
    ///
    /// # Errors
    /// The network failed in a way that leaves nothing to rely on: the engine has to begin anew.
    pub fn step(&mut self, now: impl Fn() -> Instant, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        self.drop_late(now(), say)?;
        self.admit(&now, say)?;
        let Some(adapter) = self.next_adapter() else { return Ok(()) };
        let (batch, owners) = self.next_batch(adapter);
        let mut rows: Vec<(usize, Heard)> = Vec::new();
        let (network, jobs) = (&mut self.network, &mut self.jobs);
        // The network is busy while it hands out rows, and a writing asks it what tokens mean: rows are kept for those.
        network.compute(&batch, adapter, &mut |place, logits| {
            let owner = owners[place];
            let heard = match &mut jobs[owner].kind {
                Kind::Score(scoring) => Heard::Next(scoring.hear(logits)),
                Kind::Generate(_) => Heard::Logits(logits.to_vec()),
            };
            rows.push((owner, heard));
        })?;
        for (owner, heard) in rows {
            self.go_on(owner, heard, say)?;
        }
        self.clear_ended()
    }

    fn cancel(&mut self, id: u64, say: &mut dyn FnMut(Report)) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.order.id() != id);
        let mut found = self.waiting.len() < before;
        for job in self.jobs.iter_mut().filter(|job| job.id == id && !job.ended) {
            job.ended = true;
            found = true;
        }
        if found {
            say(Report::Refused { id, why: Refusal::Cancelled });
        }
    }

    fn drop_late(&mut self, now: Instant, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        self.waiting.retain(|waiting| {
            let in_time = now < waiting.until;
            if !in_time {
                say(Report::Refused { id: waiting.order.id(), why: Refusal::Late });
            }
            in_time
        });
        for job in self.jobs.iter_mut().filter(|job| now >= job.until && !job.ended) {
            job.ended = true;
            say(Report::Refused { id: job.id, why: Refusal::Late });
        }
        self.clear_ended()
    }

    /// Lets those begin for whom there is room, in the order in which they came.
    fn admit(&mut self, now: &impl Fn() -> Instant, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        while let Some(Waiting { order, until }) = self.waiting.pop_front() {
            let begun = match &order {
                Work::Score(score) => self.begin_score(score, until, now, say)?,
                Work::Generate(generate) => self.begin_generate(generate, until, now, say)?,
            };
            match begun {
                Begun::Yes => {}
                Begun::Refused(why) => say(Report::Refused { id: order.id(), why }),
                Begun::NotYet => {
                    self.waiting.push_front(Waiting { order, until });
                    break;
                }
            }
        }
        Ok(())
    }

    fn begin_score(
        &mut self,
        score: &Score,
        until: Instant,
        now: &impl Fn() -> Instant,
        say: &mut dyn FnMut(Report),
    ) -> Result<Begun, String> {
        let Some(prompt) = self.prompts.get(&score.prompt).map(|kept| kept.prompt.clone()) else {
            return Ok(Begun::Refused(no_prompt(score.prompt)));
        };
        if prompt.labels.is_empty() {
            let why = format!("prompt {} has no labels that a text could be scored by", score.prompt);
            return Ok(Begun::Refused(Refusal::Bad(why)));
        }
        let text = self.network.tokens(&score.text, false, false);
        let own = text.len() + prompt.before_labels.len();
        if own == 0 {
            return Ok(Begun::Refused(Refusal::Bad("an empty text, and nothing follows it".to_owned())));
        }
        let room = own + prompt.most_beginnings();
        let whole = prompt.before.len() + own + prompt.longest_label();
        if prompt.before.len() + room > self.network.room() || whole > self.network.reach() {
            let room = self.network.room().min(self.network.reach()) as u64;
            return Ok(Begun::Refused(Refusal::TooLong { tokens: whole as u64, room }));
        }
        let needed = usize::from(prompt.most_sequences()) + 1;
        if !self.make_room(room, needed, Some(score.prompt))? {
            return Ok(Begun::NotYet);
        }
        let Some(from) = self.remember(score.prompt, now, say)? else { return Ok(Begun::NotYet) };
        let sequences: Vec<Sequence> = (0..needed).filter_map(|_| self.free.pop()).collect();
        self.network.fork(from, sequences[0], prompt.before.len() as u32)?;
        let adapter = prompt.adapter;
        let (scoring, pieces) = Scoring::begin(score.id, prompt, &text, sequences);
        let (kind, prompt, pending) = (Kind::Score(scoring), Some(score.prompt), pieces.into());
        let tokens = None;
        self.jobs.push(Job {
            id: score.id,
            until,
            kind,
            pending,
            room,
            prompt,
            adapter,
            tokens,
            ended: false,
        });
        Ok(Begun::Yes)
    }

    fn begin_generate(
        &mut self,
        order: &Generate,
        until: Instant,
        now: &impl Fn() -> Instant,
        say: &mut dyn FnMut(Report),
    ) -> Result<Begun, String> {
        let prompt = match order.prompt {
            Some(number) => match self.prompts.get(&number) {
                Some(kept) => Some((number, kept.prompt.clone())),
                None => return Ok(Begun::Refused(no_prompt(number))),
            },
            None => None,
        };
        let of_prompt = prompt.as_ref().map(|(_, prompt)| prompt.adapter);
        let adapter = match agreed(of_prompt, order.adapter) {
            Ok(adapter) => adapter,
            Err(why) => return Ok(Begun::Refused(why)),
        };
        if let Err(why) = check_adapter(adapter, &self.network) {
            return Ok(Begun::Refused(why));
        }
        let limit = self.network.room().min(self.network.reach());
        let text = match (&prompt, &order.behind) {
            (Some(_), Some(_)) => return Ok(Begun::Refused(no_prompt_around_a_hole())),
            (Some((_, prompt)), None) => {
                [self.network.tokens(&order.text, false, false), prompt.after.clone()].concat()
            }
            (None, Some(behind)) => {
                match around(&order.text, behind, order.most_tokens, limit, &self.network) {
                    Ok(text) => text,
                    Err(why) => return Ok(Begun::Refused(why)),
                }
            }
            (None, None) => self.network.tokens(&order.text, true, true),
        };
        if text.is_empty() {
            let why = "an empty text has nothing that could follow it";
            return Ok(Begun::Refused(Refusal::Bad(why.to_owned())));
        }
        let before = prompt.as_ref().map_or(0, |(_, prompt)| prompt.before.len());
        if before + text.len() >= limit {
            let (tokens, room) = ((before + text.len()) as u64, limit as u64 - 1);
            return Ok(Begun::Refused(Refusal::TooLong { tokens, room }));
        }
        let room = (text.len() + order.most_tokens as usize).min(limit - before);
        let grammar = match order.constraint.as_ref().map(|constraint| self.grammar(constraint)).transpose() {
            Ok(grammar) => grammar,
            Err(why) => return Ok(Begun::Refused(why)),
        };
        let earlier = match prompt {
            Some(_) => None,
            None => self.earlier.find(&text, adapter, self.network.slides()),
        };
        if !self.make_room(room, 1, order.prompt)? {
            return Ok(Begun::NotYet);
        }
        let from = match order.prompt {
            Some(number) => self.remember(number, now, say)?,
            None => None,
        };
        let Some(sequence) = self.free.pop() else { return Ok(Begun::NotYet) };
        if let Some(from) = from {
            self.network.fork(from, sequence, before as u32)?;
        }
        let known = match earlier {
            Some(found) => self.go_on_from(found, sequence)?,
            None => 0,
        };
        let start = Start { before: before as u32, text: &text, known, room, sequence };
        let (writing, pieces) = Writing::begin(order, &start, grammar);
        let (kind, prompt, pending) = (Kind::Generate(writing), order.prompt, pieces.into());
        let tokens = prompt.is_none().then_some(text);
        self.jobs.push(Job {
            id: order.id,
            until,
            kind,
            pending,
            room,
            prompt,
            adapter,
            tokens,
            ended: false,
        });
        Ok(Begun::Yes)
    }

    fn grammar(&mut self, constraint: &Constraint) -> Result<Grammar, Refusal> {
        let constraints = match &mut self.constraints {
            Some(constraints) => constraints,
            none => none.insert(Constraints::of(&self.network).map_err(Refusal::Failed)?),
        };
        constraints.begin(constraint)
    }

    /// The adapter of the next batch; `None` where nothing is to be computed. One after the other, and none is one of them.
    fn next_adapter(&mut self) -> Option<Option<u32>> {
        let at_work = self.jobs.iter().filter(|job| !job.pending.is_empty());
        let wanted: BTreeSet<Option<u32>> = at_work.map(|job| job.adapter).collect();
        let (last, left) = self.adapter;
        self.adapter = if left > 0 && wanted.contains(&last) {
            (last, left - 1)
        } else {
            let mut behind = wanted.range((Bound::Excluded(last), Bound::Unbounded));
            let next = behind.next().or(wanted.first())?;
            (*next, BATCHES_IN_A_ROW - 1)
        };
        Some(self.adapter.0)
    }

    /// Pieces of those at work with an adapter, evenly, with the place of each one's owner.
    fn next_batch(&mut self, adapter: Option<u32>) -> (Vec<Piece>, Vec<usize>) {
        let (mut batch, mut owners, mut rows) = (Vec::new(), Vec::new(), 0);
        let count = self.jobs.len();
        let in_turn = (0..count).map(|place| (self.turn + place) % count);
        let in_turn: Vec<usize> = in_turn.filter(|owner| self.jobs[*owner].adapter == adapter).collect();
        let most = self.network.batch();
        let share = (most / in_turn.len().max(1)).max(1);
        // Once round with an even share for each, and once more for what is left over.
        for most_each in [share, most] {
            for owner in &in_turn {
                let pending = &mut self.jobs[*owner].pending;
                for _ in 0..most_each {
                    let Some(piece) = pending.front() else { break };
                    let more = usize::from(piece.wanted);
                    if batch.len() >= most || rows + more > self.network.rows() {
                        break;
                    }
                    rows += more;
                    batch.extend(pending.pop_front());
                    owners.push(*owner);
                }
            }
        }
        self.turn = (self.turn + 1) % count.max(1);
        (batch, owners)
    }

    /// What a request does with what it heard.
    fn go_on(&mut self, owner: usize, heard: Heard, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        let job = &mut self.jobs[owner];
        if job.ended {
            return Ok(());
        }
        let failed = match (heard, &mut job.kind) {
            (Heard::Next(Ok(Next::Wait)), _) => None,
            (Heard::Next(Ok(Next::Labels { forked, pieces })), Kind::Score(scoring)) => {
                for sequence in forked {
                    self.network.forget(sequence)?;
                    self.network.fork(scoring.text_sequence(), sequence, scoring.text_end())?;
                }
                job.pending.extend(pieces);
                None
            }
            (Heard::Next(Ok(Next::Done(report))), _) => {
                job.ended = true;
                say(report);
                None
            }
            (Heard::Logits(logits), Kind::Generate(writing)) => match writing.hear(&logits, &self.network) {
                Ok((reports, piece)) => {
                    reports.into_iter().for_each(say);
                    if let (Some(tokens), Some(piece)) = (&mut job.tokens, &piece) {
                        tokens.push(piece.token);
                    }
                    job.ended = piece.is_none();
                    job.pending.extend(piece);
                    return Ok(());
                }
                Err(why) => Some(why),
            },
            (Heard::Next(Err(why)), _) => Some(why),
            _ => Some("a row that nobody asked for".to_owned()),
        };
        if let Some(why) = failed {
            job.ended = true;
            say(Report::Refused { id: job.id, why: Refusal::Failed(why) });
        }
        Ok(())
    }

    fn clear_ended(&mut self) -> Result<(), String> {
        let (ended, at_work) = std::mem::take(&mut self.jobs).into_iter().partition(|job| job.ended);
        self.jobs = at_work;
        let ended: Vec<Job> = ended;
        for job in ended {
            let sequences = job.sequences();
            // What was broken off has tokens that were not computed.
            if let (Some(tokens), [sequence], true) = (job.tokens, &sequences[..], job.pending.is_empty()) {
                self.put_away(tokens, *sequence, job.adapter)?;
            }
            sequences.into_iter().try_for_each(|sequence| self.release(sequence))?;
        }
        Ok(())
    }
}

fn no_prompt(number: u64) -> Refusal {
    Refusal::Bad(format!("there is no prompt {number}"))
}

/// The adapter of an answer: behind a prompt, the prompt's.
fn agreed(of_prompt: Option<Option<u32>>, own: Option<u32>) -> Result<Option<u32>, Refusal> {
    match (of_prompt, own) {
        (None, own) => Ok(own),
        (Some(prompts), None) => Ok(prompts),
        (Some(prompts), own) if prompts == own => Ok(own),
        (Some(prompts), _) => {
            let prompts = prompts.map_or("no adapter".to_owned(), |adapter| format!("adapter {adapter}"));
            Err(Refusal::Bad(format!("its prompt is read with {prompts}, and it asks for another")))
        }
    }
}

/// What came of a row.
enum Heard {
    Next(Result<Next, String>),
    Logits(Vec<f32>),
}
