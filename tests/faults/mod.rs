//! Runs of the real `bp` that go wrong, and what becomes of the lab then.

mod connections;
pub mod existing;
mod guests;
pub mod interrupts;
mod many;
mod removal;
mod secrets;
