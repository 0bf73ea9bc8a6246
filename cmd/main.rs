//! The command `bp`.

fn main() {}
