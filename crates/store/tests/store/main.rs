//! One suite over every way to open a store, and what crashes, full disks, damaged files and other processes do to it.

#![allow(clippy::unwrap_used)] // a helper's failure is the test's failure

mod children;
mod conformance;
mod crash;
mod damaged_files;
mod full_disk;
mod samples;
mod two_processes;
