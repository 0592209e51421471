//! peers: side-by-side benchmarks.
fn main() {}
