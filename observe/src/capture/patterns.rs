//! Patterns: which shared memory is a mailbox or a channel of wigwag's, and what is in it; told by the first bytes, as a
//! [segment](super::segments) is.
//!
//! An object that is a pattern is listed as that, under the address that `send` and `recv` take, and no longer as the
//! memory it lies in; its address as memory finds it all the same.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};

use super::channel::Channel;
use super::segments::{self, Segment};
use super::{Capture, Key};
use crate::object::{Fill, Holder, Object, Role, Unit, Value};
use crate::proc::brief::Brief;
use crate::proc::{LockKind, Mapping, ProcFs, Scratch, memory};

/// As many as the longest header has.
const BYTES: usize = segments::BYTES;

/// The layout of `wigwag_mailbox`, version 1, in little-endian words: magic, version, capacity; then at 64 flag, length, kind,
/// number, and whether fetcher and poster sleep.
const MAILBOX: [u32; 2] = [u32::from_le_bytes(*b"WBOX"), 1];

/// What the first bytes of memory say that it is. A program that writes there may have changed any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// A typed segment.
    Segment(Segment),
    /// A channel.
    Channel(Channel),
    /// A mailbox.
    Mailbox(Mailbox),
}

/// What a mailbox says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mailbox {
    capacity: u32,
    /// Empty 0, full 1, broken else.
    flag: u32,
    length: u32,
    number: u32,
    asleep: [bool; 2],
}

impl Known {
    /// In memory that a process has mapped from its beginning.
    pub(super) fn mapped(pid: u32, mapping: &Mapping) -> Option<Known> {
        if mapping.offset != 0 || !mapping.readable {
            return None;
        }
        let bytes = memory::read_exact(pid, mapping.start).ok()?;
        let len = mapping.end - mapping.start;
        Known::parse(&bytes, len, |at, bytes| {
            let end = at.checked_add(bytes.len() as u64)?;
            let read = memory::read(pid, mapping.start + at, bytes).ok()?;
            (end <= len && read == bytes.len()).then_some(())
        })
    }

    /// In a regular file of `/dev/shm`, if it may be read without a trace.
    pub(super) fn named(directory: &OwnedFd, name: &[u8], len: u64) -> Option<Known> {
        let flags = OFlags::RDONLY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOATIME
            | OFlags::CLOEXEC;
        let _brief = Brief::begin();
        let file = openat(directory, name, flags, Mode::empty()).ok()?;
        let mut bytes = [0; BYTES];
        // One that is shorter than the header of a segment is none; the rest are zeros.
        rustix::io::pread(file.as_fd(), &mut bytes, 0).ok()?;
        Known::parse(&bytes, len, |at, bytes| {
            let read = rustix::io::pread(file.as_fd(), &mut *bytes, at).ok()?;
            (read == bytes.len()).then_some(())
        })
    }

    /// In memory of `len` bytes that begins with these; `read` reads more of them.
    fn parse(
        bytes: &[u8; BYTES],
        len: u64,
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<Known> {
        if len > segments::VALUE
            && let Some(segment) = Segment::parse(bytes)
        {
            return Some(match Channel::of(&segment, &read) {
                Some(channel) => Known::Channel(channel),
                None => Known::Segment(segment.with_gates(len, read)),
            });
        }
        Mailbox::parse(bytes, len).map(Known::Mailbox)
    }

    /// Adds what it says to the object it is in.
    pub(super) fn describe(&self, object: &mut Object, proc: &ProcFs, scratch: &mut Scratch) {
        match self {
            Known::Segment(segment) => segment.describe(object, proc, scratch),
            Known::Channel(channel) => channel.describe(object, proc, scratch),
            Known::Mailbox(mailbox) => mailbox.describe(object),
        }
    }
}

/// Where the letter of a mailbox begins.
const LETTER: u64 = 128;

impl Mailbox {
    fn parse(bytes: &[u8; BYTES], len: u64) -> Option<Mailbox> {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        let capacity = word(8);
        if [word(0), word(4)] != MAILBOX || len < LETTER + u64::from(capacity) {
            return None;
        }
        Some(Mailbox {
            capacity,
            flag: word(64),
            length: word(68),
            number: word(76),
            asleep: [word(84) != 0, word(80) != 0],
        })
    }

    fn describe(&self, object: &mut Object) {
        if become_pattern(object, "mailbox") {
            let level = u64::from(self.flag != 0);
            object.fill.insert(0, Fill::of(level, 1, Unit::Messages));
            if self.flag > 1 || self.length > self.capacity {
                object.state = Some("broken".into());
            }
            object.detail("message_size", Value::Number(self.capacity.into()));
            if self.flag == 1 {
                object.detail("letter_bytes", Value::Number(self.length.into()));
            }
            object.detail("letters_posted", Value::Number(self.number.into()));
            let [poster, fetcher] = self.asleep;
            object.detail("poster_asleep", Value::Flag(poster));
            object.detail("fetcher_asleep", Value::Flag(fetcher));
        }
    }
}

/// The byte that the poster of a mailbox locks, and that of the fetcher; what each does with the letters.
const PARTS: [(u64, Role, &str); 2] = [(68, Role::Writes, "poster"), (80, Role::Reads, "fetcher")];

impl Capture<'_> {
    /// A lock by which somebody claims a part in a mailbox is told of the mailbox, and is no object of its own.
    pub(super) fn claims(&mut self) {
        let mut claims = Vec::new();
        for owner in &self.lock_owners {
            let line = &owner.line;
            let part = PARTS.iter().find(|(byte, ..)| line.start == *byte);
            if let (LockKind::Ofd, Some(file), Some(&part)) = (line.kind, line.file, part)
                && line.end == Some(line.start)
            {
                claims.push((file, owner.pid, owner.fd, part));
            }
        }
        let mut told = Vec::new();
        for (file, pid, fd, (byte, role, part)) in claims {
            let Some(mailbox) = self.known(Key::File(file)) else {
                continue;
            };
            if mailbox.facility != "mailbox" {
                continue;
            }
            let ours = |holder: &&mut Holder| holder.pid == pid && holder.fd == Some(fd);
            if let Some(holder) = mailbox.holders.iter_mut().find(ours) {
                holder.role = role;
            }
            if mailbox.get(part).is_none() {
                mailbox.detail(part, Value::Number(pid.into()));
            }
            told.push((mailbox.id, Value::Number(byte.cast_signed())));
        }
        // At last: the index counts the objects.
        self.objects.retain(|object| {
            let is = |(id, start): &(_, _)| object.id == *id && object.get("start") == Some(start);
            object.facility != "ofd" || !told.iter().any(is)
        });
    }
}

/// Makes an object of memory one of a pattern; whether it was not yet.
pub(super) fn become_pattern(object: &mut Object, facility: &'static str) -> bool {
    if object.facility == facility {
        return false;
    }
    object.facility = facility;
    if object.address.is_some() {
        object.set_address();
    }
    true
}

/// The pattern facilities.
pub(crate) const PATTERNS: &[&str] = &["channel", "mailbox"];

/// Whether an object of `facility` may lie in memory of `memory`, by the same name.
pub(crate) fn lies_in(facility: &str, memory: &str) -> bool {
    PATTERNS.contains(&facility) && matches!(memory, "shm" | "file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_header_of_the_layout_is_a_mailbox() {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(b"WBOX");
        assert_eq!(Known::parse(&bytes, 4096, |_, _| None), None, "no version");
        bytes[4] = 1;
        bytes[8..12].copy_from_slice(&64_u32.to_le_bytes());
        assert_eq!(Known::parse(&bytes, 191, |_, _| None), None, "truncated");
        bytes[64] = 1;
        bytes[68] = 5;
        let Some(Known::Mailbox(mailbox)) = Known::parse(&bytes, 192, |_, _| None) else {
            panic!("a mailbox");
        };
        assert_eq!((mailbox.flag, mailbox.length, mailbox.capacity), (1, 5, 64));
    }
}
