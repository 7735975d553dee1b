//! The large model with a memory and a purse: nothing is paid for twice, and no more is spent than was allowed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use sprat_store::{Store, TeacherAnswer, TeacherKey};
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Model, ModelError, ModelId, Money, Prediction, Provenance,
    Score, Sha256Hex, Task, Usage,
};

/// Inputs of one call that are asked about at the same time. Each answer is on the disk before it is passed on: a kill
/// costs at most what is under way.
const AT_ONCE: usize = 16;

/// A large model whose answers are kept, by model, prompt and input.
pub struct Remembered {
    inner: Arc<dyn Model>,
    store: Store,
    prompt: Sha256Hex,
    provenance: Provenance,
    now_unix_ms: i64,
    purse: Purse,
    tally: Tally,
    /// Inputs that are being asked about: whoever asks for one of them too waits for its turn.
    asking: Mutex<HashMap<Sha256Hex, Turn>>,
}

/// Held by whoever is asking about an input.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// One caller's interest in an input; the last to lose it clears the table.
struct Asking<'a> {
    model: &'a Remembered,
    hash: &'a Sha256Hex,
    turn: Turn,
}

impl<'a> Asking<'a> {
    fn about(model: &'a Remembered, hash: &'a Sha256Hex) -> Self {
        let turn = model.table().entry(hash.clone()).or_default().clone();
        Self { model, hash, turn }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut table = self.model.table();
        // The table's own and this one: nobody else waits.
        if Arc::strong_count(&self.turn) == 2 {
            table.remove(self.hash);
        }
    }
}

/// What may be spent.
struct Purse {
    /// Micro-units; negative for "as much as it takes".
    cap: i64,
    spent: AtomicI64,
    /// Taken for a call whose cost is unknown, so that the cap holds whatever the provider says.
    each: i64,
    closed: AtomicBool,
}

/// What was asked and what was remembered.
#[derive(Debug, Default)]
struct Tally {
    asked: AtomicU64,
    remembered: AtomicU64,
}

impl Remembered {
    /// A memory for `inner`, whose answers depend on `prompt`. `each` is what one call is expected to cost at most.
    pub fn new(
        inner: Arc<dyn Model>,
        store: Store,
        prompt: Sha256Hex,
        provenance: Provenance,
        now_unix_ms: i64,
        each: Option<Money>,
    ) -> Self {
        let purse = Purse {
            cap: -1,
            spent: AtomicI64::new(0),
            each: each.map_or(0, Money::micro),
            closed: AtomicBool::new(false),
        };
        Self {
            inner,
            store,
            prompt,
            provenance,
            now_unix_ms,
            purse,
            tally: Tally::default(),
            asking: Mutex::default(),
        }
    }

    /// The same, with a hard cap: a call that might go over it is not made.
    pub fn capped(mut self, cap: Money) -> Self {
        self.purse.cap = cap.micro().max(0);
        self
    }

    /// What was spent by this process, unknown costs taken at their expected amount.
    pub fn spent(&self) -> Money {
        Money::from_micro(self.purse.spent.load(Ordering::Relaxed))
    }

    /// Whether the cap stopped it.
    pub fn hit_the_cap(&self) -> bool {
        self.purse.closed.load(Ordering::Relaxed)
    }

    /// How many inputs were asked about, and how many were remembered.
    pub fn counts(&self) -> (u64, u64) {
        (self.tally.asked.load(Ordering::Relaxed), self.tally.remembered.load(Ordering::Relaxed))
    }

    /// Which of these inputs would have to be paid for.
    pub fn unknown(&self, inputs: &[Input]) -> Vec<Input> {
        let hashes: Vec<Sha256Hex> = inputs.iter().map(Input::hash).collect();
        let known =
            self.store.teacher().get_many(&self.key(), &hashes).unwrap_or_else(|_| vec![None; inputs.len()]);
        let unknown = inputs.iter().zip(known).filter(|(_, known)| known.is_none());
        unknown.map(|(input, _)| input.clone()).collect()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Sha256Hex, Turn>> {
        // A table of interests is whole after every statement, so a panic elsewhere hasn't broken it.
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> TeacherKey {
        TeacherKey { model: self.inner.id().clone(), prompt: self.prompt.clone() }
    }

    async fn answer(&self, cx: &Context, task: &Task, inputs: &[Input]) -> Vec<Attempt> {
        let hashes: Vec<Sha256Hex> = inputs.iter().map(Input::hash).collect();
        let mut attempts = self.look_up(task, &hashes);
        let missing: Vec<usize> = (0..inputs.len()).filter(|row| attempts[*row].is_none()).collect();
        let mut bought = stream::iter(missing)
            .map(|row| self.buy_one(cx, task, &inputs[row], &hashes[row]).map(move |attempt| (row, attempt)))
            .buffer_unordered(AT_ONCE);
        while let Some((row, attempt)) = bought.next().await {
            attempts[row] = Some(attempt);
        }
        drop(bought);
        attempts.into_iter().map(|attempt| attempt.unwrap_or_else(|| Attempt::failed(nothing()))).collect()
    }

    /// What is remembered of these inputs.
    fn look_up(&self, task: &Task, hashes: &[Sha256Hex]) -> Vec<Option<Attempt>> {
        // A store that can't be read costs money, not the answer.
        let known = self.store.teacher().get_many(&self.key(), hashes).unwrap_or_default();
        let admitted = known.into_iter().map(|known| {
            known
                .filter(|known| known.answer.as_ref().is_some_and(|answer| task.admits(answer)))
                .map(remembered)
        });
        let mut attempts: Vec<Option<Attempt>> = admitted.collect();
        attempts.resize_with(hashes.len(), || None);
        self.tally.remembered.fetch_add(attempts.iter().flatten().count() as u64, Ordering::Relaxed);
        attempts
    }

    /// Asks about one input, unless somebody else is asking about the very same one: then waits for what that brings.
    async fn buy_one(&self, cx: &Context, task: &Task, input: &Input, hash: &Sha256Hex) -> Attempt {
        let asking = Asking::about(self, hash);
        let _turn = asking.turn.lock().await;
        if let Some(known) = self.look_up(task, std::slice::from_ref(hash)).pop().flatten() {
            return known;
        }
        if !self.reserve() {
            return Attempt::failed(ModelError::Refused("the cap on spending is reached".into()));
        }
        let mut attempts = self.inner.predict(cx, task, std::slice::from_ref(input)).await;
        let attempt = attempts.pop().unwrap_or_else(|| Attempt::failed(nothing()));
        self.settle(&attempt);
        self.tally.asked.fetch_add(1, Ordering::Relaxed);
        self.keep(hash, &attempt).await;
        attempt
    }

    /// Keeps an answer before it is passed on, so that it isn't paid for again after a kill. Beside the other calls
    /// where there is a runtime: several that come together are then one write to the disk.
    async fn keep(&self, hash: &Sha256Hex, attempt: &Attempt) {
        let Some(answer) = self.kept(attempt) else { return };
        let (store, key, answers) = (self.store.clone(), self.key(), vec![(hash.clone(), answer)]);
        // Failing to remember costs money another time; failing the answer would cost it now.
        let put = move || drop(store.teacher().put_many(&key, answers));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(put).await),
            Err(_) => put(),
        }
    }

    /// Takes a call's expected cost out of the purse before it is made; whether the purse allows it.
    fn reserve(&self) -> bool {
        let Purse { cap, spent, each, closed } = &self.purse;
        let taken = spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            (*cap < 0 || spent + each <= *cap).then_some(spent + each)
        });
        if taken.is_err() {
            closed.store(true, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Puts the real cost in place of the expected one.
    fn settle(&self, attempt: &Attempt) {
        let real = attempt.usage.cost.map_or(self.purse.each, Money::micro);
        self.purse.spent.fetch_add(real - self.purse.each, Ordering::Relaxed);
    }

    /// What is worth keeping: an answer; not a failure that may not happen again.
    fn kept(&self, attempt: &Attempt) -> Option<TeacherAnswer> {
        let answer = match &attempt.result {
            Ok(Some(prediction)) => Some(prediction.answer.clone()),
            Ok(None) | Err(ModelError::BadAnswer(_)) => None,
            Err(_) => return None,
        };
        Some(TeacherAnswer {
            answer,
            usage: attempt.usage,
            latency_us: u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX),
            provenance: self.provenance,
            time_unix_ms: self.now_unix_ms,
        })
    }
}

/// A remembered answer costs nothing a second time.
fn remembered(known: TeacherAnswer) -> Attempt {
    let prediction = known.answer.map(|answer: Answer| Prediction {
        answer,
        score: Score::default(),
        features: Features::default(),
        alternatives: Vec::new(),
    });
    Attempt { usage: Usage::FREE, latency: Duration::ZERO, result: Ok(prediction) }
}

fn nothing() -> ModelError {
    ModelError::Failed("the model gave no answer to this input".into())
}

impl Model for Remembered {
    fn id(&self) -> &ModelId {
        self.inner.id()
    }

    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        task: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(self.answer(cx, task, inputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Source, read_task};
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    /// Answers "a" for 10 micro-units, and counts.
    struct Large(ModelId, AtomicUsize);

    impl Model for Large {
        fn id(&self) -> &ModelId {
            &self.0
        }
        fn predict<'a>(
            &'a self,
            _: &'a Context,
            _: &'a Task,
            inputs: &'a [Input],
        ) -> BoxFuture<'a, Vec<Attempt>> {
            self.1.fetch_add(inputs.len(), Ordering::SeqCst);
            let one = |input: &Input| {
                let prediction = Prediction {
                    answer: Answer::label("a"),
                    score: Score::default(),
                    features: Features::default(),
                    alternatives: Vec::new(),
                };
                let result =
                    if input.text == "fails" { Err(ModelError::Timeout) } else { Ok(Some(prediction)) };
                Attempt {
                    usage: Usage { tokens: None, cost: Some(Money::from_micro(10)) },
                    latency: Duration::ZERO,
                    result,
                }
            };
            Box::pin(std::future::ready(inputs.iter().map(one).collect()))
        }
    }

    struct Case {
        large: Arc<Large>,
        store: Store,
        task: Task,
        _folder: tempfile::TempDir,
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).expect("a store");
        let text = "kind = \"classify\"\nlabels = [\"a\", \"b\"]";
        let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).expect("valid");
        Case { large: Arc::new(Large("large".into(), AtomicUsize::new(0))), store, task, _folder: folder }
    }

    impl Case {
        fn teacher(&self) -> Remembered {
            let (prompt, each) = (Sha256Hex::of(b"prompt"), Some(Money::from_micro(10)));
            Remembered::new(self.large.clone(), self.store.clone(), prompt, Provenance::Recorded, 0, each)
        }

        fn ask(&self, teacher: &Remembered, texts: &[&str]) -> Vec<Attempt> {
            let cx = Context::until(Instant::now() + Duration::from_secs(60), "r");
            let inputs: Vec<Input> = texts.iter().map(|text| Input::new(*text)).collect();
            futures::executor::block_on(teacher.predict(&cx, &self.task, &inputs))
        }

        fn calls(&self) -> usize {
            self.large.1.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn nothing_is_paid_for_twice_not_even_by_another_process() {
        let case = case();
        assert_eq!(case.ask(&case.teacher(), &["x", "y"]).len(), 2);
        let again = case.ask(&case.teacher(), &["y", "x", "z"]);
        assert_eq!(case.calls(), 3, "only `z` is new");
        let costs: Vec<_> = again.iter().map(|attempt| attempt.usage.cost.map(Money::micro)).collect();
        assert_eq!(costs, [Some(0), Some(0), Some(10)]);
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let case = case();
        case.ask(&case.teacher(), &["fails"]);
        assert!(case.ask(&case.teacher(), &["fails"])[0].result.is_err());
        assert_eq!(case.calls(), 2);
    }

    #[test]
    fn no_call_is_made_that_might_go_over_the_cap() {
        let case = case();
        let teacher = case.teacher().capped(Money::from_micro(25));
        let attempts = case.ask(&teacher, &["1", "2", "3", "4"]);
        assert_eq!(attempts.iter().filter(|attempt| attempt.prediction().is_some()).count(), 2);
        assert!(matches!(attempts[3].result, Err(ModelError::Refused(_))));
        assert_eq!((case.calls(), teacher.spent().micro(), teacher.hit_the_cap()), (2, 20, true));
    }
}
