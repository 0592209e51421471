//! Futex: a word of memory; which lock it belongs to, and whether that has an owner, only the bytes around it tell.
//!
//! A structure is believed only if all its fields make sense and its owner is a living thread that can reach the word. What
//! fits none is "a futex": any thread that can write the word may wake the waiter. That is always safe.

mod channel;
mod glibc;
mod mailbox;
mod musl;
mod owner;
mod rust;
mod trace;
mod waitv;
mod wigwag;

use super::abi::{Abi, Sys};
use super::ask::{Ask, Need, live};
use super::layout::Libc;
use super::machine::Machine;
use crate::graph::{Clause, Outside, State, Waker};
use crate::proc::{FileId, Syscall};
use std::collections::HashMap;

pub(super) use trace::Traces;

/// Where a futex word is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In memory of one process.
    Private { pid: u32, address: u64 },
    /// In a mapping that others may have, too.
    Shared { file: FileId, offset: u64 },
}

/// How many threads wait at each place.
pub(super) type Crowd = HashMap<Place, u32>;

/// A word that a thread sleeps on.
pub(super) struct Word<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) address: u64,
    /// The value it must have had for the thread to sleep.
    pub(super) expected: u32,
    /// `FUTEX_WAIT` 0, `FUTEX_WAIT_BITSET` 9, `FUTEX_LOCK_PI` 6 …
    pub(super) command: u32,
    /// The call was told that the word is private.
    pub(super) private: bool,
    pub(super) realtime: bool,
    pub(super) place: Place,
    /// The name of the shared mapping, and whether a stranger could open it.
    pub(super) mapping: Option<(String, bool)>,
    pub(super) limited: bool,
}

const PRIVATE: u32 = 0x80;
const REALTIME: u32 = 0x100;
const WAIT: u32 = 0;
const LOCK_PI: u32 = 6;
const WAIT_BITSET: u32 = 9;
const WAIT_REQUEUE_PI: u32 = 11;
const LOCK_PI2: u32 = 13;

/// Set in a futex word: somebody waits.
pub(super) const WAITERS: u32 = 0x8000_0000;
/// The bits of a futex word that are the owner's thread id.
pub(super) const TID: u32 = 0x3fff_ffff;

/// Blocked in futex(2).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let operation = ask.arg(1) as u32;
    let command = operation & !(PRIVATE | REALTIME);
    if !matches!(
        command,
        WAIT | WAIT_BITSET | LOCK_PI | LOCK_PI2 | WAIT_REQUEUE_PI
    ) {
        return live("in a futex call that does not wait");
    }
    let word = Word {
        ask,
        address: ask.arg(0),
        expected: ask.arg(2) as u32,
        command,
        private: operation & PRIVATE != 0,
        realtime: operation & REALTIME != 0,
        limited: ask.arg(3) != 0,
        ..Word::at(ask, ask.arg(0), operation & PRIVATE != 0)
    };
    word.state()
}

/// Whether a futex call says that its word belongs to this process alone.
pub(super) fn is_private(ask: &Ask<'_>) -> bool {
    ask.arg(1) as u32 & PRIVATE != 0
}

/// Blocked in futex_wait(2) or futex_waitv(2), which have other arguments.
pub(super) fn waiting_new(ask: &Ask<'_>) -> State {
    if ask.sys == Sys::FutexWaitv {
        return waitv::waiting(ask);
    }
    // futex_wait(address, value, mask, flags, limit, clock); FUTEX2_PRIVATE is 128, as before.
    let private = ask.arg(3) & u64::from(PRIVATE) != 0;
    let word = Word {
        expected: ask.arg(1) as u32,
        command: WAIT,
        limited: ask.arg(4) != 0,
        ..Word::at(ask, ask.arg(0), private)
    };
    word.state()
}

impl<'a> Word<'a> {
    fn at(ask: &'a Ask<'a>, address: u64, private: bool) -> Word<'a> {
        let (place, mapping) = place(ask.machine, ask, address, private);
        Word {
            ask,
            address,
            expected: 0,
            command: WAIT,
            private,
            realtime: false,
            place,
            mapping,
            limited: false,
        }
    }

    fn state(&self) -> State {
        if let Some(mut need) = channel::need(self) {
            need.naps = self.limited && self.command == WAIT && !self.private;
            let limited = self.limited && !need.naps;
            return need.limited(limited).wait();
        }
        if let Some(need) = mailbox::need(self) {
            return need.limited(self.limited).wait();
        }
        if let Some(need) = wigwag::need(self) {
            return need.wait();
        }
        if self.limited && !self.ask.machine.detail {
            return live("waits for a futex with a time limit");
        }
        let layout = self.ask.machine.layout(self.ask.seen);
        let need = match layout.libc {
            Libc::Musl => musl::need(self)
                .or_else(|| rust::need(self))
                .or_else(|| self.owned_word()),
            Libc::Glibc => glibc::need(self)
                .or_else(|| rust::need(self))
                .or_else(|| self.owned_word()),
            Libc::Unknown => glibc::need(self)
                .or_else(|| musl::need(self))
                .or_else(|| rust::need(self))
                .or_else(|| self.owned_word()),
        };
        need.unwrap_or_else(|| self.unknown())
            .limited(self.limited)
            .wait()
    }

    /// A word that tells nothing of itself.
    fn unknown(&self) -> Need {
        self.anybody("futex", "waits for a word to change", "may wake it")
            .by_handler()
    }

    /// A word that has its owner's thread id in it, as the kernel's robust and priority-inheriting futexes have: our own
    /// gates, and anybody's who keeps that rule.
    fn owned_word(&self) -> Option<Need> {
        let [word] = self.ask.words::<1>(self.address)?;
        if word & WAITERS == 0 || word != self.expected {
            return None;
        }
        let owner = self.living_owner(word & TID)?;
        Some(self.owned("mutex", self.address, owner))
    }

    /// Whoever can write the word.
    pub(super) fn anybody(&self, facility: &'static str, why: &str, role: &str) -> Need {
        let me = self.ask.seen.pid;
        let mut clause = Clause {
            wakers: self.comrades(role),
            outside: Outside::Closed,
        };
        if let Place::Shared { file, .. } = self.place {
            for &pid in self.ask.machine.mappers(file) {
                if pid != me {
                    clause.wakers.push(Waker::process(pid).role(role));
                }
            }
            // Who has only a descriptor may map it any time.
            for holder in self.ask.machine.all_named() {
                let reaches = holder.pid != me
                    && !self.ask.machine.mappers(file).contains(&holder.pid)
                    && self
                        .ask
                        .machine
                        .same_name(holder, self.mapping.as_ref().map_or("", |(name, _)| name))
                    && self
                        .ask
                        .machine
                        .facts(holder.pid, holder.fd)
                        .is_some_and(|facts| facts.id.ino == file.ino);
                if reaches {
                    super::ask::add(
                        &mut clause.wakers,
                        Waker::process(holder.pid).role("has it open"),
                    );
                }
            }
            if self.mapping.as_ref().is_some_and(|(_, named)| *named) {
                clause = clause.outside(Outside::Named);
            }
        }
        Need::new(facility, self.resource(self.address), why, clause)
    }

    /// The other threads of the process, unless all they do is to keep its ends of channels alive.
    fn comrades(&self, role: &str) -> Vec<Waker> {
        const KEEPER: &str = "wigwag-keeper";
        let me = self.ask.thread.tid;
        let mut others = self.ask.seen.threads.iter();
        if others.any(|thread| thread.tid != me && thread.comm != KEEPER) {
            vec![Waker::others(self.ask.seen.pid).role(role)]
        } else {
            Vec::new()
        }
    }

    /// How the place is shown; `base` is where the structure begins.
    pub(super) fn resource(&self, base: u64) -> String {
        match (&self.place, &self.mapping) {
            (Place::Shared { file, offset }, Some((name, _))) => {
                let offset = offset.wrapping_sub(self.address.wrapping_sub(base));
                format!("{name} inode {} +{offset:#x}", file.ino)
            }
            (Place::Private { pid, .. }, _) => format!("{base:#x} in process {pid}"),
            (Place::Shared { file, offset }, None) => format!("inode {} +{offset:#x}", file.ino),
        }
    }

    /// How many threads sleep at this word, this one included.
    pub(super) fn crowd(&self, place: &Place) -> u32 {
        crowd(self.ask.machine).get(place).copied().unwrap_or(0)
    }

    /// The place some bytes further.
    pub(super) fn beside(&self, distance: i64) -> Place {
        match self.place {
            Place::Private { pid, address } => Place::Private {
                pid,
                address: address.wrapping_add_signed(distance),
            },
            Place::Shared { file, offset } => Place::Shared {
                file,
                offset: offset.wrapping_add_signed(distance),
            },
        }
    }
}

fn place(
    machine: &Machine,
    ask: &Ask<'_>,
    address: u64,
    private: bool,
) -> (Place, Option<(String, bool)>) {
    let alone = Place::Private {
        pid: ask.seen.pid,
        address,
    };
    if private {
        return (alone, None);
    }
    let Some(mapping) = machine
        .layout(ask.seen)
        .mapping(address)
        .filter(|mapping| mapping.shared)
    else {
        return (alone, None);
    };
    let Some(offset) = mapping.offset_of(address) else {
        return (alone, None);
    };
    let name = String::from_utf8_lossy(&mapping.name).into_owned();
    // The file of a System V segment shows as deleted, too, but its key lets strangers in.
    let named = !mapping.deleted || name.starts_with("/SYSV") && !name.starts_with("/SYSV00000000");
    // sem_open makes its file under a passing name and renames it: deleted is perhaps only the name it had.
    let named = named || name.starts_with("/dev/shm/sem.") && machine.may_have_name(mapping.file);
    (
        Place::Shared {
            file: mapping.file,
            offset,
        },
        Some((name, named)),
    )
}

fn crowd(machine: &Machine) -> &Crowd {
    machine.cache.futexes.get_or_init(|| {
        let mut crowd = Crowd::new();
        for seen in machine.processes.values() {
            for thread in &seen.threads {
                let Some(Syscall::In(_)) = thread.syscall else {
                    continue;
                };
                let ask = Ask::about(machine, seen, thread);
                if ask.sys != Sys::Futex {
                    continue;
                }
                let (place, _) = place(machine, &ask, ask.arg(0), is_private(&ask));
                *crowd.entry(place).or_default() += 1;
            }
        }
        crowd
    })
}

/// The pointer size decides where fields are.
pub(super) fn narrow(word: &Word<'_>) -> bool {
    word.ask.abi == Abi::Compat
}
