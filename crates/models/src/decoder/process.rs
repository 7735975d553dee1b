//! How does one process live and end? It is started with one end of a pair of sockets as its input; one thread writes to the
//! other end, one reads from it, one looks whether it is stuck, and whatever happens, everyone who waits hears of it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sprat_engine::protocol::{self, Load, Order, Prompt, Refusal, Report};
use sprat_task::ModelError;

use super::engine::EngineConfig;

/// How often it is looked whether the engine is stuck.
const LOOK_EACH: Duration = Duration::from_millis(250);
/// Lines of the engine's own words that are kept, for when it ends.
const LAST_WORDS: usize = 4;

/// What somebody who waits hears.
pub enum Heard {
    /// The engine says something; the last thing where it is an end.
    Report(Report),
    /// It won't.
    Gone(ModelError),
}

/// Somebody who waits. Called until it has heard the last.
type Listener = Box<dyn FnMut(Heard) + Send>;

/// One process, from its start to its end.
pub struct Process {
    orders: Sender<Order>,
    state: Mutex<State>,
    child: Mutex<Child>,
    /// Whether it is to end: then its end is no crash.
    closing: AtomicBool,
}

struct State {
    waiting: HashMap<u64, Listener>,
    /// Prompts that it has been told, and what is wrong with those that it refused.
    prompts: HashMap<u64, Option<Refusal>>,
    heard: Instant,
    is_loaded: bool,
    last_words: VecDeque<String>,
    /// How it ended, once it has.
    ended: Option<String>,
}

/// How a process ended.
pub struct Ended {
    /// In a sentence.
    pub why: String,
    /// Whether it was told to end.
    pub was_told_to: bool,
}

impl Process {
    /// Starts one. `over` hears how it ended, on a thread of its own.
    ///
    /// # Errors
    /// In a sentence, where it can't be started.
    pub fn start(
        config: &EngineConfig,
        over: impl FnOnce(Ended) + Send + 'static,
    ) -> Result<Arc<Self>, String> {
        let started = start_child(&config.program, &config.arguments)?;
        let (orders, to_write) = channel();
        let load = Load {
            hello: protocol::HELLO.to_owned(),
            file: config.file.clone(),
            context: config.context,
            threads: config.threads,
            waiting: config.waiting,
            adapters: config.adapters.clone(),
        };
        // Can't fail: the other end is in this function.
        let _ = orders.send(Order::Load(load));
        let state = State {
            waiting: HashMap::new(),
            prompts: HashMap::new(),
            heard: Instant::now(),
            is_loaded: false,
            last_words: VecDeque::new(),
            ended: None,
        };
        let Started { child, words, input, output } = started;
        let closing = AtomicBool::new(false);
        let process = Arc::new(Self { orders, state: Mutex::new(state), child: Mutex::new(child), closing });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| error.to_string())
        };
        let [writes, reads, listens, watches] = [(); 4].map(|()| process.clone());
        let (patience, loading) = (config.patience, config.loading);
        let listener = spawn("engine words", Box::new(move || listens.listen(words)))?;
        spawn("engine in", Box::new(move || writes.write(output, &to_write)))?;
        spawn("engine watch", Box::new(move || watches.watch(patience, loading)))?;
        spawn(
            "engine out",
            Box::new(move || {
                let why = reads.read(input);
                // Its last words come before it has ended.
                let _ = listener.join();
                reads.bury(why, over);
            }),
        )?;
        Ok(process)
    }

    /// Asks for something. `listener` hears of it until it has ended.
    pub fn ask(&self, id: u64, order: Order, prompt: Option<&Prompt>, mut listener: Listener) {
        let mut state = self.lock();
        if let Some(why) = &state.ended {
            let gone = ModelError::Unavailable(why.clone());
            drop(state);
            return listener(Heard::Gone(gone));
        }
        if state.waiting.is_empty() {
            // Until now there was nothing that it could have said.
            state.heard = Instant::now();
        }
        state.waiting.insert(id, listener);
        if let Some(prompt) = prompt.filter(|prompt| !state.prompts.contains_key(&prompt.prompt)) {
            state.prompts.insert(prompt.prompt, None);
            let _ = self.orders.send(Order::Prompt(prompt.clone()));
        }
        // Where the writer has gone, the reader is about to tell everyone.
        let _ = self.orders.send(order);
    }

    /// What is wrong with a prompt, where the engine refused it.
    pub fn refused(&self, prompt: u64) -> Option<Refusal> {
        self.lock().prompts.get(&prompt).cloned().flatten()
    }

    /// Nobody waits for it any more.
    pub fn cancel(&self, id: u64) {
        if self.lock().waiting.remove(&id).is_some() {
            let _ = self.orders.send(Order::Cancel(id));
        }
    }

    /// Whether somebody waits for an answer.
    pub fn is_busy(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Whether the model is there.
    pub fn is_loaded(&self) -> bool {
        self.lock().is_loaded
    }

    /// Its number, for whoever looks after it.
    pub fn id(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Ends it.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.kill();
    }

    fn kill(&self) {
        // One that has ended already is as it should be.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes orders as they come.
    fn write(&self, output: impl std::io::Write, orders: &Receiver<Order>) {
        let mut output = BufWriter::new(output);
        loop {
            match orders.recv_timeout(LOOK_EACH) {
                // The reader is about to tell everyone.
                Ok(order) if protocol::write(&mut output, &order).is_err() => return,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if self.lock().ended.is_some() => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Ends the engine where it is stuck. The writer can't look for that: one that reads nothing holds it up.
    fn watch(&self, patience: Duration, loading: Duration) {
        loop {
            std::thread::sleep(LOOK_EACH);
            let mut state = self.lock();
            if state.ended.is_some() {
                return;
            }
            let limit = if state.is_loaded { patience } else { loading };
            let is_stuck = (!state.is_loaded || !state.waiting.is_empty()) && state.heard.elapsed() > limit;
            if is_stuck {
                state.last_words.push_back(format!("it said nothing for {limit:?}"));
                drop(state);
                self.kill();
                return;
            }
        }
    }

    /// Reads reports until there are no more, and says why.
    fn read(&self, input: impl std::io::Read) -> Option<String> {
        let mut input = BufReader::new(input);
        loop {
            let report: Report = match protocol::read(&mut input) {
                Ok(report) => report,
                Err(protocol::FrameError::Garbage(error)) => return Some(format!("it said {error}")),
                Err(_) => return None,
            };
            let mut state = self.lock();
            state.heard = Instant::now();
            let (id, is_last) = match &report {
                Report::Loaded(_) => {
                    state.is_loaded = true;
                    continue;
                }
                Report::NotLoaded(why) => return Some(why.clone()),
                Report::NoPrompt { prompt, why } => {
                    state.prompts.insert(*prompt, Some(why.clone()));
                    continue;
                }
                Report::Alive => continue,
                Report::Text { id, .. } => (*id, false),
                Report::Scored(scored) => (scored.id, true),
                Report::Ended { id, .. } | Report::Refused { id, .. } => (*id, true),
            };
            // Nobody waits for what was cancelled.
            let Some(mut listener) = state.waiting.remove(&id) else { continue };
            drop(state);
            listener(Heard::Report(report));
            if !is_last {
                self.lock().waiting.insert(id, listener);
            }
        }
    }

    /// Keeps the last lines of what the engine itself has to say.
    fn listen(&self, words: impl std::io::Read) {
        for line in BufReader::new(words).lines().map_while(Result::ok) {
            let line: String = line.trim().chars().take(300).collect();
            if line.is_empty() {
                continue;
            }
            let mut state = self.lock();
            if state.last_words.len() >= LAST_WORDS {
                state.last_words.pop_front();
            }
            state.last_words.push_back(line);
        }
    }

    /// Waits for the process to be gone, and tells everyone: `over` first, so that whoever asks again finds it resting.
    fn bury(&self, said: Option<String>, over: impl FnOnce(Ended)) {
        self.kill();
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        let mut state = self.lock();
        let words = state.last_words.make_contiguous().join("; ");
        let why = match said {
            Some(said) => said,
            None => match status {
                Ok(status) => ended(status, &words),
                Err(error) => error.to_string(),
            },
        };
        state.ended = Some(why.clone());
        let waiting: Vec<Listener> = state.waiting.drain().map(|(_, listener)| listener).collect();
        drop(state);
        over(Ended { why: why.clone(), was_told_to: self.closing.load(Ordering::Relaxed) });
        for mut listener in waiting {
            listener(Heard::Gone(ModelError::Unavailable(why.clone())));
        }
    }
}

/// How a process ended, in words.
pub(super) fn ended(status: ExitStatus, words: &str) -> String {
    let how = match status.code() {
        Some(code) => format!("its engine ended with exit code {code}"),
        None => format!("its engine was ended ({status})"),
    };
    if words.is_empty() { how } else { format!("{how}: {words}") }
}

/// A process that was started, and the ways to it.
pub(super) struct Started<I, O, W> {
    pub child: Child,
    /// What it complains of.
    pub words: W,
    pub input: I,
    pub output: O,
}

#[cfg(unix)]
pub(super) fn start_child(
    program: &Path,
    arguments: &[OsString],
) -> Result<
    Started<std::os::unix::net::UnixStream, std::os::unix::net::UnixStream, std::process::ChildStderr>,
    String,
> {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::CommandExt;

    let cant =
        |error: std::io::Error| format!("its engine can't be started ({}): {error}", program.display());
    let (ours, theirs) = UnixStream::pair().map_err(cant)?;
    let mut child = Command::new(program)
        .args(arguments)
        // Ctrl-C is for us: what is under way may still be answered, and the engine ends when we do.
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cant)?;
    let words = child.stderr.take().ok_or("its engine has no way to complain")?;
    let output = ours.try_clone().map_err(cant)?;
    Ok(Started { child, words, input: ours, output })
}

/// Windows has no pairs of sockets: an anonymous pipe each way would do, and has not been tried.
#[cfg(not(unix))]
pub(super) fn start_child(
    _: &Path,
    _: &[OsString],
) -> Result<Started<std::io::Empty, std::io::Sink, std::io::Empty>, String> {
    Err("decoders run on Linux and macOS only, so far".to_owned())
}
