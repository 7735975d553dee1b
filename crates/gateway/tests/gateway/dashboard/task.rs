//! The page of one task.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use sprat_cascade::alarm::{AlarmLevel, Heard};
use sprat_cascade::watch::Watched;
use sprat_cascade::{Deployed, Deployment};
use sprat_gateway::Settings;
use sprat_store::{NewAudit, NewStepBack, ShadowHour, ShadowSums};
use sprat_task::{Answer, Confidence, Last, PromisedRecall, Release, ReleaseId, Share, Slice, Status};

use super::{HOSTILE, fill, filled, look, now, release};
use crate::fakes::{World, lowering, schema, serving_of};

/// Keeps what a release saw while it watched.
fn watched(world: &World, version: u32, sums: ShadowSums) {
    let release = ReleaseId { task: "tickets".into(), version };
    let hour = now() / 3_600_000;
    world.store.shadow().add(&[ShadowHour { release, hour, sums }]).unwrap();
}

const SUMS: ShadowSums = ShadowSums {
    requests: 10,
    would_answer: 4,
    compared: 3,
    agreed: 2,
    all_compared: 8,
    all_agreed: 6,
    skipped: 1,
};

/// What a page says, its tags left out.
fn text(page: &str) -> String {
    let words = page.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text));
    words.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_task_s_page_has_its_promise_its_savings_and_its_latest_requests() {
    let world = filled();
    let page = look(&world, "/tasks/tickets?span=30d").await.text;
    for says in [
        "Of the answers it gives, at most 5% are wrong, with 95% confidence: 4 of 300.",
        "tickets@3",
        "sending everything to the large model",
        "letting linear answer everything",
        "0.9000",
        "req-large",
        "the first certified one",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
}

#[tokio::test]
async fn a_task_s_page_says_what_watches_it_and_what_was_taken_away() {
    let world = filled();
    let (store, release) = (&world.store, ReleaseId { task: "tickets".into(), version: 3 });
    let page = look(&world, "/tasks/tickets").await.text;
    assert!(page.contains("no audits yet") && !page.contains("Canary"), "{page}");
    assert!(!look(&world, "/").await.text.contains("stepped back"));

    for (request, large) in [("req-small", "refund"), ("req-other", "delivery")] {
        let drawn = NewAudit {
            release: release.clone(),
            request: request.into(),
            held: None,
            small: Answer::label("refund"),
            groups: BTreeMap::new(),
            confidence: Confidence::new(0.97),
            propensity: 0.1,
            time_unix_ms: now(),
        };
        let id = store.audits().draw(&drawn).unwrap();
        store.audits().settle(id, Ok(&Answer::label(large)), now()).unwrap();
    }
    let refunds = Slice::Label("refund".into());
    let heard = Heard {
        slice: refunds.clone(),
        level: AlarmLevel::Alarm,
        evidence: 61_234.5,
        alarms_at: 60_000.0,
        baseline: 0.05,
        audits: 120,
        bad: 31,
    };
    let watched = Watched { agreement: vec![heard], ..Watched::default() };
    store.audits().keep_watched(&release, &watched, now()).unwrap();
    let step_back = NewStepBack {
        release,
        slice: refunds,
        ear: "agreement".to_owned(),
        why: format!("31 of 120 differ {HOSTILE}"),
        after_audit: 2,
        time_unix_ms: now(),
    };
    store.step_backs().begin(&step_back).unwrap();
    let page = look(&world, "/tasks/tickets").await.text;
    for says in [
        "stepped back",
        "2 audits of small answers",
        "a day: 1 differs from the large model’s answer.",
        "answers “refund”",
        "61,234 of 60,000",
        "31 of 120 differ &#60;script&#62;",
        "None of it is answered small again yet, after 0 tests.",
        "For now audits <a href=\"#watching-heading\">hold small answers back</a>",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    let overview = text(&look(&world, "/").await.text);
    assert!(overview.contains("certified stepped back"), "{overview}");
}

#[tokio::test]
async fn a_task_s_page_names_the_releases_beside_the_live_one() {
    let world = filled();
    let next = Release { id: ReleaseId { task: "tickets".into(), version: 4 }, ..release(&world) };
    world.store.registry().add(&next).unwrap();
    world.store.registry().canary(&next.id, Share::new(0.1).unwrap(), "a try", now()).unwrap();
    let page = look(&world, "/tasks/tickets").await.text;
    assert!(page.contains("Canary: tickets@4 answers 10% of the traffic."), "{page}");
    world.store.registry().shadow(&next.id, "another", now()).unwrap();
    let page = look(&world, "/tasks/tickets").await.text;
    assert!(page.contains("Shadow: tickets@4 watches; it has seen nothing yet."), "{page}");
}

#[tokio::test]
async fn a_shadow_says_what_it_would_have_answered_and_saved() {
    let world = filled();
    let next = Release { id: ReleaseId { task: "tickets".into(), version: 4 }, ..release(&world) };
    world.store.registry().add(&next).unwrap();
    world.store.registry().shadow(&next.id, "a look", now()).unwrap();
    watched(&world, 4, SUMS);
    let page = look(&world, "/tasks/tickets").await.text;
    // The large model alone would have cost three dollars for the two requests whose price is known.
    let says = "Shadow: tickets@4 watches; of 10 requests it would have answered 4; of those that can be compared, 2 \
                of 3 the same; about $6.00 it would have saved; 1 skipped for want of room.";
    assert!(page.contains(says), "{page}");
    assert!(!page.contains("In shadow"), "the live release answers, and never only watched");
    let unpriced = World::new();
    let release = release(&unpriced);
    unpriced.store.registry().add(&release).unwrap();
    unpriced.store.registry().shadow(&release.id, "a look", now()).unwrap();
    watched(&unpriced, 3, SUMS);
    let page = look(&unpriced, "/tasks/tickets").await.text;
    assert!(page.contains("2 of 3 the same; 1 skipped"), "what nobody knows is no amount: {page}");
}

#[tokio::test]
async fn where_everything_goes_to_the_large_model_the_live_release_is_shown_in_shadow() {
    let world = fill(World::with(Settings { shadow: true, ..Settings::default() }));
    let page = text(&look(&world, "/tasks/tickets").await.text);
    assert!(page.contains("Everything goes to the large model. tickets@3 watches, and has seen"), "{page}");
    let page = text(&look(&world, "/").await.text);
    assert!(page.contains("No small model has watched anything yet"), "{page}");
    watched(&world, 3, SUMS);
    for path in ["/", "/tasks/tickets"] {
        let page = text(&look(&world, path).await.text);
        for says in [
            "In shadow Everything goes to the large model.",
            "Would have answered 40.0% 4 of 10 requests",
            "Would have saved about $6.00",
            "The same answer 66.7% 2 of the 3 that can be compared",
            "The same, sure or not 75.0% 6 of all its 8 answers",
            "Skipped 1",
        ] {
            assert!(page.contains(says), "{path}: {says}: {page}");
        }
    }
}

#[tokio::test]
async fn where_nothing_watches_it_is_said_what_is_missing() {
    let file = lowering(Some(&schema()));
    for (capture, says) in [
        ("", "the task keeps no texts to learn from"),
        ("[capture]\nenabled = true\n", "0 answers of the large model’s are kept to learn from"),
    ] {
        let world = World::with(Settings { shadow: true, ..Settings::default() });
        let mut serving = serving_of(&format!("{file}{capture}"), &world.small, &world.large);
        (serving.release, serving.certificate) = (None, None);
        let deployed = Deployed { tasks: vec![Deployment::of(serving)], ..Deployed::default() };
        world.gateway.current().exchange(2, deployed);
        let page = text(&look(&world, "/tasks/tickets").await.text);
        assert!(page.contains("In shadow Everything goes to the large model. Nothing watches"), "{page}");
        assert!(page.contains(says), "{page}");
    }
}

#[tokio::test]
async fn what_a_live_release_saw_in_shadow_stays_on_its_page() {
    let world = filled();
    watched(&world, 3, ShadowSums { compared: 0, agreed: 0, all_compared: 0, all_agreed: 0, ..SUMS });
    let page = text(&look(&world, "/tasks/tickets").await.text);
    assert!(page.contains("What tickets@3 would have answered while it only watched:"), "{page}");
    assert!(page.contains("The same answer unknown nothing to compare with yet"), "{page}");
    assert!(!page.contains("Everything goes to the large model"), "{page}");
    assert!(!text(&look(&world, "/").await.text).contains("In shadow"));
}

#[tokio::test]
async fn a_task_of_which_nothing_is_live_says_how_its_newest_release_stands() {
    let world = World::serving(|serving| (serving.release, serving.certificate) = (None, None));
    let page = text(&look(&world, "/tasks/tickets").await.text);
    assert!(page.contains("Nothing is live"), "{page}");
    assert!(page.contains("Teach it with sprat learn tickets ROWS"), "{page}");
    let mut newest = release(&filled());
    newest.certificate.status = Status::Underpowered;
    newest.certificate.more_labels = Some(140);
    world.store.registry().add(&newest).unwrap();
    let page = text(&look(&world, "/tasks/tickets").await.text);
    let says = "The newest release, tickets@3, is underpowered: not enough evidence yet for 5% at 95% confidence: about \
                140 more labelled rows would settle it.";
    assert!(page.contains(says) && !page.contains("Teach it"), "{page}");
}

#[tokio::test]
async fn each_category_that_must_not_be_missed_has_its_promise_and_what_was_found() {
    let world = World::serving(|serving| {
        serving.certificate.as_mut().unwrap().recall = vec![
            PromisedRecall {
                label: HOSTILE.into(),
                max_missed: 0.05,
                positives: 1_200,
                missed: 31,
                flagged: 900,
                bound: Some(0.0362),
            },
            PromisedRecall {
                label: "spam".into(),
                max_missed: 0.02,
                positives: 0,
                missed: 0,
                flagged: 0,
                bound: None,
            },
        ];
    });
    let got = look(&world, "/tasks/tickets").await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(!got.text.contains("<script>alert"), "{}", got.text);
    let page = text(&got.text);
    assert!(page.contains("and of each category at least 95% is flagged or escalated"), "{page}");
    assert!(page.contains("95% 1,200 900 269 31 3.62%"), "{page}");
    assert!(page.contains("spam 98% 0 0 0 0 unknown"), "{page}");
}

#[tokio::test]
async fn a_promise_over_records_speaks_of_records() {
    let world = World::serving(|serving| serving.certificate.as_mut().unwrap().records = true);
    let page = text(&look(&world, "/tasks/tickets").await.text);
    for says in [
        "Of the records it fills, at most 5% have a wrong field, with 95% confidence: 4 of 300.",
        "records with a wrong field among those filled small (selective)",
        "500; 300 records filled small, 4 of these with a wrong field",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
}

#[tokio::test]
async fn a_task_without_a_large_model_is_not_compared_with_one() {
    let world = World::serving(|serving| serving.task.last = Last::People);
    let page = text(&look(&world, "/tasks/tickets").await.text);
    assert!(page.contains("nothing to compare: the task has no large model"), "{page}");
    assert!(!page.contains("How good the whole is beside"), "{page}");
}
