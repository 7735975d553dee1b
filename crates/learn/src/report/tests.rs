use sprat_task::{Certificate, Guarantee, Label, Money, Provenance, Risk, Status};

use super::html;
use crate::evidence::{Confusion, Evidence, LabelEvidence, LadderEvidence, OutOfScope, Plots, RowCounts};

/// Made up: three rungs, two certificates, every part there.
fn example() -> Evidence {
    serde_json::from_str(include_str!("example.json")).expect("the example is evidence")
}

/// As little as there can be: every part that may be missing is.
fn bare() -> Evidence {
    let full = example();
    Evidence {
        release: None,
        rows: RowCounts::default(),
        notices: Vec::new(),
        rungs: Vec::new(),
        ladder: LadderEvidence::default(),
        certificate: Certificate {
            status: Status::None,
            n: 0,
            accepted: 0,
            bad: 0,
            bound: None,
            selective_interval: None,
            binding: Default::default(),
            ..full.certificate
        },
        other_certificates: Vec::new(),
        large_provenance: None,
        savings: None,
        quality: None,
        out_of_scope: None,
        plots: Plots::default(),
        next: String::new(),
        ..full
    }
}

fn page(evidence: &Evidence) -> String {
    html(evidence).expect("a page")
}

/// What a reader sees: the page without its head and its tags, a line for each piece of text.
fn text_of(page: &str) -> String {
    let body = page.split_once("<body>").expect("a body").1;
    let mut lines = Vec::new();
    for piece in body.split('<') {
        let text = piece.split_once('>').map_or("", |(_, text)| text).trim();
        if !text.is_empty() {
            lines.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    lines
        .join("\n")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

fn says(evidence: &Evidence, words: &[&str]) {
    let text = text_of(&page(evidence));
    for words in words {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
}

#[test]
fn the_whole_report_reads_like_this() {
    insta::assert_snapshot!("example", text_of(&page(&example())));
}

#[test]
fn a_report_of_nothing_reads_like_this() {
    insta::assert_snapshot!("bare", text_of(&page(&bare())));
}

#[test]
fn texts_of_strangers_cannot_become_markup() {
    let evil = "</title></style><script>alert(1)</script>\" onload='x' \u{0}\u{202e}&amp; ﷽ 👩‍👧";
    let mut evidence = example();
    evidence.task = evil.into();
    evidence.next = evil.to_owned();
    evidence.notices = vec![evil.to_owned()];
    evidence.certificate.note = Some(evil.to_owned());
    evidence.rungs[0].model = evil.into();
    evidence.rungs[0].kind = evil.to_owned();
    evidence.plots.labels[0].label = evil.into();
    evidence.out_of_scope.as_mut().expect("there").label = evil.into();
    let savings = evidence.savings.as_mut().expect("there");
    savings.prices = evil.to_owned();
    savings.cheapest_single = Some((evil.into(), Money::ZERO));
    evidence.plots.confusions = vec![Confusion {
        right: evil.to_owned(),
        given: evil.to_owned(),
        rows: 1,
        examples: vec![evil.to_owned()],
    }];
    let page = page(&evidence);
    assert!(!page.contains("<script") && !page.contains("onload='x'"), "{page}");
    assert_eq!(page.matches("<style>").count(), 1);
    assert_eq!(page.matches("</style>").count(), 1);
    assert_eq!(page.matches("</title></style>").count(), 0);
    assert!(!page.contains(['\u{0}', '\u{202e}']), "control characters are shown, not passed on");
    assert!(page.contains("alert(1)") && page.contains("[U+202E]") && page.contains("👩‍👧"), "nothing is lost");
    assert!(page.contains("&#38;amp;"), "an ampersand is one, too");
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    for page in [page(&example()), page(&bare())] {
        let lower = page.to_lowercase();
        for outside in
            ["http:", "https:", "//", "src=", "@import", "<link", "<script", "javascript:", "<iframe", "<img"]
        {
            assert!(!lower.contains(outside), "{outside}");
        }
        assert!(
            !lower.replace("url(#", "").contains("url("),
            "only parts of the page itself are referred to"
        );
        for tag in lower.split('<').filter_map(|piece| piece.split('>').next()) {
            let refused =
                |word: &str| word.starts_with("style=") || (word.starts_with("on") && word.contains("=\""));
            assert!(!tag.split_whitespace().any(refused), "the policy would refuse <{tag}>");
        }
        assert!(page.contains("default-src &#39;none&#39;; style-src &#39;sha256-"));
    }
}

#[test]
fn the_policy_knows_the_style_sheet_that_stands_in_the_page() {
    let page = page(&example());
    let style = page
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"))
        .expect("a style sheet")
        .0;
    assert!(page.contains(&super::policy::policy(style).replace('\'', "&#39;")), "{page}");
}

#[test]
fn every_drawing_has_a_title_a_description_and_its_numbers() {
    let page = page(&example());
    let drawings: Vec<&str> = page.split("<svg ").skip(1).collect();
    assert_eq!(drawings.len(), 4);
    for drawing in drawings {
        let (svg, after) = drawing.split_once("</svg>").expect("closed");
        assert!(
            svg.contains("role=\"img\" aria-labelledby=")
                && svg.contains("<title ")
                && svg.contains("<desc "),
            "{svg}"
        );
        let (details, table) = (after.find("<details"), after.find("<table"));
        assert!(details.is_some() && details < table, "its numbers follow in a table");
    }
}

#[test]
fn every_name_in_the_page_is_given_once_and_every_reference_is_met() {
    for page in [page(&example()), page(&bare())] {
        let mut ids: Vec<&str> = values_of(&page, " id=\"");
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id is given twice");
        let links = values_of(&page, "href=\"#");
        let spoken = values_of(&page, "aria-labelledby=\"").into_iter().flat_map(str::split_whitespace);
        for referred in links.into_iter().chain(spoken) {
            assert!(ids.contains(&referred), "#{referred} is nowhere");
        }
    }
}

fn values_of<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn tags_are_closed_in_the_order_they_were_opened() {
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
    for page in [page(&example()), page(&bare())] {
        let mut open = Vec::new();
        for piece in page.split('<').skip(1) {
            let tag = piece.split('>').next().expect("a tag");
            let name = tag.split_whitespace().next().expect("a name");
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "near {piece:?}"),
                None if tag.ends_with('/') || VOID.contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }
}

#[test]
fn what_is_not_measured_says_so_on_top_and_beside_its_figure() {
    let text = text_of(&page(&example()));
    assert_eq!(text.matches("authored:").count(), 1, "{text}");
    assert_eq!(text.matches("\nauthored\n").count(), 3, "{text}");
    let mut measured = example();
    measured.savings.as_mut().expect("there").provenance = Provenance::Measured;
    measured.quality.as_mut().expect("there").provenance = Provenance::Measured;
    measured.large_provenance = Some(Provenance::Measured);
    assert!(!text_of(&page(&measured)).contains("authored"));
}

#[test]
fn agreement_with_authored_answers_is_authored_even_without_a_single_label_of_people() {
    let mut evidence = example();
    evidence.certificate.guarantee = Guarantee::Agreement;
    evidence.other_certificates.clear();
    (evidence.savings, evidence.quality) = (None, None);
    let text = text_of(&page(&evidence));
    assert!(text.contains("authored:\nthe large model’s answers"), "{text}");
    assert_eq!(text.matches("\nauthored\n").count(), 4, "{text}");
    evidence.large_provenance = None;
    says(&evidence, &["unknown:\nwhere the large model’s answers come from is not noted"]);
}

#[test]
fn agreement_is_never_called_accuracy() {
    let mut evidence = example();
    evidence.certificate.guarantee = Guarantee::Agreement;
    evidence.other_certificates.clear();
    evidence.quality = None;
    evidence.out_of_scope = None;
    let text = text_of(&page(&evidence));
    assert!(!text.contains("ccuracy"), "{text}");
    for words in ["Selective agreement", "Joint disagreement", "differs from the large model’s answer"] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
}

#[test]
fn a_promise_that_is_not_certified_says_that_nothing_is_answered_small() {
    for (status, badge) in [
        (Status::Underpowered, "not certified: underpowered"),
        (Status::Infeasible, "not certified: infeasible"),
        (Status::Uneconomic, "not certified: uneconomic"),
        (Status::Stale, "not certified: stale"),
        (Status::Alarmed, "not certified: alarmed"),
        (Status::None, "not certified"),
    ] {
        let mut evidence = example();
        evidence.certificate.status = status;
        says(&evidence, &[badge, "No promise is made, so no small model answers"]);
    }
}

#[test]
fn a_joint_promise_speaks_of_all_requests_and_draws_its_own_limit() {
    let mut evidence = example();
    evidence.certificate.risk = Risk::Joint;
    says(
        &evidence,
        &["Of all requests, at most 5%", "max_error 5% of all", "It does not bound the share of bad answers"],
    );
}

#[test]
fn harm_is_not_drawn_on_a_plane_of_errors_against_gold() {
    let mut evidence = example();
    evidence.certificate.guarantee = Guarantee::Harm;
    says(&evidence, &["max_error is not drawn"]);
    assert!(!page(&evidence).contains(">max_error 5%<"));
}

#[test]
fn shares_of_nothing_are_unknown_and_not_zero() {
    let never = LabelEvidence {
        label: Label::from("never"),
        rows: 0,
        precision: 0.0,
        recall: 0.0,
        f1: 0.0,
        coverage: 0.0,
    };
    let row = &super::tables::labels(&[never])[0];
    assert_eq!(row.cells, ["0", "none right", "unknown", "unknown", "unknown"]);
    let nobody = OutOfScope {
        label: "other".into(),
        rows: 0,
        recall: 0.0,
        precision: 0.0,
        in_scope_accuracy: 0.9,
        auroc: 0.5,
    };
    let facts = super::tables::out_of_scope(&nobody, 100, &super::Terms::of(Guarantee::Gold));
    let unknown: Vec<&str> =
        facts.iter().filter(|(_, fact)| fact == "unknown").map(|(name, _)| name.as_str()).collect();
    assert_eq!(unknown, ["recall: of these, recognised", "area under the ROC curve of the reject score"]);
}

#[test]
fn a_ladder_that_costs_more_says_so() {
    let mut evidence = example();
    let savings = evidence.savings.as_mut().expect("there");
    savings.ladder_micro_usd = Money::from_micro(700_000);
    savings.share = -0.1438;
    says(&evidence, &["−$0.088", "−14.4%", "and cheaper than the ladder"]);
}

#[test]
fn quality_passes_fails_or_cannot_be_told() {
    for (interval, passes, verdict) in [
        ((-0.005, 0.01), true, "passed"),
        ((-0.05, -0.02), false, "failed"),
        ((-0.02, 0.01), false, "inconclusive"),
    ] {
        let mut evidence = example();
        let quality = evidence.quality.as_mut().expect("there");
        (quality.interval, quality.non_inferior) = (interval, passes);
        says(&evidence, &[&format!("margin 1 point; {verdict}")]);
    }
}

#[test]
fn a_hundred_labels_are_shown_in_two_parts() {
    let mut evidence = example();
    let label = evidence.plots.labels[0].clone();
    evidence.plots.labels = (0..100)
        .map(|number| LabelEvidence {
            label: Label::from(format!("l{number:03}")),
            f1: f64::from(number) / 100.0,
            ..label.clone()
        })
        .collect();
    says(&evidence, &["The other 70 labels", "l000", "l099"]);
}

#[test]
fn numbers_that_are_none_are_unknown_and_draw_nothing() {
    let mut evidence = example();
    let nan = f64::NAN;
    evidence.ladder = LadderEvidence {
        rows: 5,
        accuracy: nan,
        coverage: nan,
        selective_accuracy: Some(nan),
        joint_error: nan,
    };
    for point in &mut evidence.plots.risk_coverage {
        (point.coverage, point.risk) = (nan, f64::INFINITY);
    }
    for bin in &mut evidence.plots.reliability {
        (bin.confidence, bin.accuracy) = (nan, nan);
    }
    for point in &mut evidence.plots.learning_curve {
        (point.accuracy, point.interval) = (nan, (nan, nan));
    }
    evidence.plots.calibration_error = nan;
    let page = page(&evidence);
    assert!(!page.contains("NaN") && !page.contains("\"inf") && !page.contains(">inf"), "{page}");
}
