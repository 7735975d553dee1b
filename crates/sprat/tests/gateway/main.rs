//! Faults around a running gateway: the real program, a provider that keeps its own bill, and clients that misbehave.
//! Each test ends with the ledger equal to that bill. What is tried, and what happens then: docs/faults.md.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod client;
mod clients;
mod crowd;
#[cfg(feature = "encoder")]
mod encoder;
mod machine;
mod mock;
#[cfg(feature = "encoder")]
#[path = "../cli/tiny.rs"]
mod tiny;
mod upstream;
#[allow(dead_code, unused_imports, unused_macros)] // shared with the tests of the terminal, which use the rest
#[path = "../cli/workspace.rs"]
mod workspace;
mod world;
