//! How the numbers of the page were made.

use sprat_task::Risk;

use crate::evidence::Evidence;

/// One line a method whose numbers stand on the page, with its source.
pub fn methods(evidence: &Evidence) -> Vec<&'static str> {
    let mut methods = vec![match evidence.certificate.risk {
        Risk::Selective => {
            "Certificate: thresholds from training rows answered out of fold, tested on fresh rows by exact binomial tests in \
             a fixed sequence from several starts (Angelopoulos et al. 2021, Learn then Test; Laufer-Goldshtein et al. \
             2023, Pareto testing)."
        }
        Risk::Joint => {
            "Certificate: exact binomial tests of the joint error on fresh rows; several rungs by Pareto testing (Bates et \
             al. 2021; Laufer-Goldshtein et al. 2023)."
        }
    }];
    methods.extend([
        "Looks: look k may spend 6δ/(π²k²), so that all looks together stay within δ.",
        "Upper bound and interval of the certificate: Clopper & Pearson 1934.",
        "Confidence: a logistic regression on what a model says of its own answer, fitted out of fold (Platt 1999).",
        "Near-duplicates: MinHash with verified Jaccard similarity of at least 0.8 (Broder 1997).",
    ]);
    let plots = &evidence.plots;
    let optional = [
        (
            evidence.quality.is_some(),
            "Quality against all-large: score interval for paired proportions (Tango 1998).",
        ),
        (!plots.risk_coverage.is_empty(), "Risk against coverage: El-Yaniv & Wiener 2010."),
        (
            !plots.reliability.is_empty(),
            "Reliability: up to ten bins with about equally many answers; expected calibration error as in Naeini et al. 2015.",
        ),
        (
            !plots.learning_curve.is_empty() || !plots.reliability.is_empty(),
            "Whiskers in plots: 95% intervals of Wilson 1927, each point by itself.",
        ),
        (
            evidence.out_of_scope.is_some(),
            "Area under the ROC curve: Mann & Whitney 1947, ties counted half.",
        ),
    ];
    methods.extend(optional.into_iter().filter(|(is_shown, _)| *is_shown).map(|(_, method)| method));
    methods.push("Latency: one input at a time, as in serving; median and 99th percentile.");
    methods
}
