//! How is something done once, in a process of its own? The engine's program is started for it, hears what to do, and ends
//! with it. It may abort: then that is what is told.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sprat_engine::protocol;
use sprat_engine::quantize::{Job, Told};

use super::process::{Started, ended, start_child};

/// How often somebody is asked whether to go on.
const STEP: Duration = Duration::from_millis(200);
/// Lines of its own words that are kept, for when it ends.
const LAST_WORDS: usize = 4;

/// Why something wasn't done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It can't be done; the sentence says why.
    #[error("{0}")]
    Why(String),
    /// Nobody wanted it any more.
    #[error("stopped")]
    Stopped,
}

/// Does a job by the engine's program. `told` hears what the process says, and is called without a word a few times a second
/// beside; where it breaks off, the process is ended.
///
/// # Errors
/// What the process says, or how it ended.
pub fn run_job(
    program: &(PathBuf, Vec<String>),
    job: &Job,
    mut told: impl FnMut(Option<&Told>) -> ControlFlow<()>,
) -> Result<(), Failed> {
    let (program, arguments) = program;
    let mut process: Once<Job, Told> =
        Once::start((program.clone(), [&arguments[..], &["--job".to_owned()]].concat()))?;
    process.say(job)?;
    loop {
        let heard = process.hear(Instant::now() + STEP)?;
        if told(heard.as_ref()).is_break() {
            return Err(Failed::Stopped);
        }
        match heard {
            Some(Told::Done) => return Ok(()),
            Some(Told::Failed(why)) => return Err(Failed::Why(why)),
            Some(Told::Read { .. }) | None => {}
        }
    }
}

/// A process that is there for one thing. It is ended when this is dropped.
pub(super) struct Once<Say, Hear> {
    child: Child,
    output: Box<dyn std::io::Write + Send>,
    heard: Receiver<Hear>,
    words: Arc<Mutex<Vec<String>>>,
    say: std::marker::PhantomData<fn(Say)>,
}

impl<Say: Serialize, Hear: DeserializeOwned + Send + 'static> Once<Say, Hear> {
    /// Starts it.
    pub fn start((program, arguments): (PathBuf, Vec<String>)) -> Result<Self, Failed> {
        let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        let Started { child, words, mut input, output } =
            start_child(&program, &arguments).map_err(Failed::Why)?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (send, heard) = channel();
        let listens = kept.clone();
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(words).lines().map_while(Result::ok) {
                let mut kept = listens.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= LAST_WORDS {
                    kept.remove(0);
                }
                kept.push(line.trim().chars().take(300).collect());
            }
        });
        std::thread::spawn(move || {
            while let Ok(message) = protocol::read(&mut input) {
                if send.send(message).is_err() {
                    return;
                }
            }
            // Its last words come before it has ended.
            let _ = listener.join();
        });
        let output = Box::new(output);
        Ok(Self { child, output, heard, words: kept, say: std::marker::PhantomData })
    }

    /// Says something to it.
    pub fn say(&mut self, message: &Say) -> Result<(), Failed> {
        match protocol::write(&mut self.output, message) {
            Ok(()) => Ok(()),
            // How it ended says more.
            Err(protocol::FrameError::Io(_)) => Err(self.over()),
            Err(error) => Err(Failed::Why(error.to_string())),
        }
    }

    /// What it says before `until`; `None` where it says nothing.
    pub fn hear(&mut self, until: Instant) -> Result<Option<Hear>, Failed> {
        match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(heard) => Ok(Some(heard)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.over()),
        }
    }

    /// How it ended.
    fn over(&mut self) -> Failed {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).join("; ");
        // One that only closed its end is of no use either.
        let _ = self.child.kill();
        Failed::Why(match self.child.wait() {
            Ok(status) => ended(status, &words),
            Err(error) => error.to_string(),
        })
    }
}

impl<Say, Hear> Drop for Once<Say, Hear> {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
