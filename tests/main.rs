//! The integration tests of `bp`: one binary.

mod cli;
mod dns;
mod faults;
mod firewall;
mod ssh;
mod support;
