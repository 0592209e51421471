//! Gate: entries of the facilities that say who may go on.

use super::options::{
    BINARY, CREATE, EXCLUSIVE, FILE_MODE, INHERITED, MODE, PROJECT, RANGE, SYSV_MODE, TEMPORARY,
};
use super::{Entry, Open, opt};
use crate::{gate, memory};

pub(super) const POSIX: Entry = Entry {
    facility: &gate::posix::FACILITY,
    options: &[
        opt("value", "PERMITS", "how many permits a new one has (1)"),
        BINARY,
        MODE,
        EXCLUSIVE,
        TEMPORARY,
    ],
    open: Some(Open::Gate(gate::address::open_posix)),
    create: Some(gate::address::create_posix),
    unlink: Some(gate::posix::Semaphore::unlink_named),
    probe: gate::address::probe::posix,
};

pub(super) const UNNAMED: Entry = Entry {
    facility: &gate::posix::UNNAMED,
    options: &[
        opt(
            "fd",
            "NUMBER",
            "an inherited descriptor of the memory it lies in",
        ),
        opt(
            "offset",
            "BYTES",
            "where it lies there, a multiple of 8 (0)",
        ),
        opt("value", "PERMITS", "make it anew with so many permits"),
        BINARY,
    ],
    open: Some(Open::Gate(memory::semaphore::open)),
    create: None,
    unlink: None,
    probe: memory::semaphore::probe,
};

pub(super) const SYSV: Entry = Entry {
    facility: &gate::sysv::FACILITY,
    options: &[
        opt(
            "value",
            "PERMITS",
            "how many permits each semaphore of a new set has (1)",
        ),
        opt(
            "count",
            "NUMBER",
            "how many semaphores a new set has (as the index needs)",
        ),
        opt("index", "NUMBER", "which semaphore of the set is meant (0)"),
        opt(
            "undo",
            "",
            "whether the kernel gives permits back when the process ends (yes)",
        ),
        SYSV_MODE,
        PROJECT,
        EXCLUSIVE,
        TEMPORARY,
    ],
    open: Some(Open::Gate(gate::address::open_sysv)),
    create: Some(gate::address::create_sysv),
    unlink: Some(gate::address::unlink_sysv),
    probe: gate::address::probe::sysv,
};

#[cfg(not(loom))]
pub(super) const SEMAPHORE: Entry = Entry {
    facility: &gate::semaphore::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::semaphore,
};

#[cfg(not(loom))]
pub(super) const MUTEX: Entry = Entry {
    facility: &gate::mutex::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::mutex,
};

#[cfg(not(loom))]
pub(super) const RWLOCK: Entry = Entry {
    facility: &gate::rwlock::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::rwlock,
};

#[cfg(not(loom))]
pub(super) const CONDVAR: Entry = Entry {
    facility: &gate::condvar::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::condvar,
};

#[cfg(not(loom))]
pub(super) const BARRIER: Entry = Entry {
    facility: &gate::barrier::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::barrier,
};

#[cfg(not(loom))]
pub(super) const MONITOR: Entry = Entry {
    facility: &gate::monitor::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::monitor,
};

#[cfg(not(loom))]
pub(super) const SPIN: Entry = Entry {
    facility: &gate::spin::FACILITY,
    options: &[],
    open: None,
    create: None,
    unlink: None,
    probe: memory::segment::probe::spin,
};

pub(super) const FLOCK: Entry = Entry {
    facility: &gate::file_lock::FLOCK,
    options: &[CREATE, FILE_MODE],
    open: Some(Open::Gate(gate::address::open_flock)),
    create: None,
    unlink: None,
    probe: gate::address::probe::flock,
};

pub(super) const RECORD: Entry = Entry {
    facility: &gate::file_lock::RECORD,
    options: &[RANGE, CREATE, FILE_MODE],
    open: Some(Open::Gate(gate::address::open_record)),
    create: None,
    unlink: None,
    probe: gate::address::probe::record,
};

pub(super) const OFD: Entry = Entry {
    facility: &gate::file_lock::OFD,
    options: &[RANGE, CREATE, FILE_MODE],
    open: Some(Open::Gate(gate::address::open_ofd)),
    create: None,
    unlink: None,
    probe: gate::address::probe::ofd,
};

pub(super) const EVENT: Entry = Entry {
    facility: &gate::event::FACILITY,
    options: &[
        INHERITED,
        opt("value", "COUNT", "the count a new one begins with (0)"),
        opt("semaphore", "", "take one at a time instead of all"),
    ],
    open: Some(Open::Gate(gate::address::open_event)),
    create: None,
    unlink: None,
    probe: gate::address::probe::event,
};
