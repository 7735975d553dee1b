use sprat_task::{Answer, LabelledRow, Source, Task, read_task};

use super::*;

fn task() -> Task {
    let text = "kind = \"classify\"\nlabels = [\"card_arrival\", \"refund\"]\n";
    read_task("bank", &Source::new("bank.toml", text), |_| Err("no file".into())).expect("a task")
}

fn curated(rows: &[(&str, &str)]) -> Curated {
    let rows = rows.iter().enumerate().map(|(number, (text, label))| LabelledRow {
        line: number as u64 + 2,
        ..LabelledRow::gold(*text, Answer::label(*label))
    });
    curate(rows.collect(), &task())
}

const LONG: &str =
    "I ordered a new card more than two weeks ago and it has still not come, can you tell me where it is";

#[test]
fn the_same_text_in_another_case_or_spacing_is_one_cluster() {
    let curated = curated(&[
        ("Where is my card?", "card_arrival"),
        ("other", "refund"),
        ("where is  my CARD?", "card_arrival"),
    ]);
    assert_eq!(curated.cluster, [0, 1, 0]);
    assert_eq!((curated.exact_duplicates, curated.near_duplicate_clusters), (1, 0));
    assert!(is_same_text("a\tb", "A b") && !is_same_text("a b", "ab"));
}

#[test]
fn texts_that_differ_in_a_letter_are_one_cluster_and_nothing_is_deleted() {
    let changed = LONG.replace("weeks", "week");
    let curated =
        curated(&[(LONG, "card_arrival"), (&changed, "card_arrival"), ("I want my money back", "refund")]);
    assert_eq!(curated.cluster, [0, 0, 1]);
    assert_eq!((curated.rows.len(), curated.near_duplicate_clusters), (3, 1));
}

#[test]
fn a_text_with_two_labels_is_reported_and_the_commonest_label_teaches() {
    let curated = curated(&[
        ("Money back!", "refund"),
        ("money back!", "card_arrival"),
        ("MONEY BACK!", "card_arrival"),
        ("tie", "refund"),
        ("tie", "card_arrival"),
    ]);
    assert_eq!(curated.outvoted, [true, false, false, false, true]);
    let labels: Vec<(String, Vec<u64>)> =
        curated.conflicts[0].labels.iter().map(|(answer, lines)| (answer.to_line(), lines.clone())).collect();
    assert_eq!(labels, [("card_arrival".to_owned(), vec![3, 4]), ("refund".to_owned(), vec![2])]);
    assert_eq!(curated.conflicts.len(), 2);
    assert_eq!(
        curated.notices[0],
        "2 texts stand there with different labels, such as \"Money back!\" with `card_arrival` (line 3) and `refund` \
         (line 2); the commonest is learned"
    );
}

#[test]
fn no_rows_are_no_trouble() {
    let curated = curated(&[]);
    assert!(curated.cluster.is_empty() && curated.notices.is_empty());
}

#[test]
fn clusters_are_the_same_in_any_order() {
    let texts: Vec<String> = (0..200)
        .map(|number| format!("{LONG}, my number is {} and my town is town {}", number / 4, number % 4))
        .collect();
    let cluster_sets = |order: &[usize]| {
        let rows: Vec<(&str, &str)> = order.iter().map(|at| (texts[*at].as_str(), "refund")).collect();
        let curated = curated(&rows);
        let mut sets: HashMap<u32, Vec<usize>> = HashMap::new();
        curated
            .cluster
            .iter()
            .zip(order)
            .for_each(|(cluster, at)| sets.entry(*cluster).or_default().push(*at));
        let mut sets: Vec<Vec<usize>> = sets.into_values().collect();
        sets.iter_mut().for_each(|set| set.sort_unstable());
        sets.sort();
        sets
    };
    let forwards: Vec<usize> = (0..200).collect();
    let backwards: Vec<usize> = (0..200).rev().collect();
    assert_eq!(cluster_sets(&forwards), cluster_sets(&backwards));
}

#[test]
fn a_test_text_that_was_trained_on_is_found_and_so_are_label_words() {
    let changed = LONG.to_uppercase().replace("TWO", "too");
    let found = leaks::near_duplicates_across(&["other", LONG], &["fresh", &changed, "OTHER"]);
    assert_eq!(found, [(1, 1), (0, 2)]);
    let rows = [
        LabelledRow::gold("The ARRIVAL of my card", Answer::label("card_arrival")),
        LabelledRow::gold("my card", Answer::label("card_arrival")),
        LabelledRow::unlabelled("refund"),
    ];
    assert_eq!(leaks::rows_with_their_label_in_the_text(&rows, &task()), Some(0.5));
    assert_eq!(leaks::rows_with_their_label_in_the_text(&rows[2..], &task()), None);
}
