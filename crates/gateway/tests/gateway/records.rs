//! Tasks that extract: what is kept of their records, and what people say of them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sprat_cascade::{Deployed, Deployment};
use sprat_gateway::Settings;
use sprat_store::{CapturedRow, NewReview, Reason};
use sprat_task::{Answer, Confidence, Task};

use crate::dashboard::{OURS, look, post};
use crate::fakes::{Script, World, remote, reply, request, serving_of};

const PROMPT: &str = "Please read the booking.";

const TASK: &str = "kind = \"extract\"\nlarge = \"large\"\n\
    [[fields]]\nname = \"name\"\ntype = \"text\"\nrequired = true\n\
    [[fields]]\nname = \"mail\"\ntype = \"text\"\n\
    [[fields]]\nname = \"day\"\ntype = \"date\"\norder = \"dmy\"\n\
    [[fields]]\nname = \"seating\"\ntype = \"enum\"\nvalues = [\"inside\", \"terrace\"]\n\
    [[fields]]\nname = \"allergies\"\ntype = \"list\"\n\
    [match]\nsystem_prompt_contains = \"read the booking\"\ninput = \"Mail: {input}\"\n";

const KEEPING: &str = "[capture]\nenabled = true\nredact = [\"email\"]\n";

fn world(more: &str) -> World {
    let world = World::with(Settings { shadow: true, ..Settings::default() });
    let serving = serving_of(&format!("{TASK}{more}"), &world.small, &world.large);
    let deployed = Deployed {
        tasks: vec![Deployment::of(serving)],
        remotes: vec![remote(&world.wire)],
        ..Deployed::default()
    };
    world.gateway.current().exchange(2, deployed);
    world
}

fn record(fields: &Value) -> Answer {
    Answer::Fields(fields.as_object().unwrap().clone())
}

/// Sends a mail in an ordinary call that the task recognises; the large model's record, and the request's id.
async fn sent(world: &World, text: &str, said: &Value) -> String {
    world.wire.plays(Script::Reply(200, vec![], vec![Some(reply(&said.to_string()))]));
    let or_null = |sort: &str| json!({"type": [sort, "null"]});
    let schema = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string"}, "mail": or_null("string"), "day": or_null("string"),
            "seating": {"type": ["string", "null"], "enum": ["inside", "terrace", null]},
            "allergies": {"type": "array", "items": {"type": "string"}},
        },
    });
    let call = json!({
        "model": "auto",
        "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": format!("Mail: {text}")}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "booking", "schema": schema}},
    });
    let got = world.chat(call).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    got.header("x-request-id").unwrap().to_owned()
}

fn kept(world: &World) -> Vec<CapturedRow> {
    world.gateway.settle_captures();
    world.store.captured().rows(&"tickets".into(), 0).map(Result::unwrap).collect()
}

const TEXT: &str = "Hello, a table on 24/12/2026. Ada HOLM, ada@example.org";

#[tokio::test]
async fn a_record_is_kept_as_its_redacted_text_has_it() {
    let world = world(KEEPING);
    let said = json!({"name": "ada  holm", "mail": "ada@example.org", "day": "24.12.2026", "seating": null});
    sent(&world, TEXT, &said).await;
    let [kept] = &kept(&world)[..] else { panic!("one request, one row") };
    assert!(kept.row.text.ends_with("Ada HOLM, [email]"), "{}", kept.row.text);
    let large = record(&json!({"name": "Ada HOLM", "mail": "[email]", "day": "2026-12-24"}));
    assert_eq!(kept.row.large, Some(large));
}

#[tokio::test]
async fn a_record_said_to_be_right_is_kept_beside_its_text_and_goes_with_it() {
    let world = world(KEEPING);
    let id = sent(&world, TEXT, &json!({"name": "Ada"})).await;
    let say = |body: Value| world.send(request("/v1/feedback", &[], body));
    for (said, part) in [
        (json!({"name": "Ada", "dya": "1/2/2026"}), "`dya` is not one of this task's fields"),
        (json!({"day": "1/2/2026"}), "the required field `name` is missing"),
        (json!("Ada"), "not an object with the fields of `tickets`"),
    ] {
        let got = say(json!({"request_id": id, "demonstration": said})).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{}", got.text);
        assert!(got.text.contains(part) && got.text.contains("demonstration"), "{}", got.text);
    }
    let got = say(json!({"request_id": id, "label": "refund"})).await;
    assert!(got.status == StatusCode::BAD_REQUEST && got.text.contains("as `demonstration`"), "{}", got.text);

    let right = json!({"name": "ada holm", "mail": "ada@example.org", "day": "24/12/2026"});
    let body = json!({"request_id": id, "demonstration": right, "thumbs": "down"});
    assert_eq!(say(body).await.status, StatusCode::OK);
    let body = json!({"request_id": id, "demonstration": {"name": "Grace"}});
    assert_eq!(say(body).await.status, StatusCode::OK, "of several the last counts");
    let said = |world: &World| world.store.feedback().of_request(&id.as_str().into()).unwrap();
    let first = record(&json!({"name": "Ada HOLM", "mail": "[email]", "day": "2026-12-24"}));
    assert_eq!(said(&world)[0].label, Some(first));
    let [kept] = &kept(&world)[..] else { panic!("one request, one row") };
    let labels = world.store.captured().labels(&"tickets".into()).unwrap();
    assert_eq!(labels.get(&kept.hash), Some(&record(&json!({"name": "Grace"}))));

    world.store.captured().forget_all(&"tickets".into()).unwrap();
    let left = said(&world);
    assert_eq!((left.len(), &left[0].label, left[0].thumb.is_some()), (1, &None, true), "{left:?}");
}

#[tokio::test]
async fn where_texts_are_not_kept_no_record_is_either_and_the_client_is_told() {
    let world = world("");
    let id = sent(&world, TEXT, &json!({"name": "Ada"})).await;
    let body = json!({"request_id": id, "demonstration": {"name": "Ada HOLM"}});
    let got = world.send(request("/v1/feedback", &[], body)).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text.contains("kept only beside its text") && got.text.contains("[capture]"), "{}", got.text);
    let thumbs = json!({"request_id": id, "thumbs": "up"});
    assert_eq!(world.send(request("/v1/feedback", &[], thumbs)).await.status, StatusCode::OK);
}

fn task(world: &World) -> Task {
    world.gateway.current().deployed().tasks["tickets"].task().clone()
}

#[tokio::test]
async fn a_person_fills_in_a_record_and_is_told_beside_the_field_what_is_wrong() {
    let world = world("");
    let row = NewReview {
        task: "tickets".into(),
        text: "Ada HOLM on 24/12/2026, outside".to_owned(),
        small: Some(record(&json!({"name": "Ada", "seating": "terrace", "allergies": ["milk", "nuts"]}))),
        large: None,
        confidence: Some(Confidence::new(0.6)),
        reason: Reason::Unsure,
        propensity: 1.0,
        priority: 0.0,
        request: None,
    };
    world.store.review().add(vec![row], 5).unwrap();
    let id = world.store.review().next(&"tickets".into(), 1).unwrap()[0].id;
    let page = look(&world, "/review/tickets").await.text;
    for part in [
        "What does the text say?",
        "name=\"field.name\" value=\"Ada\"",
        "value=\"milk | nuts\"",
        "<option selected>terrace</option>",
        "a day, such as 2026-11-21",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let label = || world.store.review().row(id).unwrap().unwrap().label;
    for (form, wrong) in [
        ("field.name=Ada&field.day=soon", "“soon” is not a day, such as 2026-11-21."),
        ("field.name=+&field.day=", "A record needs it."),
        ("field.name=Ada&field.seating=roof", "“roof” is not"),
    ] {
        let got = post(&world, "/review/tickets", &OURS, &format!("row={id}&{form}")).await;
        assert_eq!(got.status, StatusCode::OK);
        assert!(got.text.contains(wrong) && got.text.contains("aria-invalid"), "{wrong}: {}", got.text);
        assert_eq!(label(), None);
    }
    let form = "field.name=ada+holm&field.day=24/12/2026&field.seating=&field.allergies=nuts+|+milk&by=Ada";
    let got = post(&world, "/review/tickets", &OURS, &format!("row={id}&{form}")).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.text);
    let right = record(&json!({"name": "Ada HOLM", "day": "2026-12-24", "allergies": ["milk", "nuts"]}));
    let kept = label().unwrap().answer;
    assert_eq!(kept, right);
    assert!(task(&world).admits(&kept));
}
