//! What the terminal shows, and how the house is built. One binary, so that everything is linked once.
#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod anthropic;
mod arguments;
mod bad_input;
mod configuration;
mod damaged;
#[cfg(all(feature = "decoder", unix))]
mod decoder;
mod deployment;
mod doctor;
#[cfg(feature = "encoder")]
mod encoder;
mod extract;
mod generate;
mod house;
mod interrupted;
#[cfg(unix)]
mod judge;
mod keys;
#[cfg(all(feature = "decoder", unix))]
mod model_files;
mod models;
mod provider;
mod records;
mod registry;
mod served;
mod terminal;
mod the_loop;
#[cfg(feature = "encoder")]
mod tiny;
mod traffic;
mod upstream;
mod workspace;
#[cfg(all(feature = "decoder", unix))]
mod writing;
