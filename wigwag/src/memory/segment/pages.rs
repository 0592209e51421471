//! Pages: the mapping of one segment, as its header and its value.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::header::{BYTES, CREATOR, GATE, GATES, Header, MOST_GATES, READY, STATE, VALUE};
use crate::error::{Error, Kind, Result};
use crate::memory::mapping::Mapping;
use crate::shared::{Death, Shared};
use crate::sys::vanished::Watched;

/// What a new segment begins with.
pub(super) enum New<F> {
    /// What this makes.
    Value(F),
    /// Zeros, in place.
    Zeros,
}

/// Mapped pages that hold a header and, from [`VALUE`] on, a value.
pub(super) struct Pages {
    /// Dropped before the mapping that it watches.
    watched: Option<Watched>,
    mapping: Arc<Mapping>,
    base: NonNull<u8>,
}

impl Pages {
    /// Of a mapping that can be written and has at least a header.
    pub(super) fn of(mapping: Mapping) -> Result<Self> {
        let base = mapping.place::<[u64; BYTES / 8]>(0)?.cast();
        Ok(Pages {
            watched: None,
            mapping: Arc::new(mapping),
            base,
        })
    }

    /// From now on what a peer truncates away reads as zeros, and ends no process.
    pub(super) fn bear_truncation(&mut self) {
        self.watched = self.mapping.watched();
    }

    /// How many bytes there are now, where a peer has truncated them since they were mapped.
    pub(super) fn truncated(&self) -> Result<Option<u64>> {
        let now = self.mapping.object_len()?;
        // What was gone when it was touched stays gone for us, though the file may have grown again.
        let vanished = self.watched.as_ref().is_some_and(Watched::has_vanished);
        Ok(now.filter(|now| vanished || *now < self.mapping.len() as u64))
    }

    /// An error about them.
    pub(super) fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        self.mapping.error(kind, action, why)
    }

    /// The object behind them, if it has a descriptor.
    pub(super) fn object(&self) -> Option<BorrowedFd<'_>> {
        self.mapping.object()
    }

    /// Their first byte.
    #[inline]
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Leaves them mapped for as long as the process lives.
    pub(super) fn keep(&self) {
        std::mem::forget(self.mapping.clone());
    }

    /// Brings the value to its place, tells its gates where they are, and lets everybody see it.
    ///
    /// The pages are long enough, and nobody else looks beyond the header before the state says so.
    pub(super) fn settle<T: Shared>(&self, new: New<impl FnOnce() -> T>, death: Death) {
        // SAFETY: the pages have VALUE + size_of::<T>() bytes, VALUE is a multiple of T's alignment.
        let place = unsafe { self.base.add(VALUE).cast::<T>() };
        match new {
            New::Value(make) => {
                /// Apart, because the value lies on its stack.
                #[inline(never)]
                unsafe fn write<T>(place: NonNull<T>, make: impl FnOnce() -> T) {
                    // SAFETY: as the caller says.
                    unsafe { place.write(make()) }
                }
                // SAFETY: as above, and nobody else writes there.
                unsafe { write(place, make) }
            }
            // A creator that died may have left something there.
            // SAFETY: as above; that zeros are a value of it is asked before this is made.
            New::Zeros => unsafe { place.write_bytes(0, 1) },
        }
        // SAFETY: just written; from here on it is changed as `Shared` allows.
        let value = unsafe { place.as_ref() };
        value.settle(death);
        self.tell_gates(value);
        self.word(STATE).store(READY, Ordering::Release);
    }

    /// Writes where the gates lie, for who looks from outside: see [`GATES`].
    fn tell_gates<T: Shared>(&self, value: &T) {
        if !T::GATES {
            return;
        }
        let mut records = Vec::new();
        value.survey("", &mut |path, sort, word| {
            if records.len() < MOST_GATES * GATE {
                let at = word.addr() - self.base.addr().get();
                let mut record = [0; GATE];
                record[..8].copy_from_slice(&((sort as u64) << 56 | at as u64).to_ne_bytes());
                let len = path.len().min(GATE - 8);
                record[8..][..len].copy_from_slice(&path.as_bytes()[..len]);
                records.extend_from_slice(&record);
            }
        });
        let count = (records.len() / GATE) as u64;
        // SAFETY: the table ends before VALUE, inside the pages; nobody looks at it before the state says READY,
        // and an observer believes nothing that it reads there.
        unsafe {
            let table = self.base.add(GATES);
            table.cast::<u64>().write(count);
            let first = table.add(8).as_ptr();
            first.copy_from_nonoverlapping(records.as_ptr(), records.len());
        }
    }

    /// A word of the header.
    pub(super) fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: in the first page and aligned; this word is only ever changed as an atomic while mapped.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast().as_ptr()) }
    }

    /// A copy of the header, as it is now.
    pub(super) fn header(&self) -> Header {
        // SAFETY: the pages have at least a header. A peer may write meanwhile; the copy is volatile and any bytes
        // are a header, of which nothing is believed before the state says that it is ready.
        Header::from_bytes(unsafe { self.base.cast::<[u8; BYTES]>().read_volatile() })
    }

    /// Writes the header of an unfinished segment; its first eight bytes last, as one.
    pub(super) fn write_header(&self, header: &Header) {
        let bytes = header.to_bytes();
        for at in (0..BYTES / 8).rev() {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..][..8]);
            if at * 8 == CREATOR {
                continue; // it is there
            }
            // SAFETY: inside the header and aligned; nobody else writes it, those who look copy it as above.
            unsafe {
                self.base
                    .add(at * 8)
                    .cast::<[u8; 8]>()
                    .as_ptr()
                    .cast::<u64>()
                    .write_volatile(u64::from_ne_bytes(word))
            };
        }
    }

    /// The word that names the creator.
    pub(super) fn creator(&self) -> &AtomicU64 {
        // SAFETY: as for `word`.
        unsafe { AtomicU64::from_ptr(self.base.add(CREATOR).cast().as_ptr()) }
    }
}
