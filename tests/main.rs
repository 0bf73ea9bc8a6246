//! The integration tests of `bp`: one binary.
