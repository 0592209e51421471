//! Pattern: bytes that tell by their value where they belong, so that one lost, doubled or exchanged is noticed.
//!
//! The period is a prime: a piece that is missing, of whatever usual size, shifts the rest.
//! Comparing is comparing memory, so that checking every byte costs less than moving it.

use std::fmt;

const PERIOD: usize = 65_521;

/// The longest piece at once.
pub(crate) const PIECE: usize = 64 * 1024;

/// The endless sequence of bytes.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<u8>);

/// Where the bytes were first wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    at: u64,
    is: u8,
    should_be: u8,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong { at, is, should_be } = self;
        write!(f, "byte {at} is {is:#04x} and should be {should_be:#04x}")
    }
}

impl Pattern {
    pub(crate) fn new() -> Self {
        // Marsaglia's xorshift64: any sequence without short repetitions does.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Pattern(
            period
                .iter()
                .chain(&period)
                .chain(&period)
                .copied()
                .take(PERIOD + PIECE)
                .collect(),
        )
    }

    /// The bytes from `position` on, at most [`PIECE`].
    pub(crate) fn piece(&self, position: u64, len: usize) -> &[u8] {
        let start = (position % PERIOD as u64) as usize;
        &self.0[start..start + len.min(PIECE)]
    }

    /// `len` bytes from `position` on.
    pub(crate) fn bytes(&self, position: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let left = len - bytes.len();
            bytes.extend_from_slice(self.piece(position + bytes.len() as u64, left));
        }
        bytes
    }

    /// Compares bytes with those from `position` on.
    pub(crate) fn check(&self, position: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let mut position = position;
        for piece in bytes.chunks(PIECE) {
            let right = self.piece(position, piece.len());
            if piece != right {
                let at = piece
                    .iter()
                    .zip(right)
                    .position(|(is, should_be)| is != should_be);
                let at = at.unwrap_or(0);
                return Err(Wrong {
                    at: position + at as u64,
                    is: piece[at],
                    should_be: right[at],
                });
            }
            position += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_lost_and_an_exchanged_byte_are_noticed() {
        let pattern = Pattern::new();
        let right = pattern.bytes(1_000_000, 200_000);
        assert_eq!(pattern.check(1_000_000, &right), Ok(()));
        let mut changed = right.clone();
        changed[150_000] ^= 1;
        assert_eq!(
            pattern.check(1_000_000, &changed).unwrap_err().at,
            1_150_000
        );
        let mut lost = right.clone();
        lost.drain(4096..8192);
        assert!(pattern.check(1_000_000, &lost).is_err());
        assert!(pattern.check(1_000_001, &right).is_err());
        let exchanged = [&right[64..128], &right[..64]].concat();
        assert!(pattern.check(1_000_000, &exchanged).is_err());
    }
}
