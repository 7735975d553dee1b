//! The gateway, asked through its routes, over models and upstreams that the tests make.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod anthropic;
mod failover;
mod dashboard;
mod fakes;
mod lowering;
mod passing;
mod serving;
mod tasks;
