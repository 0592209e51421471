//! Waiters: threads asleep in a system call, joined to the object the call is about.
//!
//! This is a list, not a proof: the call is read once, and a thread may have been woken since. The graph of
//! [`graph`](crate::graph) looks twice.

use std::collections::HashMap;

use crate::object::{Object, Waiter};
use crate::proc::abi::{Abi, Sys};
use crate::proc::{Call, memory};

use super::locks;
use super::look::{Look, Sleeper};
use super::{Capture, Key};

/// What a system call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The object behind a descriptor.
    Fd(i32),
    /// Any of several, whose numbers lie in memory.
    Poll { address: u64, count: u64 },
    /// A System V queue.
    Queue(i32),
    /// A System V set.
    Set(i32),
    /// A word in memory.
    Futex(u64),
    /// A lock on the file behind a descriptor.
    Lock(i32, &'static str),
    /// Signals of the own process.
    Signals,
}

/// The number of the descriptor in an argument: the upper half of the register is not part of it.
fn fd(argument: u64) -> i32 {
    (argument as u32).cast_signed()
}

/// What the call waits for and in which words, if it is one that waits.
pub(super) fn target(call: &Call) -> Option<(Target, &'static str)> {
    // A program of 32 bits has other numbers.
    if call.sp < 1 << 32 {
        return None;
    }
    let [first, second, ..] = call.args;
    let on = |wants| Some((Target::Fd(fd(first)), wants));
    match Abi::Native.call(call.number) {
        Sys::Read => on("read"),
        Sys::Write => on("write"),
        Sys::Receive | Sys::ReceiveMany => on("receive"),
        Sys::Send => on("send"),
        Sys::Accept => on("accept"),
        Sys::Connect => on("connect"),
        Sys::Splice | Sys::Tee => on("read"),
        Sys::SendFile => on("write"),
        Sys::MqReceive => on("receive"),
        Sys::MqSend => on("send"),
        Sys::EpollWait | Sys::EpollPwait2 => on("poll"),
        Sys::MsgReceive => Some((Target::Queue(fd(first)), "receive")),
        Sys::MsgSend => Some((Target::Queue(fd(first)), "send")),
        Sys::SemOp | Sys::SemTimedOp => Some((Target::Set(fd(first)), "acquire")),
        Sys::Flock => Some((Target::Lock(fd(first), "flock"), "lock")),
        Sys::Fcntl => match i32::try_from(second).ok()? {
            libc::F_SETLKW => Some((Target::Lock(fd(first), "lockf"), "lock")),
            libc::F_OFD_SETLKW => Some((Target::Lock(fd(first), "ofd"), "lock")),
            _ => None,
        },
        Sys::Futex => Some((Target::Futex(first), "wait")),
        Sys::Poll | Sys::Ppoll => Some((
            Target::Poll {
                address: first,
                count: second,
            },
            "poll",
        )),
        Sys::SigWait | Sys::SigSuspend | Sys::Pause => Some((Target::Signals, "signal")),
        _ => None,
    }
}

/// Whether the call may be about an object of ours.
pub(super) fn concerns_ipc(call: &Call) -> bool {
    target(call).is_some()
}

/// As many descriptors as one waiter is asked for.
const POLLED: u64 = 4096;

/// The descriptors that `poll` was given; none for another call, or when its memory may not be read.
pub(super) fn polled(pid: u32, call: &Call) -> Vec<i32> {
    let Some((Target::Poll { address, count }, _)) = target(call) else {
        return Vec::new();
    };
    let mut bytes = vec![0; 8 * usize::try_from(count.min(POLLED)).unwrap_or(0)];
    let Ok(length) = memory::read(pid, address, &mut bytes) else {
        return Vec::new();
    };
    // struct pollfd: descriptor, events, returned events. A negative one is skipped by the kernel too.
    let entries = bytes[..length].as_chunks::<8>().0.iter();
    entries
        .map(|&[a, b, c, d, ..]| i32::from_ne_bytes([a, b, c, d]))
        .filter(|&fd| fd >= 0)
        .collect()
}

impl Capture<'_> {
    /// Adds the sleeping threads of a process to what they wait for; `keys` leads from its descriptors to the objects.
    pub(super) fn waiters(&mut self, look: &Look, keys: &HashMap<i32, Key>) {
        let ipc = look.ipc_ns.unwrap_or(self.own.ipc);
        for sleeper in &look.sleepers {
            let Some((target, wants)) = target(&sleeper.call) else {
                continue;
            };
            let waiter = self.waiter(look.identity.pid, sleeper, wants);
            match target {
                Target::Fd(fd) => self.wait(keys.get(&fd).copied(), &waiter),
                Target::Queue(id) => self.wait(Some(Key::Queue(ipc, id)), &waiter),
                Target::Set(id) => self.wait(Some(Key::Set(ipc, id)), &waiter),
                Target::Signals => self.wait_for_signals(look, &waiter),
                Target::Poll { .. } => {
                    for fd in &sleeper.polled {
                        self.wait(keys.get(fd).copied(), &waiter);
                    }
                }
                Target::Futex(address) => {
                    let mapping = look
                        .mappings
                        .iter()
                        .find(|mapping| (mapping.start..mapping.end).contains(&address));
                    let key = mapping.map(|mapping| super::mappings::key(mapping, ipc));
                    self.wait(key, &waiter);
                }
                Target::Lock(fd, scheme) => {
                    let file = look
                        .fds
                        .iter()
                        .find(|look| look.fd.fd == fd)
                        .and_then(|look| look.facts);
                    if let Some(facts) = file {
                        self.lock_waiters.push(locks::Sleeper {
                            file: facts.id,
                            scheme,
                            waiter,
                        });
                    }
                }
            }
        }
    }

    fn waiter(&self, pid: u32, sleeper: &Sleeper, wants: &'static str) -> Waiter {
        let since = self
            .clock
            .zip(sleeper.last_ran)
            .map(|(clock, last)| clock.since(last));
        Waiter {
            pid,
            tid: Some(sleeper.tid),
            comm: sleeper.comm.clone(),
            wants,
            since_ms: since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn wait(&mut self, key: Option<Key>, waiter: &Waiter) {
        if let Some(object) = key.and_then(|key| self.known(key)) {
            push(object, waiter);
        }
    }
}

fn push(object: &mut Object, waiter: &Waiter) {
    // The same descriptor may be polled twice.
    if object.waiters.last() != Some(waiter) {
        object.waiters.push(waiter.clone());
    }
}
