//! The traits, tried on what will have to fit them: a streaming upstream, an encoder that owns a linear model,
//! an engine behind a queue. If one of these reads badly, the trait is wrong.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use sprat_task::model::{NoReply, Piece, WireReply, WireRequest};
use sprat_task::*;

fn task() -> Task {
    read_task("t", &Source::new("t.toml", "kind = \"classify\"\nlabels = [\"a\", \"b\"]"), |_| {
        Err(String::new())
    })
    .expect("valid")
}

fn context() -> Context {
    Context::until(Instant::now() + Duration::from_secs(5), "r1")
}

fn answer(label: &str, score: f32) -> Prediction {
    Prediction {
        answer: Answer::label(label),
        score: Score(score),
        features: Features(vec![score]),
        alternatives: vec![(label.into(), Score(score))],
    }
}

/// Log-probabilities from counting a letter: a linear model in miniature.
struct Linear(ModelId);

impl Linear {
    fn log_probabilities(&self, text: &str) -> [f32; 2] {
        let share = text.matches('a').count() as f32 / text.len().max(1) as f32;
        [share.max(1e-6).ln(), (1.0 - share).max(1e-6).ln()]
    }
}

impl Model for Linear {
    fn id(&self) -> &ModelId {
        &self.0
    }
    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            inputs
                .iter()
                .map(|input| {
                    let [a, b] = self.log_probabilities(&input.text);
                    Attempt::free(if a > b { answer("a", a) } else { answer("b", b) }, Duration::ZERO)
                })
                .collect()
        })
    }
}

/// An encoder whose head reads the linear model's log-probabilities: it owns that very model.
struct Stacked {
    id: ModelId,
    linear: Arc<Linear>,
    linear_hash: Sha256Hex,
}

impl Model for Stacked {
    fn id(&self) -> &ModelId {
        &self.id
    }
    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            inputs
                .iter()
                .map(|input| {
                    let [a, b] = self.linear.log_probabilities(&input.text);
                    let length = input.text.len() as f32;
                    Attempt::free(answer(if a + length > b { "a" } else { "b" }, a + length), Duration::ZERO)
                })
                .collect()
        })
    }
}

#[test]
fn an_encoder_can_own_the_linear_model_its_head_reads() {
    let linear = Arc::new(Linear("linear".into()));
    let stacked =
        Stacked { id: "encoder".into(), linear: linear.clone(), linear_hash: Sha256Hex::of(b"weights") };
    let models: Vec<Arc<dyn Model>> = vec![linear, Arc::new(stacked)];
    let (cx, task, inputs) = (context(), task(), [Input::new("aaa"), Input::new("bbb")]);
    for model in &models {
        assert_eq!(block_on(model.predict(&cx, &task, &inputs)).len(), inputs.len());
    }
    assert_eq!(Sha256Hex::of(b"weights").short().len(), 12);
    let _bound =
        Stacked { id: "e".into(), linear: Arc::new(Linear("l".into())), linear_hash: Sha256Hex::of(b"w") }
            .linear_hash;
}

/// An engine in another place: requests go through a queue, a bad row fails alone, the thread may die.
struct Engine {
    id: ModelId,
    queue: mpsc::Sender<(String, futures::channel::oneshot::Sender<Attempt>)>,
}

fn start_engine() -> Engine {
    let (queue, jobs) = mpsc::channel::<(String, futures::channel::oneshot::Sender<Attempt>)>();
    std::thread::spawn(move || {
        for (text, reply) in jobs {
            if text == "crash" {
                return; // dropping `reply` is what a crash looks like from the other side
            }
            let _ = reply.send(Attempt::free(answer("a", 0.5), Duration::from_micros(3)));
        }
    });
    Engine { id: "engine".into(), queue }
}

impl Model for Engine {
    fn id(&self) -> &ModelId {
        &self.id
    }
    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            let mut attempts = Vec::with_capacity(inputs.len());
            for input in inputs {
                let (reply, answer) = futures::channel::oneshot::channel();
                // A refused message comes back with its `reply` inside, which must be dropped before the answer is awaited:
                // held, it would keep the answer pending for ever.
                let sent = self.queue.send((input.text.clone(), reply)).is_ok();
                let answered = if sent { answer.await.ok() } else { None };
                let stopped = || Attempt::failed(ModelError::Unavailable("the engine stopped".into()));
                attempts.push(answered.unwrap_or_else(stopped));
            }
            attempts
        })
    }
}

#[test]
fn an_engine_that_dies_is_a_failed_attempt_and_nothing_worse() {
    let engine = start_engine();
    let (cx, task) = (context(), task());
    let attempts =
        block_on(engine.predict(&cx, &task, &[Input::new("fine"), Input::new("crash"), Input::new("late")]));
    assert!(attempts[0].prediction().is_some());
    assert!(attempts[1..].iter().all(|a| matches!(a.result, Err(ModelError::Unavailable(_)))));
}

/// A remote model that streams: one connection serves both the wire and the task.
struct Streaming(ModelId);

impl Upstream for Streaming {
    fn id(&self) -> &ModelId {
        &self.0
    }
    fn send<'a>(&'a self, _: &'a Context, request: WireRequest) -> BoxFuture<'a, Result<WireReply, NoReply>> {
        Box::pin(async move {
            let chunks =
                vec![Ok(b"data: ".to_vec()), Ok(request.body), Err(ModelError::Unavailable("cut".into()))];
            Ok(WireReply {
                status: 200,
                headers: Vec::new(),
                body: stream::iter(chunks).boxed(),
                unknown_cost: false,
            })
        })
    }
}

impl Model for Streaming {
    fn id(&self) -> &ModelId {
        &self.0
    }
    fn predict<'a>(
        &'a self,
        cx: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        Box::pin(async move {
            let mut attempts = Vec::new();
            for input in inputs {
                let request = WireRequest {
                    path: "/chat".into(),
                    headers: Vec::new(),
                    body: input.text.clone().into_bytes(),
                };
                let latency = Duration::from_millis(1);
                let result = match self.send(cx, request).await {
                    Ok(mut reply) => loop {
                        match reply.body.next().await {
                            Some(Ok(_)) => {}
                            Some(Err(error)) => break Err(error),
                            None => break Ok(None),
                        }
                    },
                    Err(none) => Err(none.error),
                };
                attempts.push(Attempt { usage: Usage::UNKNOWN, latency, result });
            }
            attempts
        })
    }
}

impl Generate for Streaming {
    fn generate<'a>(&'a self, _: &'a Context, _: &'a Task, input: &'a Input) -> BoxStream<'a, Piece> {
        let words = input.text.split(' ').map(|word| Piece::Text(word.to_owned()));
        stream::iter(words.chain([Piece::End { usage: Usage::UNKNOWN, result: Ok(()) }])).boxed()
    }
}

#[test]
fn a_stream_cut_half_way_is_a_failure_whose_cost_is_unknown() {
    let upstream = Streaming("large".into());
    let (cx, task) = (context(), task());
    let attempts = block_on(upstream.predict(&cx, &task, &[Input::new("hello")]));
    assert_eq!(attempts[0].usage, Usage::UNKNOWN);
    assert!(matches!(attempts[0].result, Err(ModelError::Unavailable(_))));
}

#[test]
fn a_generated_answer_ends_with_what_it_used() {
    let upstream = Streaming("large".into());
    let (cx, task, input) = (context(), task(), Input::new("one two"));
    let pieces: Vec<Piece> = block_on(upstream.generate(&cx, &task, &input).collect());
    assert_eq!(pieces.len(), 3);
    assert!(matches!(pieces.last(), Some(Piece::End { .. })));
}
