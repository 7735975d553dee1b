use sprat_store::{Key, StoreError};
use sprat_task::{Allowance, Budget, KeySecret, Money, Period};

use super::Backend;

fn key(name: &str) -> Key {
    let budget = Budget { amount: Money::from_micro(20_000_000), per: Period::Day };
    Key {
        id: name.into(),
        shown: "sprat-12ab34".into(),
        digest: KeySecret::new([7; 32]).digest(name),
        allowance: Allowance {
            budget: Some(budget),
            requests_per_minute: Some(60),
            tasks: vec!["tickets".into()],
            ..Allowance::default()
        },
        created_unix_ms: 5,
        expires_unix_ms: Some(1_000),
        revoked_unix_ms: None,
    }
}

pub fn a_key_comes_back_as_it_was(backend: &dyn Backend) {
    let store = backend.open();
    for name in ["web", "batch"] {
        store.keys().add(&key(name)).unwrap();
    }
    assert_eq!(store.keys().all().unwrap(), [key("batch"), key("web")]);
    assert_eq!(store.keys().key(&"web".into()).unwrap(), key("web"));
    assert_eq!(store.keys().key(&"nobody".into()), Err(StoreError::NoKey("nobody".into())));
    assert!(key("web").is_good(999) && !key("web").is_good(1_000), "it expires");
}

pub fn a_name_is_never_given_twice(backend: &dyn Backend) {
    let store = backend.open();
    store.keys().add(&key("web")).unwrap();
    store.keys().revoke(&"web".into(), 9).unwrap();
    assert_eq!(store.keys().add(&key("web")), Err(StoreError::KeyExists("web".into())));
}

pub fn a_revoked_key_stays_revoked(backend: &dyn Backend) {
    let store = backend.open();
    store.keys().add(&key("web")).unwrap();
    let revoked = store.keys().revoke(&"web".into(), 9).unwrap();
    assert!(revoked.revoked_unix_ms == Some(9) && !revoked.is_good(10));
    assert_eq!(store.keys().revoke(&"web".into(), 12).unwrap().revoked_unix_ms, Some(9));
    let other = KeySecret::new([7; 32]).digest("other");
    let rotated = store.keys().rotate(&"web".into(), "sprat-ffffff", other).unwrap();
    assert_eq!((rotated.digest, rotated.shown.as_str()), (other, "sprat-ffffff"));
    assert_eq!(rotated.revoked_unix_ms, Some(9), "another secret doesn't bring it back");
}

pub fn the_key_generation_grows_with_every_change(backend: &dyn Backend) {
    let store = backend.open();
    let mut seen = vec![store.keys().generation().unwrap()];
    store.keys().add(&key("web")).unwrap();
    seen.push(store.keys().generation().unwrap());
    store.keys().rotate(&"web".into(), "sprat-ffffff", KeySecret::new([7; 32]).digest("o")).unwrap();
    seen.push(store.keys().generation().unwrap());
    store.keys().revoke(&"web".into(), 9).unwrap();
    seen.push(store.keys().generation().unwrap());
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
    assert_eq!(store.registry().generation().unwrap(), 0, "no ladder is loaded again for a key");
}
