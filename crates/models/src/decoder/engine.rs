//! Is an engine up, down or resting, and how often did it crash? It is started when it is first asked; one that ended is
//! started again, but not before it has rested, and longer each time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use sprat_engine::protocol::{Order, Prompt, Refusal, Report, Score, Scored};
use sprat_task::{Context, ModelError, OwnProcess};

use super::engines::Engines;
use super::process::{Ended, Heard, Process};

/// The first rest after a crash; it doubles with each that follows.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How an engine is started, and what it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EngineConfig {
    /// The program: this very binary, but in tests.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The GGUF file.
    pub file: PathBuf,
    /// Tokens that all requests together can look back on.
    pub context: u32,
    /// Threads it computes on; 0 means as many as the machine has.
    pub threads: u32,
    /// The adapters that it loads with it.
    pub adapters: Vec<PathBuf>,
    /// Requests that may wait in it.
    pub waiting: u32,
    /// How long it may say nothing while somebody waits.
    pub patience: Duration,
    /// How long it may take to load.
    pub loading: Duration,
}

/// Hears what an engine reports, with a way to find out what is wrong with a prompt.
pub(super) type Hears = dyn FnMut(Heard, &dyn Fn(u64) -> Option<Refusal>) + Send;

/// One model's engine.
pub struct Engine {
    config: EngineConfig,
    state: Mutex<State>,
    next: AtomicU64,
    own: Weak<Self>,
    /// Bytes it takes.
    needs: u64,
    /// Those it shares memory with.
    engines: Weak<Engines>,
}

#[derive(Default)]
struct State {
    process: Option<Arc<Process>>,
    crashes: u64,
    /// Crashes since it last answered.
    in_a_row: u32,
    last: Option<String>,
    rests_until: Option<Instant>,
    used: Option<Instant>,
}

/// How an engine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The process, where one runs.
    pub process: Option<u32>,
    /// Whether the model is loaded in it.
    pub is_loaded: bool,
    /// How often it ended without being told to.
    pub crashes: u64,
    /// How it ended the last time.
    pub last: Option<String>,
}

impl From<Standing> for OwnProcess {
    fn from(standing: Standing) -> Self {
        let Standing { process, crashes, last, .. } = standing;
        Self { is_running: process.is_some(), crashes, last }
    }
}

impl Engine {
    /// An engine that isn't started yet.
    pub(super) fn among(config: EngineConfig, needs: u64, engines: Weak<Engines>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            config,
            state: Mutex::default(),
            next: AtomicU64::new(1),
            own: own.clone(),
            needs,
            engines,
        })
    }

    /// Bytes it takes while it runs.
    pub fn needs(&self) -> u64 {
        self.needs
    }

    /// How it is started.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        Standing {
            process: state.process.as_ref().map(|process| process.id()),
            is_loaded: state.process.as_ref().is_some_and(|process| process.is_loaded()),
            crashes: state.crashes,
            last: state.last.clone(),
        }
    }

    /// When it was last asked, where it runs and nobody waits for it.
    pub fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.process.as_ref().filter(|process| !process.is_busy()).and(state.used)
    }

    /// Whether a process runs, and so takes memory.
    pub fn is_running(&self) -> bool {
        self.lock().process.is_some()
    }

    /// Ends its process, and frees its memory. The next request starts another.
    pub fn rest(&self) {
        if let Some(process) = self.lock().process.take() {
            process.close();
        }
    }

    /// How well each label of a prompt fits a text.
    ///
    /// # Errors
    /// Why there is no answer; the process may have ended over it.
    pub async fn score(&self, cx: &Context, prompt: &Prompt, text: &str) -> Result<Scored, ModelError> {
        let left = cx.left(Instant::now()).ok_or(ModelError::Timeout)?;
        let (send, answer) = oneshot::channel();
        // Nobody listens any more where it was cancelled a moment ago.
        let asked = self.ask(prompt, text, left, move |answer| drop(send.send(answer)))?;
        let heard = tokio::select! {
            heard = answer => heard.unwrap_or(Err(ModelError::Unavailable("its engine is gone".to_owned()))),
            () = tokio::time::sleep(left) => Err(ModelError::Timeout),
            () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
        };
        drop(asked);
        heard
    }

    /// Asks how well each label of a prompt fits a text. `hear` hears the answer, on another thread, unless what comes back
    /// was dropped before: then nobody wants it any more.
    ///
    /// # Errors
    /// There is no engine to ask.
    pub fn ask(
        &self,
        prompt: &Prompt,
        text: &str,
        within: Duration,
        hear: impl FnOnce(Result<Scored, ModelError>) + Send + 'static,
    ) -> Result<Asked, ModelError> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let number = prompt.prompt;
        let mut hear = Some(hear);
        self.order(
            Some(prompt),
            |id| Order::Score(Score { id, prompt: number, text: text.to_owned(), within_ms }),
            Box::new(move |heard, prompt_refused| {
                let answer = match heard {
                    Heard::Report(Report::Scored(scored)) => Ok(scored),
                    // What is wrong with the prompt says more than that there is none.
                    Heard::Report(Report::Refused { why, .. }) => {
                        Err(refused(prompt_refused(number).unwrap_or(why)))
                    }
                    Heard::Report(other) => {
                        Err(ModelError::Failed(format!("its engine answered something else: {other:?}")))
                    }
                    Heard::Gone(error) => Err(error),
                };
                if let Some(hear) = hear.take() {
                    hear(answer);
                }
            }),
        )
    }

    /// Gives the engine an order, and starts it where it isn't running. `hear` hears what it reports, and can find out what
    /// is wrong with a prompt.
    pub(super) fn order(
        &self,
        prompt: Option<&Prompt>,
        order: impl FnOnce(u64) -> Order,
        mut hear: Box<Hears>,
    ) -> Result<Asked, ModelError> {
        let process = self.process()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (own, told) = (self.own.clone(), Arc::downgrade(&process));
        let listener = move |heard| {
            if let Heard::Report(Report::Scored(_) | Report::Ended { .. }) = &heard
                && let Some(engine) = own.upgrade()
            {
                engine.lock().in_a_row = 0;
            }
            hear(heard, &|prompt| told.upgrade().and_then(|process| process.refused(prompt)));
        };
        process.ask(id, order(id), prompt, Box::new(listener));
        Ok(Asked { process, id })
    }

    /// The process that runs, or a new one.
    fn process(&self) -> Result<Arc<Process>, ModelError> {
        if let Some(process) = self.running()? {
            return Ok(process);
        }
        match self.engines.upgrade() {
            Some(engines) => engines.with_room(self, || self.start()),
            None => self.start(),
        }
    }

    /// The process that runs, where one does.
    ///
    /// # Errors
    /// The last one crashed, and it rests.
    fn running(&self) -> Result<Option<Arc<Process>>, ModelError> {
        let mut state = self.lock();
        let now = Instant::now();
        state.used = Some(now);
        if let Some(process) = &state.process {
            return Ok(Some(process.clone()));
        }
        match state.rests_until.and_then(|until| until.checked_duration_since(now)) {
            None => Ok(None),
            Some(left) => Err(ModelError::Resting {
                why: state.last.clone().unwrap_or_else(|| "its engine ended".to_owned()),
                retry_after_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }

    fn start(&self) -> Result<Arc<Process>, ModelError> {
        // Somebody else may have started it while this one waited for room.
        if let Some(process) = self.running()? {
            return Ok(process);
        }
        let mut state = self.lock();
        let own = self.own.clone();
        let started = Process::start(&self.config, move |ended| {
            if let Some(engine) = own.upgrade() {
                engine.note(ended);
            }
        });
        match started {
            Ok(process) => Ok(state.process.insert(process).clone()),
            Err(why) => {
                state.rest_after(why.clone());
                Err(ModelError::Unavailable(why))
            }
        }
    }

    /// A process has ended.
    fn note(&self, ended: Ended) {
        let mut state = self.lock();
        if ended.was_told_to {
            return;
        }
        state.process = None;
        state.rest_after(ended.why);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.rest();
    }
}

impl State {
    fn rest_after(&mut self, why: String) {
        self.crashes += 1;
        self.in_a_row += 1;
        self.last = Some(why);
        let doubled = FIRST_REST.saturating_mul(1 << (self.in_a_row - 1).min(10));
        self.rests_until = Some(Instant::now() + doubled.min(LONGEST_REST));
    }
}

/// A request that is cancelled when this is dropped before its answer came.
#[must_use]
pub struct Asked {
    process: Arc<Process>,
    id: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.process.cancel(self.id);
    }
}

/// An engine's refusal, as everyone knows it.
pub(super) fn refused(why: Refusal) -> ModelError {
    match why {
        Refusal::TooLong { .. } => ModelError::BadInput(why.to_string()),
        Refusal::Full => ModelError::Busy { retry_after_ms: None },
        Refusal::Late => ModelError::Timeout,
        Refusal::Cancelled => ModelError::Cancelled,
        Refusal::Bad(_) => ModelError::BadInput(why.to_string()),
        Refusal::Failed(_) => ModelError::Failed(why.to_string()),
    }
}
