//! Number: what nobody can guess.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Two numbers that nobody can guess; the first is not 0.
pub(super) fn randoms() -> Result<[u64; 2], Errno> {
    let mut bytes = [0_u8; 16];
    let count = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    // Up to 256 bytes come whole (`getrandom(2)`).
    debug_assert_eq!(count, bytes.len());
    let both = u128::from_ne_bytes(bytes);
    Ok([(both as u64).max(1), (both >> 64) as u64])
}
