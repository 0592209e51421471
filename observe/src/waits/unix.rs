//! Unix socket: the peer's holders can end the wait, and before the connection is accepted the listener's.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use super::descriptor::{Direction, add_unseen_holders, wakers};
use super::machine::{Holder, Machine};
use super::uring;
use crate::graph::{Clause, Outside, State, Tier};
use crate::proc::UnixSocket;
use crate::proc::probe::Lender;
use crate::proc::unix_diag::{UnixKind, UnixState};
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;

/// Who can make it ready; `None` if it is no Unix socket that we know.
pub(super) fn need(
    machine: &Machine,
    pid: u32,
    fd: i32,
    ino: u64,
    direction: Direction,
) -> Option<Need> {
    let socket = machine.unix_sockets().get(&ino)?;
    let facility = facility(socket.kind);
    let mut resource = name(socket);
    if machine.detail
        && let Some(fill) = fill(pid, fd)
    {
        resource.push_str(&fill);
    }
    if socket.state == UnixState::Listening {
        return Some(Need::world(
            facility,
            resource,
            "waits for a connection",
            "a client that connects",
        ));
    }
    let (why, what) = match direction {
        Direction::Read => ("receives; nothing has been sent", "may send"),
        Direction::Write => (
            "sends; the other has not read what was sent before",
            "must read",
        ),
    };
    let peer = match socket.peer {
        Some(peer) if peer != 0 => peer,
        _ => return Some(unaccepted(machine, socket, facility, resource, direction)),
    };
    let holders = machine.socket(peer);
    let mut clause = Clause::any(wakers(holders, what, |_| true));
    if clause.wakers.is_empty() {
        let whom = "the other end is in no visible process";
        return Some(Need::world(facility, resource, why, whom));
    }
    if socket.kind == UnixKind::Datagram && direction == Direction::Write {
        // The receiver's queue may be full of what others sent; reading is still the receiver's.
        clause = clause.outside(Outside::Closed);
    }
    // A pair that a program has for itself is there for its signal handlers to write to, as a pipe is.
    let own = holders.iter().any(|holder| holder.pid == pid);
    uring::add_registered(machine, &format!("socket:[{peer}]"), &mut clause);
    add_own_end(machine, pid, ino, &mut clause);
    add_unseen_holders(machine, holders, &mut clause);
    let need = Need::new(facility, resource, why, clause);
    Some(if own { need.by_handler() } else { need })
}

/// Whoever has the waiter's own end could shut it down.
fn add_own_end(machine: &Machine, pid: u32, ino: u64, clause: &mut Clause) {
    for mut waker in wakers(machine.socket(ino), "could shut it down", |_| true) {
        if waker.who == crate::graph::Who::Process(pid) {
            waker.who = crate::graph::Who::Others(pid);
        }
        if !clause.wakers.iter().any(|known| known.who == waker.who) {
            clause.wakers.push(waker.tier(Tier::Possible));
        }
    }
}

/// No peer yet: connected but not accepted, or a datagram socket that anybody may send to.
fn unaccepted(
    machine: &Machine,
    socket: &UnixSocket,
    facility: &'static str,
    resource: String,
    direction: Direction,
) -> Need {
    if socket.kind == UnixKind::Datagram {
        return Need::world(
            facility,
            resource,
            "waits for a datagram",
            "whoever sends to it",
        );
    }
    let listener = machine
        .unix_sockets()
        .values()
        .find(|other| other.unaccepted.contains(&socket.ino));
    let Some(listener) = listener else {
        return Need::world(
            facility,
            resource,
            "has no peer",
            "somebody who cannot be seen",
        );
    };
    let why = match direction {
        Direction::Read => "receives, but the server has not accepted the connection",
        Direction::Write => "sends, but the server has not accepted the connection",
    };
    let clause = Clause::any(wakers(machine.socket(listener.ino), "listener", |_| true));
    let resource = format!("{resource} to {}", name(listener));
    if clause.wakers.is_empty() {
        return Need::world(
            facility,
            resource,
            why,
            "the listener is in no visible process",
        );
    }
    Need::new(facility, resource, why, clause)
}

/// Blocked in connect(2): the backlog of the listener is full.
pub(super) fn connecting(ask: &Ask<'_>) -> State {
    let Some(address) = address(ask, ask.arg(1), ask.arg(2)) else {
        return live("connects to another machine, or over the network");
    };
    let resource = format!("unix:{}", shown(&address));
    match listeners(ask.machine, &address, UnixState::Listening) {
        Some((holders, backlog)) => {
            let clause = Clause::any(wakers(&holders, "listener", |_| true));
            let why = format!(
                "connects, but {backlog} connections wait to be accepted and there is room for no more"
            );
            Need::new("unix", resource, why, clause).wait()
        }
        None => Need::world("unix", resource, "connects", "the listener cannot be seen").wait(),
    }
}

/// Blocked in a send of a datagram to an address.
pub(super) fn sending_to(ask: &Ask<'_>, fd: i32) -> Option<Need> {
    let socket = ask.machine.fd(ask.seen.pid, fd)?.link.socket()?;
    let socket = ask.machine.unix_sockets().get(&socket)?;
    if socket.kind != UnixKind::Datagram {
        return None;
    }
    // sendto(2) has the address in its arguments, sendmsg(2) in a header in memory.
    let (at, length) = if ask.arg(4) > 4096 && ask.arg(5) > 0 && ask.arg(5) <= 128 {
        (ask.arg(4), ask.arg(5))
    } else {
        let at = ask.pointer(ask.arg(1))?;
        (
            at,
            u64::from(ask.words::<1>(ask.arg(1) + ask.abi.word() as u64)?[0]),
        )
    };
    let address = address(ask, at, length)?;
    let (holders, _) = listeners(ask.machine, &address, UnixState::Unconnected)?;
    let clause = Clause::any(wakers(&holders, "must read", |_| true));
    let resource = format!("unix-dgram:{}", shown(&address));
    Some(Need::new(
        "unix-dgram",
        resource,
        "sends a datagram; the receiver's queue is full",
        clause,
    ))
}

/// Whether the socket has a time limit (`SO_RCVTIMEO`, `SO_SNDTIMEO`).
pub(super) fn time_limit(ask: &Ask<'_>, fd: i32, direction: Direction) -> bool {
    if ask
        .machine
        .fd(ask.seen.pid, fd)
        .and_then(|fd| fd.link.socket())
        .is_none()
    {
        return false;
    }
    let Ok(borrowed) = Lender::open(ask.seen.pid).and_then(|lender| lender.borrow(fd)) else {
        return false;
    };
    let option = match direction {
        Direction::Read => libc::SO_RCVTIMEO,
        Direction::Write => libc::SO_SNDTIMEO,
    };
    let mut limit = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let mut length = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: `limit` and `length` are valid for writes and `length` is the size of `limit`.
    let result = unsafe {
        libc::getsockopt(
            borrowed.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut limit).cast(),
            &raw mut length,
        )
    };
    result == 0 && (limit.tv_sec != 0 || limit.tv_usec != 0)
}

/// Sockets with descriptors in their receive queue, and how many.
pub(super) fn in_flight(machine: &Machine) -> &[(u64, u64)] {
    machine.cache.in_flight.get_or_init(|| {
        let mut found = Vec::new();
        for (ino, holders) in machine.sockets() {
            // Only a Unix socket with unread data can carry any.
            let carries = machine
                .unix_sockets()
                .get(&ino)
                .is_some_and(|socket| socket.receive_queue > 0);
            if !carries {
                continue;
            }
            let info = holders
                .first()
                .and_then(|holder| machine.fdinfo(holder.pid, holder.fd));
            if let Some(count) = info
                .and_then(|info| info.in_flight)
                .filter(|&count| count > 0)
            {
                found.push((ino, count));
            }
        }
        found
    })
}

/// The call behind socketcall(2) of 32-bit programs, with its arguments put where the direct call has them.
pub(super) fn demultiplex(ask: &mut Ask<'_>) -> Sys {
    let sys = match ask.arg(0) {
        3 => Sys::Connect,
        5 | 18 => Sys::Accept,
        9 | 11 | 16 | 20 => Sys::Send,
        10 | 12 | 17 => Sys::Receive,
        19 => Sys::ReceiveMany,
        _ => return Sys::Other,
    };
    match ask.words::<6>(ask.arg(1)).or_else(|| {
        let few = ask.words::<3>(ask.arg(1))?;
        Some([few[0], few[1], few[2], 0, 0, 0])
    }) {
        Some(words) => {
            ask.call.args = words.map(u64::from);
            sys
        }
        None => Sys::Other,
    }
}

fn address(ask: &Ask<'_>, at: u64, length: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(length)
        .ok()
        .filter(|length| (3..=110).contains(length))?;
    let bytes = ask.bytes(at, length)?;
    let (family, path) = bytes.split_at(2);
    if u16::from_ne_bytes([family[0], family[1]]) != libc::AF_UNIX as u16 {
        return None;
    }
    if path[0] == 0 {
        return Some(path.to_vec());
    }
    Some(
        path.split(|&byte| byte == 0)
            .next()
            .unwrap_or(path)
            .to_vec(),
    )
}

/// The holders of the sockets with this name, and the number of clients that wait there.
fn listeners(machine: &Machine, address: &[u8], state: UnixState) -> Option<(Vec<Holder>, u32)> {
    let mut holders = Vec::new();
    let mut waiting = 0;
    for socket in machine.unix_sockets().values() {
        // The listener may have bound by another path to the same directory: the last part must agree.
        let same = socket.name.as_deref().is_some_and(|name| {
            name == address || (address[0] != 0 && last(name) == last(address))
        });
        if same && socket.state == state {
            holders.extend_from_slice(machine.socket(socket.ino));
            waiting = waiting.max(socket.receive_queue);
        }
    }
    (!holders.is_empty()).then_some((holders, waiting))
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

fn facility(kind: UnixKind) -> &'static str {
    match kind {
        UnixKind::Datagram => "unix-dgram",
        UnixKind::SeqPacket => "unix-seqpacket",
        _ => "unix",
    }
}

fn name(socket: &UnixSocket) -> String {
    match &socket.name {
        Some(name) => format!("unix:{} socket:[{}]", shown(name), socket.ino),
        None => format!("socket:[{}]", socket.ino),
    }
}

fn shown(name: &[u8]) -> String {
    match name.split_first() {
        Some((0, rest)) => format!("@{}", String::from_utf8_lossy(rest)),
        _ => String::from_utf8_lossy(name).into_owned(),
    }
}

fn fill(pid: u32, fd: i32) -> Option<String> {
    let socket = Lender::open(pid).ok()?.borrow(fd).ok()?;
    let unsent = socket.unsent_bytes().unwrap_or(0);
    Some(format!(
        " ({} bytes to read, {unsent} sent and not read)",
        socket.readable_bytes().ok()?
    ))
}
