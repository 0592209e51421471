//! Layout: a hash of what the bytes of a type mean, so that two programs notice when they disagree.
//!
//! FNV-1a over names, sizes and places of all fields, computed by the compiler. It is a guard against mistakes, not
//! against an adversary. Alignment does not count, beyond the places it leads to: the bytes of a `u64` are the same in a 32-bit program of an
//! i686, where it is aligned to 4, and such programs may share what they agree on.

/// A hash of what the bytes of a type mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout(u64);

/// The layout of a type that is called `name` in every program: start of a hash, to be completed by
/// [`field`](Layout::field) or [`with`](Layout::with).
#[must_use]
pub const fn layout<T>(name: &str) -> Layout {
    Layout(0xcbf2_9ce4_8422_2325)
        .text(name)
        .number(size_of::<T>())
}

impl Layout {
    /// Adds a field.
    #[must_use]
    pub const fn field(self, name: &str, offset: usize, of: Layout) -> Self {
        self.text(name).number(offset).with(of)
    }

    /// Adds the layout of a part.
    #[must_use]
    pub const fn with(self, part: Layout) -> Self {
        self.bytes(&part.0.to_le_bytes())
    }

    /// The number itself.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.0
    }

    const fn number(self, number: usize) -> Self {
        self.bytes(&(number as u64).to_le_bytes())
    }

    const fn text(self, text: &str) -> Self {
        // The length keeps "ab","c" and "a","bc" apart.
        self.number(text.len()).bytes(text.as_bytes())
    }

    const fn bytes(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0 = (self.0 ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_places_and_parts_matter() {
        let start = layout::<u64>("struct");
        let u64s = layout::<u64>("u64");
        let one = start.field("a", 0, u64s).field("b", 8, u64s);
        assert_eq!(one, start.field("a", 0, u64s).field("b", 8, u64s));
        assert_ne!(one, start.field("b", 0, u64s).field("a", 8, u64s));
        assert_ne!(one, start.field("a", 0, u64s).field("b", 16, u64s));
        assert_ne!(
            one,
            start
                .field("a", 0, u64s)
                .field("b", 8, layout::<i64>("i64"))
        );
    }
}
