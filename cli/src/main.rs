//! wigwag: the command.
fn main() {}
