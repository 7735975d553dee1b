//! Do all kernels that this processor runs compute the same, however a model's numbers are stored? Each set in a process of its
//! own, as a process computes with one.

use std::path::{Path, PathBuf};
use std::process::Command;

use sprat_kernels::Kernels;

use super::Llama;
use super::processor::{self, CHOICE};
use super::smaller::quantize;
use super::tests::load;
use crate::quantize::Quantization;
use crate::tiny::Tiny;
use crate::work::{Network, Piece, Token};

/// Rows of whole blocks of 256, and widths that kernels take eight and sixteen rows of at a time.
const SHAPE: Tiny =
    Tiny { blocks: 2, width: 256, heads: 4, kv_heads: 2, inside: 512, context: 512, vocabulary: 512 };
/// Where a process finds its models, and leaves what they say.
const FOLDER: &str = "SPRAT_TEST_KERNELS";
/// Tokens: more than kernels take at a time, and not a multiple of it.
const TOKENS: u32 = 45;
/// How far logits may be apart, whose own spread is about 1: kernels that round what is multiplied to 8 bits in blocks of another
/// size are apart by what that rounding costs, here or there. A kernel that is wrong is apart by as much as they spread.
const TOLERANCE: f32 = 0.1;
/// And on the average.
const MEAN_TOLERANCE: f32 = 0.01;

fn stored() -> impl Iterator<Item = String> {
    Quantization::ALL.map(|to| to.name().to_owned()).into_iter().chain(["f32".to_owned()])
}

/// What a model says after each of some tokens, read together, and after one more, read alone.
fn said(file: PathBuf) -> Vec<f32> {
    let (mut llama, loaded) = Llama::load(&load(file)).unwrap();
    assert_eq!(loaded.kernels, std::env::var(CHOICE).unwrap());
    let piece = |position: u32| Piece {
        token: Token::try_from(260 + position * 7 % 30).unwrap(),
        position,
        sequences: vec![0],
        wanted: true,
    };
    let mut said = Vec::new();
    let together: Vec<Piece> = (0..TOKENS).map(piece).collect();
    llama.compute(&together, None, &mut |_, logits| said.extend_from_slice(logits)).unwrap();
    llama.compute(&[piece(TOKENS)], None, &mut |_, logits| said.extend_from_slice(logits)).unwrap();
    said
}

#[test]
#[ignore = "is run by the test below, once with each set of kernels"]
fn one_set_of_kernels() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    for name in stored() {
        let said: Vec<u8> = said(folder.join(&name)).iter().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{name}.said")), said).unwrap();
    }
}

fn run(kernels: &str, folder: &Path) -> Vec<Vec<f32>> {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "llama::alike::one_set_of_kernels", "--ignored", "--test-threads", "1"])
        .env(CHOICE, kernels)
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{kernels}: {said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let numbers = |name: String| {
        let bytes = std::fs::read(folder.join(format!("{name}.said"))).unwrap();
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    stored().map(numbers).collect()
}

#[test]
fn every_set_of_kernels_says_what_the_common_one_says() {
    let folder = tempfile::tempdir().unwrap();
    SHAPE.write(&folder.path().join("f32"), 5).unwrap();
    for to in Quantization::ALL {
        let smaller = quantize(&folder.path().join("f32"), to, None).unwrap();
        std::fs::rename(smaller, folder.path().join(to.name())).unwrap();
    }
    let mut here = Kernels::here();
    let common = here.pop().unwrap();
    println!("{common} and {here:?}");
    let expected = run(common.name(), folder.path());
    for kernels in here {
        for ((name, found), expected) in stored().zip(run(kernels.name(), folder.path())).zip(&expected) {
            assert_eq!((found.len(), expected.len()), (46 * 512, 46 * 512));
            let apart: Vec<f32> = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).collect();
            let most = apart.iter().copied().fold(0.0, f32::max);
            let mean = apart.iter().sum::<f32>() / apart.len() as f32;
            println!("{kernels}, {name}: {most}, {mean} on the average");
            assert!(most < TOLERANCE && mean < MEAN_TOLERANCE, "{kernels}, {name}: {most}, {mean}");
        }
    }
}

/// Where the compiler knows the newest instructions, as Debian 12's does.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn the_fastest_kernels_that_this_processor_runs_are_used() {
    let here: Vec<&str> = Kernels::here().iter().map(|kernels| kernels.name()).collect();
    assert_eq!(here.last(), Some(&"avx2"));
    let has_avx512 = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw");
    assert!(!has_avx512 || here[0] == "avx512_vnni" || here[0] == "amx", "{here:?}");
    assert!(!is_x86_feature_detected!("avxvnni") || here.contains(&"avx_vnni"), "{here:?}");
}

#[test]
fn kernels_that_this_processor_does_not_run_are_refused_with_those_it_does() {
    let refused = processor::named("abacus").unwrap_err();
    assert!(
        refused.starts_with("SPRAT_KERNELS asks for kernels `abacus`, and this processor runs "),
        "{refused}"
    );
    assert!(refused.contains(Kernels::here()[0].name()), "{refused}");
    assert_eq!(processor::named("").unwrap(), Kernels::here()[0]);
}
