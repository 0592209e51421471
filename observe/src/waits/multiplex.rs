//! Multiplex: poll, select and epoll wait for any of many; one that the world can make ready keeps the thread alive.

use super::abi::{Abi, Sys};
use super::ask::{Ask, Need, add, live};
use super::descriptor::{self, Direction};
use super::machine::Machine;
use crate::graph::{Clause, Outside, State, Tier, Waker};
use crate::proc::Link;

/// More descriptors than this are not looked through.
const MOST: usize = 65_536;

/// Any of these ends the wait.
pub(super) fn any_of(facility: &'static str, needs: Vec<Need>) -> Need {
    let mut clause = Clause::default();
    let mut resources: Vec<String> = Vec::new();
    let mut by_handler = false;
    for need in needs {
        for waker in need.clause.wakers {
            add(&mut clause.wakers, waker);
        }
        let known = clause.outside.clone();
        clause = clause.outside(match (known, need.clause.outside) {
            // Keep the first of two worlds.
            (Outside::World(first), _) => Outside::World(first),
            (_, other) => other,
        });
        by_handler |= need.by_handler;
        resources.push(format!("{} {}", need.facility, need.resource));
    }
    let more = resources.len().saturating_sub(4);
    resources.truncate(4);
    let mut resource = resources.join(", ");
    if more > 0 {
        resource.push_str(&format!(" and {more} more"));
    }
    let mut need = Need::new(
        facility,
        resource,
        "waits until any of these is ready",
        clause,
    );
    need.by_handler = by_handler;
    need
}

/// Nothing is waited for: this is a pause.
fn pause(facility: &'static str, limited: bool) -> State {
    if limited {
        return live("sleeps for a time");
    }
    Need::world(
        facility,
        "nothing",
        "waits for no descriptor, only for a signal",
        "a signal",
    )
    .wait()
}

/// Blocked in poll(2) or ppoll(2).
pub(super) fn poll(ask: &Ask<'_>) -> State {
    let limited = match ask.sys {
        Sys::Poll => ask.int(2) >= 0,
        _ => ask.arg(2) != 0,
    };
    if limited && !ask.machine.detail {
        return live("polls with a time limit");
    }
    let count = usize::try_from(ask.arg(1)).unwrap_or(usize::MAX);
    if count == 0 {
        return pause("poll", limited);
    }
    if count > MOST {
        return live("polls more descriptors than can be looked at");
    }
    let Some(bytes) = ask.bytes(ask.arg(0), count * 8) else {
        return live("its list of descriptors cannot be read");
    };
    let mut needs = Vec::new();
    for entry in bytes.chunks_exact(8) {
        let fd = i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
        let events = i16::from_ne_bytes([entry[4], entry[5]]);
        if fd < 0 {
            continue;
        }
        if !interests(
            ask.machine,
            ask.seen.pid,
            fd,
            u32::from(events.cast_unsigned()),
            &mut needs,
        ) {
            return live(format!("polls descriptor {fd}, which is not known"));
        }
    }
    if needs.is_empty() {
        pause("poll", limited)
    } else {
        any_of("poll", needs).limited(limited).wait()
    }
}

/// Blocked in select(2) or pselect(2).
pub(super) fn select(ask: &Ask<'_>) -> State {
    let mut arguments = ask.call.args;
    if ask.sys == Sys::OldSelect {
        let Some(words) = ask.words::<5>(ask.arg(0)) else {
            return live("its arguments cannot be read");
        };
        arguments[..5].copy_from_slice(&words.map(u64::from));
    }
    let narrow = |word: u64| {
        if ask.abi == Abi::Compat {
            word & 0xffff_ffff
        } else {
            word
        }
    };
    let [count, read, write, except, limit, _] = arguments.map(narrow);
    let limited = limit != 0;
    if limited && !ask.machine.detail {
        return live("selects with a time limit");
    }
    let count = count as u32 as usize;
    if count > MOST {
        return live("selects more descriptors than can be looked at");
    }
    let length = count.div_ceil(ask.abi.word() * 8) * ask.abi.word();
    let mut needs = Vec::new();
    for (set, events) in [
        (read, libc::POLLIN),
        (write, libc::POLLOUT),
        (except, libc::POLLPRI),
    ] {
        if set == 0 || length == 0 {
            continue;
        }
        let Some(bits) = ask.bytes(set, length) else {
            return live("its sets of descriptors cannot be read");
        };
        for fd in (0..count).filter(|&fd| bits[fd / 8] >> (fd % 8) & 1 == 1) {
            let Ok(fd) = i32::try_from(fd) else { continue };
            let events = u32::from(events.cast_unsigned());
            if !interests(ask.machine, ask.seen.pid, fd, events, &mut needs) {
                return live(format!("selects descriptor {fd}, which is not known"));
            }
        }
    }
    if needs.is_empty() {
        pause("select", limited)
    } else {
        any_of("select", needs).limited(limited).wait()
    }
}

/// Blocked in epoll_wait(2).
pub(super) fn epoll(ask: &Ask<'_>) -> State {
    let limited = match ask.sys {
        Sys::EpollWait => ask.int(3) >= 0,
        _ => ask.arg(3) != 0,
    };
    if limited && !ask.machine.detail {
        return live("waits for epoll with a time limit");
    }
    let mut need = watched(ask.machine, ask.seen.pid, ask.fd(0)).limited(limited);
    // Another thread may add a descriptor that is ready.
    add(
        &mut need.clause.wakers,
        Waker::others(ask.seen.pid)
            .tier(Tier::Possible)
            .role("could add a descriptor"),
    );
    need.wait()
}

/// Who can make any descriptor ready that the epoll instance watches.
pub(super) fn watched(machine: &Machine, pid: u32, fd: i32) -> Need {
    let Some(info) = machine.fdinfo(pid, fd) else {
        return Need::world(
            "epoll",
            "epoll",
            "waits for epoll",
            "its interests cannot be read",
        );
    };
    let mut needs = Vec::new();
    for target in &info.epoll {
        // Each EPOLL* bit that counts has the value of its POLL* twin; a one-shot that has fired has none.
        if target.events & 0xffff == 0 {
            continue;
        }
        let same =
            machine
                .fd(pid, target.fd)
                .is_some_and(|entry| match (&entry.link, target.file) {
                    (Link::Pipe(ino) | Link::Socket(ino) | Link::Numbered(_, ino), Some(file)) => {
                        *ino == file.ino
                    }
                    (Link::Anonymous(kind), _) => &**kind != "eventpoll" || target.fd != fd,
                    (_, Some(file)) => machine
                        .facts(pid, target.fd)
                        .is_some_and(|facts| facts.id.ino == file.ino),
                    (_, None) => true,
                });
        if !same || !interests(machine, pid, target.fd, target.events, &mut needs) {
            // The descriptor was closed or reused; what it watches lives on elsewhere.
            return Need::world(
                "epoll",
                "epoll",
                "waits for epoll",
                "a descriptor that is not in the table any more",
            );
        }
    }
    if needs.is_empty() {
        let holders = "another thread that adds a descriptor, or a signal";
        return Need::world("epoll", "epoll of nothing", "waits for epoll", holders);
    }
    any_of("epoll", needs)
}

/// Adds what these poll events need; `false` if the descriptor is unknown.
fn interests(machine: &Machine, pid: u32, fd: i32, events: u32, needs: &mut Vec<Need>) -> bool {
    let has = |bits: libc::c_short| events & u32::from(bits.cast_unsigned()) != 0;
    let read = has(libc::POLLIN | libc::POLLRDNORM | libc::POLLPRI | libc::POLLRDHUP);
    let write = has(libc::POLLOUT | libc::POLLWRNORM);
    let mut wanted = Vec::new();
    if read {
        wanted.push(Direction::Read);
    }
    if write {
        wanted.push(Direction::Write);
    }
    if wanted.is_empty() {
        // Errors and hang-up are always waited for: the other end can cause them, whichever that is.
        match machine.fd(pid, fd).map(|entry| entry.access.reads()) {
            Some(true) => wanted.push(Direction::Read),
            Some(false) => wanted.push(Direction::Write),
            None => return false,
        }
    }
    for direction in wanted {
        match descriptor::need(machine, pid, fd, direction) {
            Some(need) => needs.push(need),
            None => return false,
        }
    }
    true
}
