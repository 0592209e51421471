//! Segments: which shared memory is a typed segment of wigwag's, of which type, made by whom.
//!
//! The first bytes say so. They are read through a process that has the memory mapped, as a debugger would but without
//! stopping it, and after all else of that process, since memory that a program fills in on demand may never come. Only an
//! object of `/dev/shm` is opened, for reading, and its time of last access is left as it was. A file is never opened: that
//! would break its lease. What is in the value cannot be
//! known without its type, but for the [gates](super::gates) that the creator left a table of.

use super::gates;
use crate::object::{Gate, Object, Value};
use crate::proc::{ProcFs, Scratch};

/// The header of `wigwag::memory::segment`, ABI 1: magic, state, ABI, creator, byte order, word size, layout, size,
/// robust, trusting, pid namespace, boot, type name.
pub(super) const BYTES: usize = 176;
const MAGIC: &[u8] = b"wigwag\r\n";
const ABI: u32 = 1;
const ORDER: u32 = 0x0102_0304;
const MAKING: u32 = 1;
const READY: u32 = 2;
/// The value begins on the next page, so no segment is shorter.
pub(super) const VALUE: u64 = 4096;

/// What a segment says of itself. A program that writes to it may have changed any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    state: &'static str,
    type_name: String,
    /// Bytes of the value.
    size: u64,
    creator: u32,
    /// Lower bits of the creator's start, in clock ticks since boot.
    start: u64,
    pid_namespace: u64,
    boot: [u8; 16],
    gates: Vec<Gate>,
}

/// Bits of the creator's word: thread id, and start above it.
const ID: u64 = (1 << 22) - 1;
const START: u64 = (1 << 40) - 1;

impl Segment {
    pub(super) fn parse(bytes: &[u8; BYTES]) -> Option<Segment> {
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]));
        let long = |at: usize| u64::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]));
        if !bytes.starts_with(MAGIC) || word(12) != ABI || word(24) != ORDER {
            return None;
        }
        let name = bytes[80..].iter().take_while(|byte| **byte != 0);
        let shown = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        };
        Some(Segment {
            state: match word(8) {
                MAKING => "making",
                READY => "ready",
                _ => return None,
            },
            type_name: name.map(shown).collect(),
            size: long(40),
            creator: (long(16) & ID) as u32,
            start: long(16) >> 22 & START,
            pid_namespace: long(56),
            boot: std::array::from_fn(|n| bytes[64 + n]),
            gates: Vec::new(),
        })
    }

    /// The same with the gates in it; `read` reads bytes at an offset of its memory, which has `len`.
    pub(super) fn with_gates(
        mut self,
        len: u64,
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Self {
        if self.state == "ready" {
            self.gates = gates::table(len, read);
        }
        self
    }

    /// What it holds, in words of its maker.
    pub(super) fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Whether a process with this number, that began so many clock ticks after boot, is meant by a holder's word of this segment.
    pub(super) fn means_here(&self, proc: &ProcFs, scratch: &mut Scratch) -> bool {
        self.pid_namespace == proc.pid_namespace() && boot(proc, scratch) == Some(self.boot)
    }

    /// Adds what it says to the object it is in.
    pub(super) fn describe(&self, object: &mut Object, proc: &ProcFs, scratch: &mut Scratch) {
        if object.get("segment").is_some() {
            return;
        }
        object.detail("segment", Value::Text(self.type_name.clone()));
        object.detail("segment_state", Value::Text(self.state.into()));
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        object.detail("segment_value_bytes", Value::Number(size));
        object.detail("segment_creator", Value::Number(self.creator.into()));
        if let Some(alive) = self.creator_is_alive(proc, scratch) {
            object.detail("segment_creator_alive", Value::Flag(alive));
        }
        if !self.gates.is_empty() {
            object.detail("segment_gates", Value::Gates(self.gates.clone()));
        }
    }

    /// Whether its creator still runs; `None` when its number means nothing here.
    fn creator_is_alive(&self, proc: &ProcFs, scratch: &mut Scratch) -> Option<bool> {
        if boot(proc, scratch)? != self.boot {
            return Some(false);
        }
        if self.pid_namespace != proc.pid_namespace() {
            return None;
        }
        match proc
            .process(self.creator)
            .and_then(|process| process.identity(scratch))
        {
            Ok(identity) => Some(identity.start & START == self.start),
            // Not there, or hidden.
            Err(_) => {
                let pid = rustix::process::Pid::from_raw(self.creator.cast_signed())?;
                match rustix::process::test_kill_process(pid) {
                    Err(rustix::io::Errno::SRCH) => Some(false),
                    _ => None,
                }
            }
        }
    }
}

/// The boot we are in.
fn boot(proc: &ProcFs, scratch: &mut Scratch) -> Option<[u8; 16]> {
    let text = proc.read("sys/kernel/random/boot_id", scratch).ok()?;
    let text: String = text
        .iter()
        .filter(|byte| byte.is_ascii_hexdigit())
        .map(|byte| char::from(*byte))
        .collect();
    u128::from_str_radix(&text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_header_of_this_layout_is_a_segment() {
        let mut bytes = [0; BYTES];
        assert_eq!(Segment::parse(&bytes), None);
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&READY.to_ne_bytes());
        bytes[12..16].copy_from_slice(&ABI.to_ne_bytes());
        assert_eq!(Segment::parse(&bytes), None, "no byte order");
        bytes[24..28].copy_from_slice(&ORDER.to_ne_bytes());
        bytes[80..84].copy_from_slice(b"a\x1b\xffb");
        let segment = Segment::parse(&bytes).expect("a segment");
        assert_eq!((segment.state, &*segment.type_name), ("ready", "a??b"));
        bytes[8] = 7;
        assert_eq!(Segment::parse(&bytes), None, "no such state");
    }
}
