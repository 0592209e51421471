//! TCP: the peer on this machine is the socket with both addresses swapped; any other is the network.

use super::ask::Need;
use super::descriptor::{Direction, add_unseen_holders, wakers};
use super::machine::Machine;
use super::uring;
use crate::graph::{Clause, Tier};
use crate::proc::InetSocket;
use crate::proc::inet_diag::{LISTEN, Protocol};

/// Who can make it ready.
pub(super) fn need(machine: &Machine, ino: u64, direction: Direction) -> Need {
    let all = machine.inet_sockets();
    let Some((space, socket)) = all.iter().find(|(_, socket)| socket.ino == ino) else {
        return Need::world(
            "socket",
            format!("socket:[{ino}]"),
            "waits for a socket",
            "a socket of another kind",
        );
    };
    let resource = format!("tcp:{} to {} socket:[{ino}]", socket.local, socket.remote);
    if socket.protocol != Protocol::Tcp {
        return Need::world(
            "udp",
            format!("udp:{}", socket.local),
            "waits for a datagram",
            "the network",
        );
    }
    if socket.state == LISTEN {
        let resource = format!("tcp:{}", socket.local);
        return Need::world(
            "tcp",
            resource,
            "waits for a connection",
            "a client that connects",
        );
    }
    let (why, what) = match direction {
        Direction::Read => ("receives; nothing has been sent", "may send"),
        Direction::Write => (
            "sends; the other has not read what was sent before",
            "must read",
        ),
    };
    // The same loopback addresses exist in each network namespace.
    let reachable = |other: &&(u64, InetSocket)| {
        other.0 == *space
            || !(socket.remote.ip().is_loopback()
                || socket.remote.ip().to_canonical().is_loopback())
    };
    let peers: Vec<&InetSocket> = all
        .iter()
        .filter(reachable)
        .map(|(_, other)| other)
        .filter(|other| {
            other.protocol == Protocol::Tcp
                && socket.is_peer_of(other)
                && !std::ptr::eq(*other, socket)
        })
        .collect();
    let holders = match peers[..] {
        [] => {
            return Need::world(
                "tcp",
                resource,
                why,
                format!("the network: {}", socket.remote),
            );
        }
        _ if peers.iter().all(|peer| peer.ino == 0) => {
            // Nobody has accepted it: the listener's holders can.
            let listens = |other: &&InetSocket| {
                other.state == LISTEN
                    && other.local.port() == socket.remote.port()
                    && (other.local.ip().is_unspecified()
                        || other.local.ip().to_canonical() == socket.remote.ip().to_canonical())
            };
            let listeners = all
                .iter()
                .filter(reachable)
                .map(|(_, other)| other)
                .filter(listens);
            listeners
                .flat_map(|listener| machine.socket(listener.ino))
                .copied()
                .collect::<Vec<_>>()
        }
        _ => peers
            .iter()
            .flat_map(|peer| machine.socket(peer.ino))
            .copied()
            .collect(),
    };
    let mut clause = Clause::any(wakers(&holders, what, |_| true));
    if clause.wakers.is_empty() {
        return Need::world(
            "tcp",
            resource,
            why,
            "the other end is in no visible process",
        );
    }
    for peer in &peers {
        uring::add_registered(machine, &format!("socket:[{}]", peer.ino), &mut clause);
    }
    add_unseen_holders(machine, &holders, &mut clause);
    for waker in wakers(machine.socket(ino), "could shut it down", |_| true) {
        if !clause.wakers.iter().any(|known| known.who == waker.who) {
            let waker = match waker.who {
                crate::graph::Who::Process(pid)
                    if machine.socket(ino).iter().all(|holder| holder.pid == pid) =>
                {
                    crate::graph::Waker {
                        who: crate::graph::Who::Others(pid),
                        ..waker
                    }
                }
                _ => waker,
            };
            clause.wakers.push(waker.tier(Tier::Possible));
        }
    }
    Need::new("tcp", resource, why, clause)
}
