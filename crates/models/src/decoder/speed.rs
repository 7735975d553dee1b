//! How quickly does a model write, here? A short text is written twice, with one token and with some, so that what comes
//! before the first is not counted.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sprat_engine::protocol::{Generate, HELLO, Load, Order, Report, Sampling};

use super::once::{Failed, Once};

/// Tokens that are written at most.
const TOKENS: u32 = 48;
/// Fewer say nothing of the speed.
const FEWEST: usize = 8;
/// How often somebody is asked whether to go on.
const STEP: Duration = Duration::from_millis(200);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(600);
const TEXT: &str = "Once upon a time there was";

/// How quickly a model wrote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Tokens a second, after the first.
    pub tokens_per_second: f64,
    /// Tokens that were written.
    pub tokens: usize,
}

/// Measures a model by the engine's program. `go_on` is asked a few times a second.
///
/// # Errors
/// The model can't be loaded, or ended too early each time to say anything.
pub fn speed(
    program: &(PathBuf, Vec<String>),
    load: (PathBuf, u32, u32),
    mut go_on: impl FnMut() -> ControlFlow<()>,
) -> Result<Speed, Failed> {
    let mut engine: Once<Order, Report> = Once::start(program.clone())?;
    let (file, context, threads) = load;
    engine.say(&Order::Load(Load {
        hello: HELLO.to_owned(),
        file,
        context,
        threads,
        waiting: 4,
        adapters: Vec::new(),
    }))?;
    let mut id = 0;
    let mut write = |seed: u64, most_tokens: u32| {
        id += 1;
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, seed };
        write(&mut engine, (id, most_tokens, sampling), &mut go_on)
    };
    // The first one warms up: the weights are read from the disk.
    write(0, 1)?;
    let (first, _) = write(0, 1)?;
    let mut best: Option<Speed> = None;
    // A model may say early that it has ended; another seed draws another text.
    for seed in 1..=5 {
        let (took, tokens) = write(seed, TOKENS)?;
        let (Some(left), Some(more)) = (took.checked_sub(first), tokens.checked_sub(1)) else { continue };
        if tokens >= FEWEST && !left.is_zero() {
            let tokens_per_second = more as f64 / left.as_secs_f64();
            if best.is_none_or(|best| best.tokens_per_second < tokens_per_second) {
                best = Some(Speed { tokens_per_second, tokens });
            }
        }
    }
    best.ok_or_else(|| Failed::Why(format!("it never wrote {FEWEST} tokens before it ended")))
}

/// Writes some tokens; how long that took, and how many they were.
fn write(
    engine: &mut Once<Order, Report>,
    (id, most_tokens, sampling): (u64, u32, Sampling),
    go_on: &mut impl FnMut() -> ControlFlow<()>,
) -> Result<(Duration, usize), Failed> {
    let start = Instant::now();
    engine.say(&Order::Generate(Generate {
        id,
        prompt: None,
        text: TEXT.to_owned(),
        behind: None,
        most_tokens,
        stop: Vec::new(),
        sampling,
        constraint: None,
        likeliest: 0,
        adapter: None,
        within_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
    }))?;
    loop {
        if go_on().is_break() {
            return Err(Failed::Stopped);
        }
        match engine.hear(Instant::now() + STEP)? {
            Some(Report::Ended { written, .. }) => return Ok((start.elapsed(), written.len())),
            Some(Report::NotLoaded(why)) => return Err(Failed::Why(why)),
            Some(Report::Refused { why, .. }) => return Err(Failed::Why(why.to_string())),
            _ if start.elapsed() > PATIENCE => {
                return Err(Failed::Why(format!("it wrote nothing for {PATIENCE:?}")));
            }
            _ => {}
        }
    }
}
