//! The arrows between the crates are the architecture. This reads them from cargo and holds them to the design.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate of ours may depend on, of ours. The binary wires everything together.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("sprat-stats", &[]),
    ("sprat-task", &[]),
    ("sprat-wire", &[]),
    ("sprat-kernels", &[]),
    ("sprat-engine", &["sprat-kernels"]),
    ("sprat-cascade", &["sprat-stats", "sprat-task"]),
    ("sprat-models", &["sprat-engine", "sprat-task", "sprat-wire"]),
    ("sprat-store", &["sprat-task"]),
    ("sprat-gateway", &["sprat-cascade", "sprat-store", "sprat-task", "sprat-wire"]),
    (
        "sprat-learn",
        &["sprat-stats", "sprat-task", "sprat-wire", "sprat-cascade", "sprat-models", "sprat-store"],
    ),
];

/// Crates that only some of ours may use, and who.
const KEPT: [(&str, &[&str]); 5] = [
    ("rusqlite", &["sprat-store"]),                          // SQL only in the store
    ("llama-cpp-sys-2", &["sprat-engine", "sprat-kernels"]), // C++ that may abort runs in the engine's process
    ("axum", &["sprat-gateway"]),                            // HTTP is served only by the gateway
    ("reqwest", &["sprat-models"]),                          // and called only by the models
    ("clap", &["sprat"]),                                    // arguments are the binary's
];

/// What would let the pure crates do I/O, start a runtime or read a clock.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "tokio::",
    "std::thread",
];

/// Each of our crates with what it depends on, tests included.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let arguments =
        ["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path", manifest];
    let output = Command::new(cargo).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect())
        })
        .collect()
}

#[test]
fn the_crates_are_the_ten_of_the_map() {
    let found: BTreeSet<String> = dependencies().into_keys().collect();
    let designed: BTreeSet<String> =
        ALLOWED.iter().map(|(name, _)| (*name).to_owned()).chain(["sprat".to_owned()]).collect();
    assert_eq!(found, designed);
}

#[test]
fn no_arrow_between_the_crates_but_those_of_the_design() {
    let dependencies = dependencies();
    for (name, allowed) in ALLOWED {
        let ours = dependencies[name].iter().filter(|other| dependencies.contains_key(*other));
        let foreign: Vec<&String> = ours.filter(|other| !allowed.contains(&other.as_str())).collect();
        assert!(foreign.is_empty(), "{name} must not depend on {foreign:?}; it may on {allowed:?}");
    }
}

#[test]
fn what_is_one_crate_s_business_is_no_other_s() {
    for (library, owners) in KEPT {
        for (name, of_it) in dependencies() {
            assert!(
                owners.contains(&name.as_str()) || !of_it.contains(library),
                "{name} depends on {library}, the business of {owners:?}"
            );
        }
    }
}

#[test]
fn the_pure_crates_do_no_io_start_no_runtime_and_read_no_clock() {
    for name in ["stats", "task", "wire"] {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name).join("src");
        let mut looked_at = 0;
        for (file, text) in sources(&folder) {
            looked_at += 1;
            // What tests do is their own affair.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines {
                let impure = IMPURE.iter().find(|word| line.contains(*word));
                assert!(impure.is_none(), "{file}: {impure:?} in `{}`", line.trim());
            }
        }
        assert!(looked_at > 3, "no sources in {}", folder.display());
    }
}

/// The files of a crate that are not tests, with their text.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["tests", "simulations"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found
}
