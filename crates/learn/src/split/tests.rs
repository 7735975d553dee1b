use proptest::prelude::*;
use sprat_task::{Answer, LabelledRow, Source, Target, Task, read_task};

use super::*;
use crate::curate::curate;

fn task() -> Task {
    let text = "kind = \"classify\"\nlabels = [\"a\", \"b\"]\n";
    read_task("letters", &Source::new("letters.toml", text), |_| Err("no file".into())).expect("a task")
}

fn options(size: Size) -> SplitOptions {
    SplitOptions { seed: 7, size, ignore_time: false }
}

/// Texts that no two are alike.
fn text(number: usize) -> String {
    (0..6).map(|word| format!("{:x} ", mix((number * 6 + word) as u64))).collect()
}

fn rows(count: usize) -> Vec<LabelledRow> {
    (0..count)
        .map(|number| {
            let row = LabelledRow::gold(text(number), Answer::label(if number % 2 == 0 { "a" } else { "b" }));
            LabelledRow { line: number as u64 + 2, ..row }
        })
        .collect()
}

fn split_of(rows: Vec<LabelledRow>, size: Size) -> (Curated, Split) {
    let curated = curate(rows, &task());
    let split = split(&curated, &options(size));
    (curated, split)
}

/// Every row in exactly one list; no cluster and no session on both sides; one certification row a session.
fn check(curated: &Curated, split: &Split) {
    let mut all: Vec<usize> =
        split.train.iter().chain(&split.certification).chain(&split.left_out).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..curated.rows.len()).collect::<Vec<_>>());
    let clusters = |rows: &[usize]| rows.iter().map(|row| curated.cluster[*row]).collect::<HashSet<_>>();
    assert!(clusters(&split.train).is_disjoint(&clusters(&split.certification)));
    let sessions = |rows: &[usize]| -> Vec<String> {
        rows.iter().filter_map(|row| curated.rows[*row].session.clone()).collect()
    };
    let certified = sessions(&split.certification);
    let distinct: HashSet<&String> = certified.iter().collect();
    assert_eq!(distinct.len(), certified.len(), "one certification row a session");
    assert!(sessions(&split.train).iter().all(|session| !distinct.contains(session)));
}

#[test]
fn the_number_of_certification_rows_follows_the_target_between_20_and_40_percent() {
    let target = |max_error, risk| Target { max_error, risk, ..Target::default() };
    for (max_error, risk, rows, expected) in [
        (0.05, Risk::Joint, 2_000, 500),
        (0.02, Risk::Joint, 5_000, 1_500),
        (0.01, Risk::Joint, 10_000, 3_000),
        (0.05, Risk::Selective, 3_500, 1_000),
        (0.10, Risk::Selective, 100_000, 20_000),
        (0.01, Risk::Selective, 3_000, 1_200),
        (0.05, Risk::Selective, 3, 1),
        (0.05, Risk::Selective, 0, 0),
    ] {
        assert_eq!(certification_rows(&target(max_error, risk), rows), expected, "{max_error} {risk} {rows}");
    }
}

#[test]
fn as_many_rows_are_kept_as_asked_but_never_more_than_40_percent() {
    for (size, expected) in
        [(Size::Rows(50), 50), (Size::Share(0.3), 60), (Size::Share(0.9), 80), (Size::Rows(0), 0)]
    {
        let (curated, split) = split_of(rows(200), size);
        check(&curated, &split);
        assert_eq!(split.certification.len(), expected, "{size:?}");
    }
}

#[test]
fn the_latest_rows_certify_and_a_text_that_came_before_teaches() {
    let mut rows = rows(100);
    for (number, row) in rows.iter_mut().enumerate() {
        row.time_unix_ms = Some(number as i64 * 1000);
    }
    rows[99].input = rows[3].input.clone();
    rows[50].time_unix_ms = None;
    let (curated, split) = split_of(rows, Size::Rows(20));
    check(&curated, &split);
    assert!(split.by_time);
    assert_eq!(split.certification, (79..99).collect::<Vec<_>>());
    assert!(split.train.contains(&99) || split.left_out.contains(&99));
}

#[test]
fn times_that_are_all_the_same_or_often_missing_are_no_times() {
    let timed = |time: fn(usize) -> Option<i64>| {
        let mut rows = rows(100);
        rows.iter_mut().enumerate().for_each(|(number, row)| row.time_unix_ms = time(number));
        split_of(rows, Size::Rows(20)).1.by_time
    };
    assert!(!timed(|_| Some(5)));
    assert!(!timed(|number| (number % 10 != 0).then_some(number as i64)));
    assert!(timed(|number| (number % 50 != 0).then_some(number as i64)));
}

#[test]
fn a_session_certifies_with_one_row_and_the_rest_of_it_is_left_out() {
    let mut rows = rows(90);
    rows.iter_mut().enumerate().for_each(|(number, row)| row.session = Some(format!("s{}", number / 3)));
    let (curated, split) = split_of(rows, Size::Share(0.4));
    check(&curated, &split);
    assert_eq!((split.certification.len(), split.left_out.len(), split.train.len()), (12, 24, 54));
    assert!(split.by_session && split.notices.is_empty());
}

#[test]
fn a_greeting_that_all_sessions_share_does_not_join_them_into_one() {
    let mut rows = rows(300);
    for (number, row) in rows.iter_mut().enumerate() {
        row.session = Some(format!("s{}", number / 3));
        if number % 3 == 0 {
            row.input.text = "hello".into();
        }
    }
    let (curated, split) = split_of(rows, Size::Share(0.3));
    check(&curated, &split);
    assert_eq!(split.certification.len(), 30);
    assert!(split.train.len() >= 140, "{}", split.train.len());
    assert!(split.notices[0].contains("share texts"), "{:?}", split.notices);
}

#[test]
fn a_label_that_was_outvoted_does_not_teach_but_may_certify() {
    let rows =
        |text: &str| ["a", "b", "a"].map(|label| LabelledRow::gold(text, Answer::label(label))).to_vec();
    let all: Vec<LabelledRow> = (0..60).flat_map(|number| rows(&text(number))).collect();
    let (curated, split) = split_of(all, Size::Share(0.3));
    check(&curated, &split);
    let b = Some(&Answer::label("b")).cloned();
    assert!(split.train.iter().all(|row| curated.rows[*row].gold != b));
    assert_eq!(split.certification.iter().filter(|row| curated.rows[**row].gold == b).count(), 18);
}

#[test]
fn rows_without_a_label_are_for_neither() {
    let mut rows = rows(50);
    rows[4].gold = None;
    let (curated, split) = split_of(rows, Size::Share(0.3));
    check(&curated, &split);
    assert_eq!(split.left_out, [4]);
}

#[test]
fn rows_added_later_leave_the_draw_of_the_earlier_ones_nearly_as_it_was() {
    let (_, before) = split_of(rows(1000), Size::Share(0.3));
    let (_, after) = split_of(rows(1100), Size::Share(0.3));
    let before: HashSet<usize> = before.certification.into_iter().collect();
    let after: HashSet<usize> = after.certification.into_iter().filter(|row| *row < 1000).collect();
    // A fresh draw would change about 420 of the thousand; the border between the two moves by a few.
    assert!(before.symmetric_difference(&after).count() < 40);
}

#[test]
fn one_large_cluster_stays_in_training() {
    let mut rows = rows(100);
    rows.iter_mut().take(60).for_each(|row| row.input.text = "the same".into());
    let (curated, split) = split_of(rows, Size::Share(0.4));
    check(&curated, &split);
    assert_eq!(split.certification.len(), 40);
}

fn any_rows() -> impl Strategy<Value = Vec<LabelledRow>> {
    let row = (0..40_usize, prop::option::of(0..12_u8), prop::option::weighted(0.97, 0..50_i64), 0..10_u8);
    prop::collection::vec(row, 0..120).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(line, (number, session, time, label))| LabelledRow {
                session: session.map(|session| format!("s{session}")),
                time_unix_ms: time,
                gold: (label > 0).then(|| Answer::label(if label % 2 == 0 { "a" } else { "b" })),
                line: line as u64,
                ..LabelledRow::unlabelled(text(number))
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn no_cluster_or_session_is_on_both_sides_and_no_row_is_lost(rows in any_rows(), share in 0.0..0.6_f64) {
        let (curated, split) = split_of(rows, Size::Share(share));
        check(&curated, &split);
    }

    #[test]
    fn the_order_of_the_rows_decides_nothing(rows in any_rows(), turn in 0..120_usize) {
        let lines = |(curated, split): &(Curated, Split)| -> [HashSet<u64>; 2] {
            [&split.train, &split.certification].map(|list| list.iter().map(|row| curated.rows[*row].line).collect())
        };
        let folds_by_line = |(curated, split): &(Curated, Split)| -> HashMap<u64, u32> {
            let folds = folds(curated, &split.train, 5, 3);
            split.train.iter().map(|row| curated.rows[*row].line).zip(folds).collect()
        };
        let mut turned = rows.clone();
        if !turned.is_empty() {
            let middle = turn % turned.len();
            turned.rotate_left(middle);
        }
        let (one, other) = (split_of(rows, Size::Share(0.3)), split_of(turned, Size::Share(0.3)));
        // Conflicts are settled for the first of equals, so the order may decide which label of a text is learned.
        if one.0.conflicts.is_empty() {
            prop_assert_eq!(lines(&one), lines(&other));
            prop_assert_eq!(folds_by_line(&one), folds_by_line(&other));
        } else {
            prop_assert_eq!(&lines(&one)[1], &lines(&other)[1]);
        }
    }

    #[test]
    fn folds_keep_clusters_together(rows in any_rows(), k in 1..6_u32) {
        let (curated, split) = split_of(rows, Size::Share(0.2));
        let folds = folds(&curated, &split.train, k, 1);
        prop_assert!(folds.iter().all(|fold| *fold < k));
        let mut of_cluster: HashMap<u32, u32> = HashMap::new();
        if !split.by_session {
            for (row, fold) in split.train.iter().zip(&folds) {
                prop_assert_eq!(*of_cluster.entry(curated.cluster[*row]).or_insert(*fold), *fold);
            }
        }
    }
}

#[test]
fn folds_are_about_equally_large() {
    let curated = curate(rows(1003), &task());
    let train: Vec<usize> = (0..1003).collect();
    let folds = folds(&curated, &train, 5, 1);
    for fold in 0..5 {
        let size = folds.iter().filter(|other| **other == fold).count();
        assert!((200..=201).contains(&size), "{size}");
    }
}

#[test]
fn rows_that_stand_for_no_traffic_teach_and_never_certify() {
    let mut all = rows(200);
    for row in all.iter_mut().step_by(2) {
        row.only_teaches = true;
        row.session = Some(format!("s-{}", row.line / 4));
    }
    for time_unix_ms in [None, Some(0)] {
        let rows = all.iter().zip(0..).map(|(row, number)| LabelledRow {
            time_unix_ms: time_unix_ms.map(|begun| begun + number),
            ..row.clone()
        });
        let (curated, split) = split_of(rows.collect(), Size::Share(0.3));
        check(&curated, &split);
        assert_eq!(split.certification.len(), 30, "of the hundred that may");
        assert!(split.certification.iter().all(|row| !curated.rows[*row].only_teaches));
        assert!(split.train.iter().any(|row| curated.rows[*row].only_teaches));
    }
}
