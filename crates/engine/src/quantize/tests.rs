use super::*;
use crate::gguf::write::Stored;
use crate::gguf::write::write;

#[test]
fn a_quantization_is_read_as_it_is_written_and_in_capitals() {
    for known in Quantization::ALL {
        assert_eq!(known.to_string().parse::<Quantization>().unwrap(), known);
        assert_eq!(known.name().to_uppercase().parse::<Quantization>().unwrap(), known);
        let json = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Quantization>(&json).unwrap(), known);
    }
    assert_eq!("q3_k".parse::<Quantization>().unwrap_err(), "q8_0, q6_k, q5_k_m, q4_k_m, q4_0");
}

fn importance() -> Importance {
    let weighed = Weighed { sums: vec![2.0, 4.0, 0.0, 6.0, 0.0, 0.0], counts: vec![2.0, 3.0, 0.0] };
    Importance { tensors: [("blk.0.ffn_up_exps.weight".to_owned(), weighed)].into() }
}

#[test]
fn an_importance_matrix_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("importance.gguf");
    importance().write(&file, 7).unwrap();
    assert_eq!(Importance::open(&file).unwrap(), importance());
}

#[test]
fn an_expert_that_no_text_needed_has_no_opinion() {
    let means = importance().tensors["blk.0.ffn_up_exps.weight"].means();
    assert_eq!(means, [1.0, 2.0, 0.0, 2.0, 1.0, 1.0]);
}

#[test]
fn what_is_no_importance_matrix_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("importance.gguf");
    let sums = |sums: &[f32]| Stored::f32("a.weight.in_sum2", &[sums.len() as u64], sums);
    let counts = |counts: &[f32]| Stored::f32("a.weight.counts", &[1, counts.len() as u64], counts);
    for (kind, tensors, why) in [
        ("model", vec![sums(&[1.0]), counts(&[1.0])], "no importance matrix"),
        ("imatrix", vec![], "weighs no tensor"),
        ("imatrix", vec![sums(&[1.0])], "no counts"),
        ("imatrix", vec![sums(&[1.0, 2.0, 3.0]), counts(&[1.0, 1.0])], "don't fit together"),
        ("imatrix", vec![sums(&[f32::NAN]), counts(&[1.0])], "don't fit together"),
        ("imatrix", vec![sums(&[-1.0]), counts(&[1.0])], "don't fit together"),
    ] {
        let metadata = [("general.type".to_owned(), crate::gguf::Value::text(kind))];
        write(std::fs::File::create(&file).unwrap(), &metadata, &tensors).unwrap();
        let error = Importance::open(&file).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    std::fs::write(&file, b"GGUF").unwrap();
    Importance::open(&file).unwrap_err();
}
