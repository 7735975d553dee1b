//! Whether small answers are checked, and what is kept of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use sprat_cascade::{Deployed, Deployment, HeldBack};
use sprat_store::Source;
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Model, ModelId, Prediction, ReleaseId, Score, Slice, Task,
    Usage,
};

use crate::fakes::{PROMPT, Script, TASK, World, event, reply, schema, serving_of, usage_event};

fn release() -> ReleaseId {
    ReleaseId { task: "tickets".into(), version: 3 }
}

#[tokio::test]
async fn a_small_answer_that_is_drawn_is_asked_of_the_large_model_after_the_reply_and_charged() {
    let world = World::new();
    world.gateway.auditor().set_rate("tickets", 1.0);
    let got = world.ask("refund 0.95").await;
    assert_eq!(got.header("x-sprat-answered-by"), Some("linear"));
    world.gateway.quiet().await;
    let audits = world.store.audits().after(&release(), 0, 10).unwrap();
    assert_eq!(audits.len(), 1);
    assert_eq!(Some(audits[0].drawn.request.as_str()), got.header("x-request-id"));
    assert_eq!((audits[0].differs(), audits[0].drawn.propensity), (Some(false), 1.0));
    let ledger = world.ledger();
    let audit = ledger.iter().find(|entry| entry.source == Source::Audit).unwrap();
    assert_eq!(Some(audit.request.as_str()), got.header("x-request-id"));
    assert_eq!(audit.cost.map(|cost| cost.micro()), Some(100));
    assert_eq!(audit.baseline_all_large.map(|cost| cost.micro()), Some(0));
}

/// Fills a record, and is sure of it.
struct Fills(ModelId);

impl Model for Fills {
    fn id(&self) -> &ModelId {
        &self.0
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let record = json!({"team": "refund"}).as_object().unwrap().clone();
        let attempt = |_| Attempt {
            usage: Usage::FREE,
            latency: Duration::ZERO,
            result: Ok(Some(Prediction {
                answer: Answer::Fields(record.clone()),
                score: Score(1.0),
                features: Features::default(),
                alternatives: vec![("team".into(), Score(0.0))],
            })),
        };
        let attempts = inputs.iter().map(attempt).collect();
        Box::pin(async move { attempts })
    }
}

#[tokio::test]
async fn an_audited_text_waits_for_a_person_where_it_is_kept_be_it_for_labels_or_for_fields() {
    let fields = "kind = \"extract\"\nlarge = \"large\"\n[[fields]]\nname = \"team\"\ntype = \"enum\"\nvalues = \
                  [\"refund\"]\n";
    let capture = "[capture]\nenabled = true\n";
    for (file, fills, waiting) in [
        (format!("{TASK}{capture}"), false, 1),
        (TASK.to_owned(), false, 0),
        (format!("{fields}{capture}"), true, 1),
    ] {
        let world = World::new();
        world.gateway.auditor().set_rate("tickets", 1.0);
        let mut serving = serving_of(&file, &world.small, &world.large);
        if fills {
            serving.ladder.rungs[0].model = Arc::new(Fills("tagger".into()));
        }
        let deployed = Deployed { tasks: vec![Deployment::of(serving)], ..Deployed::default() };
        world.gateway.current().exchange(2, deployed);
        let got = world.ask("refund 0.95").await;
        assert_eq!(got.header("x-sprat-escalated"), Some("false"), "{file}: {}", got.text);
        world.gateway.quiet().await;
        assert_eq!(world.store.audits().after(&release(), 0, 10).unwrap().len(), 1, "{file}");
        assert_eq!(world.store.review().counts(&"tickets".into()).unwrap().waiting, waiting, "{file}");
    }
}

#[tokio::test]
async fn an_audit_that_gets_no_answer_is_missing_and_not_bad() {
    let world = World::new();
    world.gateway.auditor().set_rate("tickets", 1.0);
    world.large.is_slow.store(true, Ordering::SeqCst);
    world.ask("refund 0.95").await;
    world.gateway.quiet().await;
    let audits = world.store.audits().after(&release(), 0, 10).unwrap();
    assert_eq!(audits[0].large, Some(Err("no answer before the deadline".to_owned())));
    assert_eq!(audits[0].differs(), None);
}

#[tokio::test]
async fn what_the_large_model_answered_anyway_is_not_audited() {
    let world = World::new();
    world.gateway.auditor().set_rate("tickets", 1.0);
    world.ask("refund 0.5").await;
    world.gateway.quiet().await;
    assert_eq!(world.store.audits().after(&release(), 0, 10).unwrap(), []);
}

#[tokio::test]
async fn a_part_that_was_taken_away_is_answered_by_the_large_model_and_compared() {
    let world = World::serving(|serving| {
        serving.ladder.held_back = vec![HeldBack { slice: Slice::Label("refund".into()), share: 0.0 }];
        serving.task.slices_by = vec!["channel".to_owned()];
    });
    let ask = |text: &str| {
        json!({"model": "tickets", "metadata": {"channel": "mail", "secret": "x"},
               "messages": [{"role": "user", "content": text}]})
    };
    let got = world.chat(ask("refund 0.95")).await;
    assert_eq!(
        (got.header("x-sprat-answered-by"), got.header("x-sprat-escalated")),
        (Some("large"), Some("true"))
    );
    world.chat(ask("delivery 0.95")).await;
    world.gateway.quiet().await;
    let audits = world.store.audits().after(&release(), 0, 10).unwrap();
    let held = audits.iter().find(|audit| audit.drawn.held.is_some()).unwrap();
    assert_eq!((&held.drawn.small, held.differs()), (&Answer::label("refund"), Some(false)));
    assert_eq!(held.drawn.groups.iter().collect::<Vec<_>>(), [(&"channel".to_owned(), &"mail".to_owned())]);
    let outcomes: Vec<&str> = world.ledger()[0].steps.iter().map(|step| step.outcome.word()).collect();
    assert!(outcomes == ["held back", "last"] || outcomes == ["accepted"], "{outcomes:?}");
}

#[tokio::test]
async fn an_ordinary_call_of_a_part_that_was_taken_away_is_compared_with_the_reply_as_it_came() {
    for streams in [false, true] {
        let world = World::serving(|serving| {
            serving.ladder.held_back = vec![HeldBack { slice: Slice::Whole, share: 0.0 }];
        });
        let team = "{\"team\": \"delivery\"}";
        let pieces =
            [event(json!({"content": team}), Some("stop")), usage_event(), "data: [DONE]\n\n".to_owned()];
        world.wire.plays(match streams {
            false => Script::json(200, reply(team)),
            true => Script::stream(pieces.into_iter().map(Some).collect()),
        });
        let format = json!({"type": "json_schema", "json_schema": {"name": "team", "schema": schema()}});
        let call = json!({"model": "auto", "stream": streams, "response_format": format, "messages": [
            {"role": "system", "content": PROMPT}, {"role": "user", "content": "Ticket: refund 0.95"}]});
        let got = world.chat(call).await;
        assert_eq!(got.header("x-sprat-answered-by"), Some("large"));
        world.gateway.quiet().await;
        let audits = world.store.audits().after(&release(), 0, 10).unwrap();
        let [audit] = &audits[..] else { panic!("one comparison: {audits:?}") };
        assert_eq!(audit.drawn.held, Some(Slice::Whole));
        assert_eq!((&audit.drawn.small, audit.differs()), (&Answer::label("refund"), Some(true)));
    }
}
