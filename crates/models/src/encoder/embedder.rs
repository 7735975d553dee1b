//! How do many callers share one encoder? Texts of all of them wait in one queue; a thread of its own takes what is
//! there, a batch at a time, and computes it on a pool of its own.
//!
//! What nobody waits for any longer, because the deadline has passed or the client has left, is not computed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, try_join_all};
use rayon::{ThreadPool, ThreadPoolBuilder};
use sprat_task::{Computed, Context, Embed, Embedded, ModelError, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Encoder;
use super::encoder::{Encoded, to_unit_length};

/// How an encoder is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Threads that compute; 0 for one a core.
    pub threads: usize,
    /// Whether each of them stays on a core of its own.
    pub pinned: bool,
    /// How long the first text of a batch waits for others. A lone text is that much later; under load a batch is full,
    /// or has gathered while the one before was computed, long before that.
    pub max_wait: Duration,
    /// Texts that may wait; a caller with more hands them over as there is room.
    pub most_waiting: usize,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { threads: 0, pinned: true, max_wait: Duration::from_micros(200), most_waiting: 4096 }
    }
}

/// Most texts of a batch.
const BATCH: usize = 64;
/// A batch that has so many bytes is full: some thousand tokens, about half a second's work of a core, which is how long
/// the next caller may have to wait.
const BATCH_BYTES: usize = 16 * 1024;

/// An encoder that any number of callers share.
pub struct Embedder {
    dimensions: usize,
    room: Arc<Semaphore>,
    /// `None` once it is being dropped.
    queue: Option<Sender<Waiting>>,
    worker: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// What has been computed.
#[derive(Default)]
struct Counts {
    texts: AtomicU64,
    batches: AtomicU64,
}

/// A text in the queue, and where its vector goes.
struct Waiting {
    text: String,
    reply: oneshot::Sender<Result<Encoded, ModelError>>,
    /// Its place in the queue, free again when it is taken out.
    _place: OwnedSemaphorePermit,
}

/// What is computed of a batch: a result for each text.
type Compute = dyn Fn(&[&str]) -> Vec<Result<Encoded, ModelError>> + Send;

impl Embedder {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn start(encoder: Arc<Encoder>, sharing: &Sharing) -> Result<Self, Problem> {
        let pool = pool(sharing)?;
        let dimensions = encoder.dimensions();
        let compute = move |texts: &[&str]| {
            let mut all = pool.install(|| encoder.encode_each(texts));
            all.iter_mut().flatten().for_each(|encoded| to_unit_length(&mut encoded.vector));
            all
        };
        Self::over(Box::new(compute), dimensions, sharing)
    }

    fn over(compute: Box<Compute>, dimensions: usize, sharing: &Sharing) -> Result<Self, Problem> {
        let (queue, waiting) = channel();
        let counts = Arc::new(Counts::default());
        let (counted, max_wait) = (Arc::clone(&counts), sharing.max_wait);
        let work = move || {
            while let Some(batch) = gather(&waiting, max_wait) {
                answer(&*compute, &counted, batch);
            }
        };
        let worker = thread::Builder::new().name("embedder".into()).spawn(work).map_err(no_threads)?;
        Ok(Self {
            dimensions,
            room: Arc::new(Semaphore::new(sharing.most_waiting.clamp(1, Semaphore::MAX_PERMITS))),
            queue: Some(queue),
            worker: Some(worker),
            counts,
        })
    }

    async fn embed_one(&self, text: &str) -> Result<Encoded, ModelError> {
        let gone = || ModelError::Unavailable("the encoder has stopped".into());
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| gone())?;
        let (reply, encoded) = oneshot::channel();
        let waiting = Waiting { text: text.to_owned(), reply, _place: place };
        self.queue.as_ref().ok_or_else(gone)?.send(waiting).map_err(|_| gone())?;
        encoded.await.unwrap_or_else(|_| Err(ModelError::Failed("the encoder failed on this batch".into())))
    }
}

impl Embed for Embedder {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn computed(&self) -> Computed {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Computed { texts: read(&self.counts.texts), batches: read(&self.counts.batches) }
    }

    fn embed<'a>(
        &'a self,
        cx: &'a Context,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Embedded, ModelError>> {
        Box::pin(async move {
            if cx.left(Instant::now()).is_none() {
                return Err(ModelError::Timeout);
            }
            // Whichever ends first drops the others: texts that still wait are passed over when their turn comes.
            tokio::select! {
                biased;
                () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
                () = tokio::time::sleep_until(cx.deadline.into()) => Err(ModelError::Timeout),
                encoded = try_join_all(texts.iter().map(|text| self.embed_one(text))) => encoded.map(together),
            }
        })
    }
}

fn together(encoded: Vec<Encoded>) -> Embedded {
    let tokens = encoded.iter().map(|encoded| encoded.tokens as u64).sum();
    Embedded { vectors: encoded.into_iter().map(|encoded| encoded.vector).collect(), tokens }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// The next batch, as soon as it is full or its first text has waited long enough; `None` when nobody can ask any more.
fn gather(queue: &Receiver<Waiting>, max_wait: Duration) -> Option<Vec<Waiting>> {
    let first = queue.recv().ok()?;
    let until = Instant::now() + max_wait;
    let mut bytes = first.text.len();
    let mut batch = vec![first];
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => {
                bytes += next.text.len();
                batch.push(next);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

/// Computes what somebody still waits for. A batch that panics fails alone.
fn answer(compute: &Compute, counts: &Counts, mut batch: Vec<Waiting>) {
    batch.retain(|waiting| !waiting.reply.is_closed());
    if batch.is_empty() {
        return;
    }
    counts.batches.fetch_add(1, Ordering::Relaxed);
    counts.texts.fetch_add(batch.len() as u64, Ordering::Relaxed);
    let texts: Vec<&str> = batch.iter().map(|waiting| waiting.text.as_str()).collect();
    let Ok(all) = catch_unwind(AssertUnwindSafe(|| compute(&texts))) else { return };
    for (waiting, encoded) in batch.into_iter().zip(all) {
        // Whoever left in the meantime gets nothing.
        let _ = waiting.reply.send(encoded);
    }
}

fn pool(sharing: &Sharing) -> Result<ThreadPool, Problem> {
    let cores = if sharing.pinned { core_affinity::get_core_ids().unwrap_or_default() } else { Vec::new() };
    let pin = move |thread: usize| {
        if let Some(core) = cores.get(thread % cores.len().max(1)) {
            core_affinity::set_for_current(*core);
        }
    };
    let builder = ThreadPoolBuilder::new().num_threads(sharing.threads).start_handler(pin);
    builder.thread_name(|thread| format!("encoder-{thread}")).build().map_err(no_threads)
}

fn no_threads(error: impl std::fmt::Display) -> Problem {
    Problem::new(format!("no threads can be started for the encoder: {error}"))
        .hint("`sprat doctor` shows what the machine allows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::SyncSender;
    use std::sync::{Mutex, mpsc::sync_channel};

    fn soon() -> Context {
        Context::until(Instant::now() + Duration::from_secs(60), "test")
    }

    /// A vector that is a text's length.
    fn length(text: &&str) -> Result<Encoded, ModelError> {
        Ok(Encoded { vector: vec![text.len() as f32], tokens: 1 })
    }

    fn measuring(sharing: &Sharing) -> Embedder {
        let compute = |texts: &[&str]| texts.iter().map(length).collect();
        Embedder::over(Box::new(compute), 1, sharing).unwrap()
    }

    /// One that computes a batch whenever it is told to, and says first what it was asked.
    fn halting(sharing: &Sharing) -> (Embedder, Receiver<Vec<String>>, SyncSender<()>) {
        let (asked, seen) = channel();
        let (go, wait) = sync_channel(100);
        let (asked, wait) = (Mutex::new(asked), Mutex::new(wait));
        let compute = move |texts: &[&str]| {
            let _ = asked.lock().unwrap().send(texts.iter().map(|text| (*text).to_owned()).collect());
            let _ = wait.lock().unwrap().recv();
            texts.iter().map(length).collect()
        };
        (Embedder::over(Box::new(compute), 1, sharing).unwrap(), seen, go)
    }

    async fn vectors(embedder: &Embedder, texts: &[&str]) -> Vec<Vec<f32>> {
        embedder.embed(&soon(), texts).await.unwrap().vectors
    }

    fn at_once() -> Sharing {
        Sharing { max_wait: Duration::ZERO, ..Sharing::default() }
    }

    #[tokio::test]
    async fn each_text_gets_its_own_vector_in_order() {
        let embedder = measuring(&Sharing::default());
        let found = embedder.embed(&soon(), &["a", "", "ccc"]).await.unwrap();
        assert_eq!(found, Embedded { vectors: vec![vec![1.0], vec![0.0], vec![3.0]], tokens: 3 });
        assert_eq!(embedder.embed(&soon(), &[]).await.unwrap(), Embedded::default());
    }

    #[tokio::test]
    async fn callers_at_the_same_time_share_a_batch() {
        let patient = Sharing { max_wait: Duration::from_secs(30), ..Sharing::default() };
        let embedder = measuring(&patient);
        let texts = vec!["text"; BATCH / 4];
        let cx = soon();
        let calls = (0..4).map(|_| embedder.embed(&cx, &texts));
        try_join_all(calls).await.unwrap();
        assert_eq!(embedder.computed(), Computed { texts: BATCH as u64, batches: 1 });
    }

    #[tokio::test]
    async fn more_texts_than_may_wait_are_handed_over_as_there_is_room() {
        let embedder = measuring(&Sharing { most_waiting: 2, ..at_once() });
        let texts = vec!["text"; 500];
        assert_eq!(vectors(&embedder, &texts).await, vec![vec![4.0]; 500]);
    }

    #[tokio::test]
    async fn a_deadline_is_kept_while_a_batch_is_computed_and_what_it_leaves_is_not() {
        let (embedder, seen, go) = halting(&at_once());
        let cx = Context::until(Instant::now() + Duration::from_millis(30), "test");
        let first = embedder.embed(&cx, &["slow"]).await;
        assert_eq!(first, Err(ModelError::Timeout));
        assert_eq!(seen.recv().unwrap(), ["slow"]);
        // Waits behind the slow one, and is given up before its turn.
        let cx = Context { deadline: Instant::now() + Duration::from_millis(30), ..cx };
        assert_eq!(embedder.embed(&cx, &["late"]).await, Err(ModelError::Timeout));
        (0..3).for_each(|_| go.send(()).unwrap());
        assert_eq!(vectors(&embedder, &["next"]).await, [[4.0]]);
        assert!(!seen.try_iter().any(|batch| batch.contains(&"late".to_owned())));
    }

    #[tokio::test]
    async fn a_client_that_has_left_is_not_waited_for() {
        let (embedder, seen, go) = halting(&at_once());
        let cx = soon();
        let leave = async {
            seen.recv().unwrap();
            cx.cancel.cancel();
        };
        let (left, ()) = futures::join!(embedder.embed(&cx, &["asked"]), leave);
        assert_eq!(left, Err(ModelError::Cancelled));
        go.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_computes_nothing() {
        let embedder = measuring(&at_once());
        let late = Context::until(Instant::now(), "test");
        assert_eq!(embedder.embed(&late, &["text"]).await, Err(ModelError::Timeout));
        assert_eq!(embedder.computed(), Computed::default());
    }

    #[tokio::test]
    async fn a_batch_that_fails_fails_alone() {
        let compute = |texts: &[&str]| {
            assert!(!texts.contains(&"poison"), "a fault, staged by the test");
            texts.iter().map(length).collect()
        };
        let embedder = Embedder::over(Box::new(compute), 1, &at_once()).unwrap();
        let failed = embedder.embed(&soon(), &["poison"]).await;
        assert!(matches!(failed, Err(ModelError::Failed(_))), "{failed:?}");
        assert_eq!(vectors(&embedder, &["text"]).await, [[4.0]]);
    }

    #[tokio::test]
    async fn vectors_are_those_of_the_encoder_brought_to_unit_length() {
        let folder = tempfile::tempdir().unwrap();
        super::super::tiny::write(folder.path(), 7).unwrap();
        std::fs::remove_file(folder.path().join("modules.json")).unwrap();
        let encoder = Arc::new(Encoder::open(folder.path(), super::super::Precision::F32).unwrap());
        let texts = ["where is my card", "refund"];
        let mut expected = encoder.encode(&texts).unwrap();
        expected.iter_mut().for_each(|vector| to_unit_length(vector));
        let embedder = Embedder::start(encoder, &Sharing { threads: 2, ..Sharing::default() }).unwrap();
        assert_eq!(embedder.dimensions(), 30);
        assert_eq!(vectors(&embedder, &texts).await, expected);
    }
}
