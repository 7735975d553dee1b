use sprat_store::{TeacherAnswer, TeacherKey};
use sprat_task::{Money, Provenance, Sha256Hex, Tokens, Usage};

use super::Backend;
use crate::samples::{hashes, label};

fn key(prompt: &str) -> TeacherKey {
    TeacherKey { model: "large".into(), prompt: Sha256Hex::of(prompt.as_bytes()) }
}

fn bought(answer: Option<&str>) -> TeacherAnswer {
    let tokens = Tokens { input: 90, cached_input: 0, cache_write: 0, output: 3 };
    TeacherAnswer {
        answer: answer.map(label),
        usage: Usage { tokens: Some(tokens), cost: Some(Money::from_micro(17)) },
        latency_us: 640_000,
        provenance: Provenance::Recorded,
        time_unix_ms: 9,
    }
}

pub fn what_was_bought_is_found_in_order(backend: &dyn Backend) {
    let store = backend.open();
    let inputs = hashes(0..4);
    let unusable = TeacherAnswer { usage: Usage::UNKNOWN, ..bought(None) };
    store
        .teacher()
        .put_many(
            &key("p"),
            vec![
                (inputs[2].clone(), bought(Some("refund"))),
                (inputs[0].clone(), bought(Some("billing"))),
                (inputs[3].clone(), unusable.clone()),
            ],
        )
        .unwrap();
    drop(store);
    let store = backend.open();
    assert_eq!(
        store.teacher().get_many(&key("p"), &inputs).unwrap(),
        [Some(bought(Some("billing"))), None, Some(bought(Some("refund"))), Some(unusable)]
    );
    assert_eq!(store.teacher().count(&key("p")).unwrap(), 3);
}

pub fn the_first_answer_stays_unless_there_was_none(backend: &dyn Backend) {
    let store = backend.open();
    let input = hashes(0..1);
    for (answer, kept) in [(None, None), (Some("refund"), Some("refund")), (Some("billing"), Some("refund"))]
    {
        store.teacher().put_many(&key("p"), vec![(input[0].clone(), bought(answer))]).unwrap();
        assert_eq!(store.teacher().get_many(&key("p"), &input).unwrap(), [Some(bought(kept))]);
    }
}

pub fn another_prompt_is_another_answer(backend: &dyn Backend) {
    let store = backend.open();
    let input = hashes(0..1);
    store.teacher().put_many(&key("p"), vec![(input[0].clone(), bought(Some("refund")))]).unwrap();
    assert_eq!(store.teacher().get_many(&key("q"), &input).unwrap(), [None]);
    let other_model = TeacherKey { model: "larger".into(), ..key("p") };
    assert_eq!(store.teacher().get_many(&other_model, &input).unwrap(), [None]);
}
