//! Soaking: what the long runs with random kills have in common.
#![allow(dead_code)] // each test binary uses its share

use std::time::{Duration, Instant};

use wigwag::{Error, Kind};

use crate::process::PATIENCE;

/// How long to run: `WIGWAG_SOAK` seconds, or so many.
pub fn seconds(default: u64) -> Duration {
    let length = std::env::var("WIGWAG_SOAK").ok();
    Duration::from_secs(length.and_then(|text| text.parse().ok()).unwrap_or(default))
}

/// Marsaglia's xorshift.
pub fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Until the seat of a dead one is free: its process may take a moment to be gone.
pub fn seat<T>(mut take: impl FnMut() -> Result<T, Error>) -> T {
    let start = Instant::now();
    loop {
        match take() {
            Ok(seat) => return seat,
            Err(error) if error.kind() == Kind::Limit && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
