//! Texts whose quality a judge says: it is asked when the answer has gone out, and what it can't tell is not good enough.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sprat_cascade::{Deployed, Deployment, HeldBack, LadderEnd, Serving};
use sprat_store::ShadowSums;
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Judge, Model, ModelId, Pair, Prediction, ReleaseId, Score,
    Sha256Hex, Slice, Task, Usage, Verdict,
};
use tokio::sync::{Notify, Semaphore};

use crate::fakes::{Says, World, serving_of};

const TASK: &str = "kind = \"generate\"\nlarge = \"large\"\n[quality]\nmetric = \"judge\"\nmodel = \"referee\"\nleast = 0.75\n";

fn id(version: u32) -> ReleaseId {
    ReleaseId { task: "tickets".into(), version }
}

/// Writes these words, and is sure of them.
struct Writes(ModelId, &'static str);

impl Model for Writes {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempt = |_| Attempt {
            usage: Usage::FREE,
            latency: Duration::ZERO,
            result: Ok(Some(Prediction {
                answer: Answer::Text(self.1.to_owned()),
                score: Score(1.0),
                features: Features::default(),
                alternatives: vec![("any".into(), Score(0.0))],
            })),
        };
        let attempts = inputs.iter().map(attempt).collect();
        Box::pin(async move { attempts })
    }
}

/// Judges when it is let, and tells when it is asked.
struct Referee {
    asked: Notify,
    let_through: Semaphore,
    verdict: Verdict,
    identity: Sha256Hex,
}

impl Referee {
    fn new(verdict: Verdict) -> Arc<Self> {
        let identity = Sha256Hex::of(b"");
        Arc::new(Self { asked: Notify::new(), let_through: Semaphore::new(0), verdict, identity })
    }
}

impl Judge for Referee {
    fn judge<'a>(&'a self, _: &'a Context, pairs: &'a [Pair]) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            self.asked.notify_one();
            self.let_through.acquire().await.unwrap().forget();
            pairs.iter().map(|_| self.verdict.clone()).collect()
        })
    }

    fn identity(&self) -> &Sha256Hex {
        &self.identity
    }
}

/// A release that writes so; the large model writes "right".
fn release(version: u32, words: &'static str, judge: Option<Arc<dyn Judge>>) -> Serving {
    let says = Says::new("linear", 0);
    let mut serving = serving_of(TASK, &says, &says);
    serving.release = Some(id(version));
    serving.ladder.rungs[0].model = Arc::new(Writes("small".into(), words));
    serving.ladder.last = LadderEnd::Remote(Arc::new(Writes("large".into(), "right")));
    serving.judge = judge;
    serving
}

fn world(live: Serving, shadow: Option<Serving>) -> World {
    let world = World::new();
    let deployment = Deployment { live: Arc::new(live), canary: None, shadow: shadow.map(Arc::new) };
    world.gateway.current().exchange(2, Deployed { tasks: vec![deployment], ..Deployed::default() });
    world
}

/// Whether the one audit there is differs.
fn differs(world: &World) -> Option<bool> {
    let audits = world.store.audits().after(&id(3), 0, 10).unwrap();
    let [audit] = &audits[..] else { panic!("one audit: {audits:?}") };
    audit.differs()
}

#[tokio::test]
async fn an_audited_text_is_judged_when_the_answer_has_gone_out() {
    let unclear = Verdict::Unclear("no answer before the deadline".to_owned());
    for (verdict, expected) in [(Verdict::Good, false), (Verdict::Bad, true), (unclear, true)] {
        let referee = Referee::new(verdict.clone());
        let world = world(release(3, "other words", Some(referee.clone())), None);
        world.gateway.auditor().set_rate("tickets", 1.0);
        // The reply is whole while the judge lets nobody through.
        let got = world.ask("hello").await;
        assert!(got.header("x-sprat-answered-by") == Some("small") && got.text.contains("other words"));
        referee.asked.notified().await;
        assert_eq!(differs(&world), None, "it waits for the judge");
        referee.let_through.add_permits(1);
        world.gateway.quiet().await;
        assert_eq!(differs(&world), Some(expected), "{verdict:?}");
    }
}

#[tokio::test]
async fn the_same_text_needs_no_judge_and_another_is_not_good_enough_without_one() {
    for (words, expected) in [(" right\n", false), ("other words", true)] {
        let world = world(release(3, words, None), None);
        world.gateway.auditor().set_rate("tickets", 1.0);
        world.ask("hello").await;
        world.gateway.quiet().await;
        assert_eq!(differs(&world), Some(expected), "{words}");
    }
}

#[tokio::test]
async fn a_text_that_is_held_back_is_judged_beside_the_large_model_s_when_that_has_gone_out() {
    let referee = Referee::new(Verdict::Good);
    let mut live = release(3, "other words", Some(referee.clone()));
    live.ladder.held_back = vec![HeldBack { slice: Slice::Whole, share: 0.0 }];
    let world = world(live, None);
    let got = world.ask("hello").await;
    assert_eq!(got.header("x-sprat-answered-by"), Some("large"));
    referee.asked.notified().await;
    assert_eq!(world.store.audits().after(&id(3), 0, 10).unwrap(), [], "it waits for the judge");
    referee.let_through.add_permits(1);
    world.gateway.quiet().await;
    assert_eq!(differs(&world), Some(false));
}

#[tokio::test]
async fn what_a_shadow_would_have_written_is_judged_when_the_answer_has_gone_out() {
    for (verdict, agreed) in [(Verdict::Good, 1), (Verdict::Unclear("down".to_owned()), 0)] {
        let referee = Referee::new(verdict);
        let shadow = release(5, "other words", Some(referee.clone()));
        let world = world(release(3, "some words", None), Some(shadow));
        let got = world.ask("hello").await;
        assert!(got.text.contains("some words"), "{}", got.text);
        referee.asked.notified().await;
        referee.let_through.add_permits(1);
        let sums: ShadowSums = loop {
            world.gateway.watching().keep_now(&world.store).unwrap();
            let sums = world.store.shadow().of(&id(5)).unwrap();
            if sums.requests > 0 {
                break sums;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((sums.compared, sums.agreed), (1, agreed));
    }
}
