//! How is each of many rows asked about, while somebody waits for all of them? A few at a time, so that the engine's batches are
//! full; a crash costs the rows under way, and the others wait until it is back.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sprat_task::{ModelError, TrainError};

use super::engine::{Asked, Engine};

/// How long an answer may take: the model is loaded before the first, and a large one is slow.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Questions that the engine has at a time.
const AT_ONCE: usize = 32;
/// Crashes that a training lives through.
const MOST_CRASHES: u64 = 3;
/// How often it is asked whether to go on, while no answer comes.
const STEP: Duration = Duration::from_millis(200);

/// Hears an answer, on another thread.
pub type Hear<A> = Box<dyn FnOnce(A) + Send>;

/// What is asked about rows.
pub trait Asking {
    /// One question.
    type Question;
    /// What comes of one.
    type Answer: Send + 'static;

    /// Begins with a row.
    fn begin(&mut self, row: usize) -> After<Self::Question>;

    /// Asks.
    ///
    /// # Errors
    /// There is no engine to ask.
    fn ask(&self, question: &Self::Question, hear: Hear<Self::Answer>) -> Result<Asked, ModelError>;

    /// Hears the answer to one of a row's questions.
    fn hear(
        &mut self,
        row: usize,
        question: Self::Question,
        answer: Self::Answer,
        since: Instant,
    ) -> After<Self::Question>;
}

/// What comes next about a row.
pub enum After<Q> {
    /// These are to be asked; none where others are still to be answered.
    Ask(Vec<Q>),
    /// That was all of it, well or not.
    Ended(Result<(), ModelError>),
}

/// Asks about all these rows. `who` is whose engine it is; `progress` is told how many of how many have ended, and says whether
/// to go on.
///
/// # Errors
/// It was told to stop; nothing came of any row; or the engine keeps crashing.
pub fn survey<A: Asking>(
    engine: &Engine,
    who: &str,
    rows: Vec<usize>,
    asking: &mut A,
    progress: impl Fn(usize, usize) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let all = rows.len();
    let mut rows = rows.into_iter();
    let crashes_before = engine.standing().crashes;
    let (send, answers) = channel();
    let mut standing = Standing::new(who, all);
    let mut next = 0_u64;
    while standing.ended() < all {
        while standing.under_way.len() < AT_ONCE {
            let Some((row, question)) = standing.left.pop_front() else {
                let Some(row) = rows.next() else { break };
                standing.begun.insert(row, Instant::now());
                standing.settle(row, asking.begin(row))?;
                continue;
            };
            let (send, number) = (send.clone(), next);
            // Nobody listens any more where the training was given up.
            let hear = move |answer| drop(send.send((number, answer)));
            match asking.ask(&question, Box::new(hear)) {
                Ok(asked) => {
                    standing.under_way.insert(number, (row, question, asked));
                    next += 1;
                }
                // It crashed: what it was asked is lost, and the rest waits until it is back.
                Err(ModelError::Resting { why, .. }) => {
                    let crashes = engine.standing().crashes - crashes_before;
                    if crashes > MOST_CRASHES {
                        return Err(TrainError::Rows(format!(
                            "decoder `{who}` crashed {crashes} times: {why}"
                        )));
                    }
                    standing.left.push_front((row, question));
                    break;
                }
                Err(error) => return Err(TrainError::Rows(format!("decoder `{who}`: {error}"))),
            }
        }
        if let Ok((number, answer)) = answers.recv_timeout(STEP)
            && let Some((row, question, _)) = standing.under_way.remove(&number)
        {
            let since = standing.begun.get(&row).copied().unwrap_or_else(Instant::now);
            standing.settle(row, asking.hear(row, question, answer, since))?;
        }
        progress(standing.ended(), all)?;
    }
    Ok(())
}

/// How far a survey is.
struct Standing<'a, Q> {
    who: &'a str,
    all: usize,
    /// Questions that are to be asked, with their rows.
    left: VecDeque<(usize, Q)>,
    /// Those that the engine has, by number.
    under_way: HashMap<u64, (usize, Q, Asked)>,
    /// When each row that has not ended was begun.
    begun: HashMap<usize, Instant>,
    answered: usize,
    failed: usize,
}

impl<'a, Q> Standing<'a, Q> {
    fn new(who: &'a str, all: usize) -> Self {
        let (left, under_way, begun) = (VecDeque::new(), HashMap::new(), HashMap::new());
        Self { who, all, left, under_way, begun, answered: 0, failed: 0 }
    }

    /// Rows that have ended.
    fn ended(&self) -> usize {
        self.answered + self.failed
    }

    fn settle(&mut self, row: usize, after: After<Q>) -> Result<(), TrainError> {
        let result = match after {
            After::Ask(questions) => {
                self.left.extend(questions.into_iter().map(|question| (row, question)));
                return Ok(());
            }
            After::Ended(result) => result,
        };
        // Where one piece failed, the others are of no use.
        self.left.retain(|(other, _)| *other != row);
        self.under_way.retain(|_, (other, _, _)| *other != row);
        self.begun.remove(&row);
        match result {
            Ok(()) => self.answered += 1,
            Err(error) => {
                self.failed += 1;
                if self.answered == 0 && self.failed >= AT_ONCE.min(self.all) {
                    // Nothing came of any: the rows are not at fault.
                    let who = self.who;
                    return Err(TrainError::Rows(format!("decoder `{who}` answers nothing: {error}")));
                }
            }
        }
        Ok(())
    }
}
