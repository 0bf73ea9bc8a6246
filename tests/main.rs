//! The integration tests of `bp`: one binary.

mod cli;
mod faults;
mod ssh;
mod support;
