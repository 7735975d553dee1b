use super::*;
use proptest::prelude::*;

const TEXTS: [&str; 6] = [
    "my card has not arrived yet",
    "I want my money back for the broken kettle",
    "the app crashes when I open settings",
    "money back please, the kettle is broken",
    "Where is my card? It was sent a week ago",
    "",
];

fn nearest(text: &str, k: usize) -> Vec<usize> {
    NeighbourIndex::build(&TEXTS).nearest(text, k).iter().map(|neighbour| neighbour.row).collect()
}

#[test]
fn the_nearest_texts_share_rare_words() {
    for (text, k, rows) in [
        ("the kettle broke, give me my money back", 2, &[3, 1][..]),
        ("card still not arrived", 1, &[0]),
        ("settings crash", 1, &[2]),
        ("MY CARD HAS NOT ARRIVED YET", 1, &[0]),
        ("", 3, &[]),
        ("kettle", 0, &[]),
        ("zzz qqq", 3, &[]),
    ] {
        assert_eq!(nearest(text, k), rows, "{text:?}");
    }
}

#[test]
fn a_misspelt_word_is_found_by_its_characters() {
    assert_eq!(nearest("aplication crahses in setings", 1), [2]);
}

#[test]
fn a_text_is_most_like_itself_also_when_it_is_long() {
    let texts: Vec<String> = (0..50_u64)
        .map(|row| {
            (0..800_u64).map(|word| format!("w{:x} ", (row * 800 + word) * 2_654_435_761 % 9_973)).collect()
        })
        .collect();
    let index = NeighbourIndex::build(&texts);
    for (row, text) in texts.iter().enumerate() {
        let first = index.nearest(text, 1)[0];
        assert_eq!(first.row, row);
        assert!((first.similarity - 1.0).abs() < 1e-5, "{}", first.similarity);
    }
}

#[test]
fn an_index_of_nothing_finds_nothing() {
    let index = NeighbourIndex::build::<&str>(&[]);
    assert!(index.is_empty());
    assert!(index.nearest("anything", 5).is_empty());
}

#[test]
fn equally_similar_texts_come_in_the_order_of_their_rows() {
    let index = NeighbourIndex::build(&["same text", "other", "same text", "same text"]);
    let rows: Vec<usize> = index.nearest("same text", 2).iter().map(|neighbour| neighbour.row).collect();
    assert_eq!(rows, [0, 2]);
}

proptest! {
    #[test]
    fn any_texts_give_ordered_similarities_between_0_and_1(
        texts in prop::collection::vec("\\PC{0,30}", 0..12),
        asked in "\\PC{0,30}",
        k in 0_usize..15,
    ) {
        let found = NeighbourIndex::build(&texts).nearest(&asked, k);
        prop_assert!(found.len() <= k.min(texts.len()));
        prop_assert!(found.iter().all(|one| one.similarity > 0.0 && one.similarity <= 1.0));
        prop_assert!(found.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    }

    #[test]
    fn one_thread_or_several_find_the_same(texts in prop::collection::vec("[a-e ]{0,20}", 1..40)) {
        let ask = || -> Vec<(usize, u32)> {
            let found = NeighbourIndex::build(&texts).nearest(&texts[0], 10);
            found.iter().map(|one| (one.row, one.similarity.to_bits())).collect()
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
        let four = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("a pool");
        prop_assert_eq!(one.install(ask), four.install(ask));
    }
}
