use std::fs::OpenOptions;

use super::*;

const NO_LIMIT: u64 = u64::MAX;

fn open(folder: &Path, applied: &HashMap<String, u64>) -> Spool {
    Spool::open(folder.to_owned(), SpoolSync::default(), NO_LIMIT, applied).unwrap()
}

/// Takes everything over and says what it was.
fn drain(spool: &Spool) -> Vec<String> {
    let mut taken = Vec::new();
    while let Some(batch) = spool.next_batch().unwrap() {
        taken.extend(batch.records.iter().map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()));
        spool.applied(&batch, batch.until).unwrap();
    }
    taken
}

fn only_segment(folder: &Path) -> PathBuf {
    let mut files = segment_files(folder).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[test]
fn records_come_out_once_and_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &HashMap::new());
    assert_eq!(spool.append(b"a").unwrap(), 1);
    assert_eq!(spool.append(b"b").unwrap(), 2);
    assert_eq!(spool.count_waiting().unwrap(), 2);
    assert_eq!(drain(&spool), ["a", "b"]);
    assert_eq!(spool.append(b"c").unwrap(), 1, "counted since the writer last looked");
    assert_eq!(drain(&spool), ["c"]);
    assert!(!spool.has_waiting());
    spool.close();
    assert!(segment_files(folder.path()).unwrap().is_empty(), "what is done with leaves nothing");
    assert_eq!(spool.append(b"d"), Err(StoreError::Closed));
}

#[test]
fn what_a_crash_left_goes_to_the_next_and_what_is_alive_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), &HashMap::new());
    first.append(b"a").unwrap();
    let second = open(folder.path(), &HashMap::new());
    assert_eq!(drain(&second), [] as [&str; 0], "the first still holds its segment");
    drop(first); // without closing, as a crash would
    let third = open(folder.path(), &HashMap::new());
    assert_eq!(drain(&third), ["a"]);
}

#[test]
fn a_segment_half_taken_over_goes_on_where_the_database_says() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = open(folder.path(), &HashMap::new());
    crashed.append(b"first").unwrap();
    let reached = crashed.next_batch().unwrap().unwrap();
    crashed.append(b"second").unwrap();
    drop(crashed);
    let next = open(folder.path(), &HashMap::from([(reached.segment, reached.until)]));
    assert_eq!(drain(&next), ["second"]);
}

#[test]
fn a_record_cut_off_by_a_crash_is_dropped_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = open(folder.path(), &HashMap::new());
    crashed.append(b"whole").unwrap();
    crashed.append(b"cut off").unwrap();
    drop(crashed);
    let path = only_segment(folder.path());
    let length = std::fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 3).unwrap();

    let next = open(folder.path(), &HashMap::new());
    let batch = next.next_batch().unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.end), (1, Some(End::Torn)));
    next.applied(&batch, batch.until).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_segment_with_bytes_changed_is_kept_for_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = open(folder.path(), &HashMap::new());
    crashed.append(b"whole").unwrap();
    crashed.append(b"changed").unwrap();
    drop(crashed);
    let path = only_segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let next = open(folder.path(), &HashMap::new());
    let batch = next.next_batch().unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.end), (1, Some(End::Damaged)));
    next.applied(&batch, batch.until).unwrap();
    assert!(next.next_batch().unwrap().is_none());
    assert!(!path.exists() && path.with_extension("damaged").exists());
}

#[test]
fn a_full_segment_is_followed_by_another_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &HashMap::new());
    let record = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        spool.append(&record).unwrap();
    }
    assert_eq!(segment_files(folder.path()).unwrap().len(), 2);
    assert_eq!(drain(&spool).len(), 20, "a record larger than a batch goes through too");
    assert_eq!(segment_files(folder.path()).unwrap().len(), 1, "the sealed one is done with");
}

#[test]
fn a_limit_refuses_what_is_too_much_and_leaves_the_rest_whole() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path().to_owned(), SpoolSync::EveryAppend, 30, &HashMap::new()).unwrap();
    spool.append(b"ten bytes!").unwrap();
    assert!(matches!(spool.append(b"ten bytes more"), Err(StoreError::Full { .. })));
    assert_eq!(drain(&spool), ["ten bytes!"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_stands_in_a_segment_its_whole_records_come_out_and_the_rest_is_told(
        records in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40), 0..6),
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let framed = records.iter().flat_map(|record| frame::frame(record).unwrap());
        std::fs::write(folder.path().join("00.spool1"), framed.chain(tail.clone()).collect::<Vec<u8>>()).unwrap();
        let spool = open(folder.path(), &HashMap::new());
        let (mut out, mut end) = (Vec::new(), None);
        while let Some(batch) = spool.next_batch().unwrap() {
            out.extend(batch.records.iter().map(|(_, bytes)| bytes.clone()));
            end = end.or(batch.end);
            spool.applied(&batch, batch.until).unwrap();
        }
        // Random bytes are a record once in four thousand million times.
        proptest::prop_assert_eq!(out, records);
        proptest::prop_assert_eq!(end.is_some(), !tail.is_empty());
    }
}
