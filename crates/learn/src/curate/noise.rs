//! Which labels look wrong, to be looked at by a person: never deleted by itself.

/// A row whose label looks wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspicion {
    /// The row's position.
    pub row: usize,
    /// The class it is labelled as.
    pub given: usize,
    /// The class it looks like.
    pub suggested: usize,
    /// Probability of the given class minus that of the suggested one; the lower, the more suspicious.
    pub margin: f32,
}

/// Rows whose label looks wrong, the most suspicious first (Northcutt, Jiang & Chuang 2021, "Confident learning",
/// arXiv 1911.00068: the off-diagonal of the confident joint, ranked by normalised margin).
///
/// `probabilities` has a row a row and a column a class, made by models that did not see the row; `labels` the class
/// each row is labelled as. A row is suspicious when it is confidently another class: its probability of that class is
/// at least the mean that rows labelled so have. Rows whose label is not a column, or that lack probabilities, are
/// passed over.
pub fn suspicious_labels(probabilities: &[Vec<f32>], labels: &[usize]) -> Vec<Suspicion> {
    let classes = probabilities.iter().map(Vec::len).max().unwrap_or(0);
    let usual = usual_confidence(probabilities, labels, classes);
    let mut suspicions: Vec<Suspicion> = probabilities
        .iter()
        .zip(labels)
        .enumerate()
        .filter_map(|(row, (probabilities, given))| {
            let own = *probabilities.get(*given)?;
            let confident = probabilities.iter().enumerate().filter(|(class, probability)| {
                usual[*class].is_some_and(|usual| f64::from(**probability) >= usual)
            });
            let (suggested, likeliest) = confident.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
            (suggested != *given && *likeliest > own).then_some(Suspicion {
                row,
                given: *given,
                suggested,
                margin: own - likeliest,
            })
        })
        .collect();
    suspicions.sort_by(|one, other| one.margin.total_cmp(&other.margin).then(one.row.cmp(&other.row)));
    suspicions
}

/// The mean probability of a class among the rows labelled so; `None` for a class without rows.
fn usual_confidence(probabilities: &[Vec<f32>], labels: &[usize], classes: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u32); classes];
    for (probabilities, label) in probabilities.iter().zip(labels) {
        if let (Some(probability), Some((sum, rows))) = (probabilities.get(*label), sums.get_mut(*label)) {
            *sum += f64::from(*probability);
            *rows += 1;
        }
    }
    sums.into_iter().map(|(sum, rows)| (rows > 0).then(|| sum / f64::from(rows))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_surely_another_class_is_suspicious_and_an_unsure_one_is_not() {
        let probabilities = vec![
            vec![0.9, 0.1],
            vec![0.8, 0.2],
            vec![0.05, 0.95], // labelled 0, surely 1
            vec![0.45, 0.55], // labelled 0, a little more 1: not as sure as 1s are
            vec![0.2, 0.8],
            vec![0.1, 0.9],
        ];
        let found = suspicious_labels(&probabilities, &[0, 0, 0, 0, 1, 1]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].row, found[0].given, found[0].suggested), (2, 0, 1));
        assert!((found[0].margin + 0.9).abs() < 1e-6);
    }

    #[test]
    fn permuting_the_classes_changes_nothing_but_their_numbers() {
        let probabilities =
            vec![vec![0.1, 0.2, 0.7], vec![0.6, 0.3, 0.1], vec![0.2, 0.7, 0.1], vec![0.1, 0.8, 0.1]];
        let labels = [0, 0, 1, 1];
        let turned: Vec<Vec<f32>> = probabilities.iter().map(|p| vec![p[2], p[0], p[1]]).collect();
        let turned_labels = labels.map(|label| (label + 1) % 3);
        let rows = |found: Vec<Suspicion>| found.iter().map(|s| (s.row, s.margin)).collect::<Vec<_>>();
        assert_eq!(
            rows(suspicious_labels(&probabilities, &labels)),
            rows(suspicious_labels(&turned, &turned_labels))
        );
    }

    #[test]
    fn missing_probabilities_and_strange_numbers_are_no_suspicion() {
        assert!(suspicious_labels(&[], &[]).is_empty());
        assert!(suspicious_labels(&[vec![], vec![f32::NAN, 0.5]], &[0, 7]).is_empty());
    }
}
