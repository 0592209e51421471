//! Layout: the shape of a program that its memory has to be read by: word size, C library, mappings.

use super::abi::Abi;
use super::machine::{Machine, Seen};
use crate::proc::Mapping;

/// What is known of a program's address space.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) abi: Abi,
    pub(super) libc: Libc,
    /// Mappings that are shared, stacks, and where the program itself is.
    pub(super) mappings: Vec<Mapping>,
}

/// Whose locks these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Libc {
    Glibc,
    Musl,
    /// A static program, or another library.
    Unknown,
}

impl Layout {
    /// The mapping an address lies in.
    pub(super) fn mapping(&self, address: u64) -> Option<&Mapping> {
        let at = self
            .mappings
            .partition_point(|mapping| mapping.end <= address);
        self.mappings
            .get(at)
            .filter(|mapping| mapping.start <= address)
    }
}

impl Machine {
    /// The layout of a process, read once.
    pub(super) fn layout<'s>(&self, seen: &'s Seen) -> &'s Layout {
        seen.layout.get_or_init(|| {
            let mut layout = Layout {
                abi: Abi::Native,
                libc: Libc::Unknown,
                mappings: Vec::new(),
            };
            let Ok(process) = self.open(seen.pid) else {
                return layout;
            };
            layout.mappings = process
                .mappings(&mut self.scratch(), |_| true)
                .unwrap_or_default();
            for mapping in &layout.mappings {
                let name = mapping
                    .name
                    .rsplit(|&byte| byte == b'/')
                    .next()
                    .unwrap_or(&[]);
                if name.starts_with(b"ld-musl") {
                    layout.libc = Libc::Musl;
                } else if name.starts_with(b"libc.so.6") || name.starts_with(b"libc-2") {
                    layout.libc = Libc::Glibc;
                }
            }
            // Where the loader put the stack tells the word size without opening the program.
            let stack = layout
                .mappings
                .iter()
                .find(|mapping| &*mapping.name == b"[stack]");
            let highest = stack.or(layout
                .mappings
                .iter()
                .rev()
                .find(|mapping| &*mapping.name != b"[vsyscall]"));
            if highest.is_some_and(|mapping| mapping.end <= 1 << 32) {
                layout.abi = Abi::Compat;
            }
            layout
        })
    }
}
