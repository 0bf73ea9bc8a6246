//! The command itself: arguments in, exit code out, nothing touched that need not be.

mod blueprints;
mod output;
mod terminal;
mod verbs;
