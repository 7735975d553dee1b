//! The gateway, asked through its routes, over models and upstreams that the tests make.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

mod anthropic;
mod audits;
mod budgets;
mod capture;
mod dashboard;
mod deployment;
mod embeddings;
mod failover;
mod fakes;
mod judged;
mod keys;
mod lowering;
mod moderation;
mod passing;
mod records;
mod serving;
mod tasks;
