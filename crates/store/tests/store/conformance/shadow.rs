use sprat_store::{ShadowHour, ShadowSums};

use super::Backend;
use crate::samples::{id, tickets};

fn seen(requests: u64) -> ShadowSums {
    ShadowSums {
        requests,
        would_answer: requests / 2,
        compared: requests / 4,
        agreed: requests / 8,
        all_compared: requests - 1,
        all_agreed: 1,
        skipped: 3,
    }
}

pub fn what_a_release_saw_is_summed_over_hours(backend: &dyn Backend) {
    let store = backend.open();
    let hour = |version, hour, requests| ShadowHour { release: id(version), hour, sums: seen(requests) };
    store.shadow().add(&[hour(2, 10, 80), hour(3, 10, 8)]).unwrap();
    store.shadow().add(&[hour(2, 10, 16), hour(2, 11, 160)]).unwrap();
    store.shadow().add(&[]).unwrap();
    drop(store);
    let store = backend.open();
    let two = seen(80).plus(seen(16)).plus(seen(160));
    assert_eq!((two.requests, two.would_answer, two.skipped), (256, 128, 9));
    assert_eq!(store.shadow().of_task(&tickets()).unwrap(), [(id(3), seen(8)), (id(2), two)]);
    assert_eq!(store.shadow().of(&id(2)).unwrap(), two);
    assert_eq!((two.coverage(), two.agreement()), (Some(0.5), Some(0.5)));
    assert_eq!(store.shadow().of_task(&"other".into()).unwrap(), []);
}

pub fn nothing_seen_is_no_share(backend: &dyn Backend) {
    let nothing = backend.open().shadow().of(&id(1)).unwrap();
    assert_eq!(nothing, ShadowSums::default());
    assert_eq!((nothing.coverage(), nothing.agreement(), nothing.agreement_of_all()), (None, None, None));
}
