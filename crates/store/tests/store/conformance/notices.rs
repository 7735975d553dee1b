use serde_json::json;
use sprat_store::{Level, NewNotice};

use super::Backend;
use crate::samples::tickets;

fn notice(number: i64) -> NewNotice {
    NewNotice {
        time_unix_ms: number,
        task: (number % 2 == 0).then(tickets),
        kind: "stepped-back".to_owned(),
        level: Level::Alarm,
        text: format!("notice {number}"),
        json: json!({"number": number}),
    }
}

pub fn a_notice_waits_until_it_is_sent(backend: &dyn Backend) {
    let store = backend.open();
    let notices = store.notices();
    let ids: Vec<i64> = (1..=4).map(|number| notices.add(&notice(number)).unwrap()).collect();
    notices.mark_sent(ids[1], 9).unwrap();
    notices.mark_failed(ids[2]).unwrap();
    notices.mark_failed(ids[2]).unwrap();
    let waiting: Vec<_> =
        notices.unsent(2, 10).unwrap().into_iter().map(|one| (one.id, one.attempts)).collect();
    assert_eq!(waiting, [(ids[2], 2), (ids[3], 0)], "the first is too old, the second was sent");
    assert_eq!(notices.unsent(0, 1).unwrap().len(), 1);
    let latest = notices.latest(3).unwrap();
    assert_eq!(latest.iter().map(|one| one.id).collect::<Vec<_>>(), [ids[3], ids[2], ids[1]]);
    assert_eq!((&latest[2].notice, latest[2].sent_unix_ms), (&notice(2), Some(9)));
    assert!(notices.mark_sent(99, 9).is_err(), "there is no such notice");
}
