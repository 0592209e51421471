//! Memory: entries of the facilities that share a region.

use super::options::{EXCLUSIVE, HUGE, INHERITED, MODE, PROJECT, SIZE, SYSV_MODE, TEMPORARY};
use super::{Entry, Open, opt};
use crate::memory;

pub(super) const POSIX: Entry = Entry {
    facility: &memory::posix::FACILITY,
    options: &[SIZE, MODE, EXCLUSIVE, TEMPORARY],
    open: Some(Open::Region(memory::address::open_posix)),
    create: Some(memory::address::create_posix),
    unlink: Some(memory::posix::SharedMemory::unlink_named),
    probe: memory::address::probe::posix,
};

pub(super) const SYSV: Entry = Entry {
    facility: &memory::sysv::FACILITY,
    options: &[SIZE, SYSV_MODE, HUGE, PROJECT, EXCLUSIVE, TEMPORARY],
    open: Some(Open::Region(memory::address::open_sysv)),
    create: Some(memory::address::create_sysv),
    unlink: Some(memory::address::unlink_sysv),
    probe: memory::address::probe::sysv,
};

pub(super) const FILE: Entry = Entry {
    facility: &memory::file::FACILITY,
    options: &[
        SIZE,
        MODE,
        EXCLUSIVE,
        TEMPORARY,
        opt(
            "trust-size",
            "",
            "nobody truncates the file, so do not ask for its size after each copy",
        ),
    ],
    open: Some(Open::Region(memory::address::open_file)),
    create: Some(memory::address::create_file),
    unlink: Some(memory::address::unlink_file),
    probe: memory::address::probe::file,
};

pub(super) const MEMFD: Entry = Entry {
    facility: &memory::memfd::FACILITY,
    options: &[
        INHERITED,
        opt("size", "BYTES", "how large a new one is"),
        HUGE,
        opt(
            "unsealed",
            "",
            "leave a new one unsealed; take one that is not sealed against shrinking",
        ),
    ],
    open: Some(Open::Region(memory::address::open_memfd)),
    create: None,
    unlink: None,
    probe: memory::address::probe::memfd,
};

pub(super) const ANONYMOUS: Entry = Entry {
    facility: &memory::anonymous::FACILITY,
    options: &[opt("size", "BYTES", "how large it is"), HUGE],
    open: Some(Open::Region(memory::address::open_anonymous)),
    create: None,
    unlink: None,
    probe: memory::address::probe::anonymous,
};
