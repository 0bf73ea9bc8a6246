//! The integration tests of `bp`: one binary.

mod ssh;
mod support;
