//! Empty: this package is its integration tests.
