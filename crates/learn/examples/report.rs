//! Writes the HTML report of some evidence, to look at a change of the page without learning anything:
//!
//! `cargo run -p sprat-learn --example report < crates/learn/src/report/example.json > report.html`

use std::io::{Write, stdin, stdout};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let evidence = serde_json::from_reader(stdin().lock())?;
    stdout().lock().write_all(sprat_learn::report::html(&evidence)?.as_bytes())?;
    Ok(())
}
