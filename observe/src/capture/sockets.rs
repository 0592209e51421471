//! Sockets: the tables of every network namespace that a visible process is in, joined with the descriptors, and peer with peer.

use std::collections::HashMap;
use std::net::SocketAddr;

use wigwag::facility::Persistence;

use crate::object::{Fill, Holder, Name, Object, Peer, Unit, Value};
use crate::proc::inet_diag::{self, Protocol, canonical};
use crate::proc::unix_diag::{self, UnixKind, UnixState};
use crate::proc::{InetSocket, ProcFs, Scratch, UnixSocket, namespace};

use super::{Capture, Key, table};

/// The sockets of one network namespace.
#[derive(Default)]
struct Tables {
    unix: Vec<UnixSocket>,
    inet: Vec<InetSocket>,
    problems: Vec<String>,
}

fn read(proc: &ProcFs, pid: u32, unix: bool, inet: bool) -> Tables {
    let mut tables = Tables::default();
    let mut scratch = Scratch::new();
    if unix {
        let sockets = unix_diag::sockets().or_else(|error| {
            tables
                .problems
                .push(format!("peers of Unix sockets: {error}"));
            unix_diag::sockets_from_table(proc, &mut scratch)
        });
        match sockets {
            Ok(sockets) => tables.unix = sockets,
            Err(error) => tables.problems.push(format!("Unix sockets: {error}")),
        }
    }
    if inet {
        let sockets = inet_diag::sockets()
            .or_else(|_| inet_diag::sockets_of(&proc.process(pid)?, &mut scratch));
        match sockets {
            Ok(sockets) => tables.inet = sockets,
            Err(error) => tables.problems.push(format!("inet sockets: {error}")),
        }
    }
    tables
}

impl Capture<'_> {
    /// Gives every socket its family, name, queues and peer.
    pub(super) fn sockets(&mut self) {
        let unix = self
            .options
            .wants_any(&["unix", "unix-dgram", "unix-seqpacket"]);
        let inet = self.options.wants_any(&["tcp", "udp"]);
        if unix || inet {
            let own = read(&self.proc, std::process::id(), unix, inet);
            self.join_sockets(own, None);
            for (space, pid) in std::mem::take(&mut self.net_namespaces) {
                let proc = &self.proc;
                let tables = proc.process(pid).and_then(|process| {
                    namespace::inside(&process, namespace::Kind::Network, || {
                        Ok(read(proc, pid, unix, inet))
                    })
                });
                match tables {
                    Ok(tables) => self.join_sockets(tables, Some(space)),
                    Err(error) => self.unseen.push(table(
                        &format!("network namespace {space} of process {pid}"),
                        &error.to_string(),
                    )),
                }
            }
        }
        // Netlink, packet and other sockets, and those of namespaces that could not be entered.
        self.objects.retain(|object| object.facility != "socket");
    }

    fn join_sockets(&mut self, tables: Tables, space: Option<u64>) {
        for problem in &tables.problems {
            self.unseen.push(table("sockets", problem));
        }
        for socket in &tables.unix {
            if socket.ino != 0 {
                self.unix_socket(socket, space);
            }
        }
        let by_ino: HashMap<u64, &UnixSocket> = tables
            .unix
            .iter()
            .map(|socket| (socket.ino, socket))
            .collect();
        for socket in tables.unix.iter().filter(|socket| socket.ino != 0) {
            let mut peers: Vec<_> = socket
                .peer
                .iter()
                .map(|&ino| self.unix_peer(ino, &by_ino, ino == 0))
                .collect();
            peers.extend(
                socket
                    .unaccepted
                    .iter()
                    .map(|&ino| self.unix_peer(ino, &by_ino, true)),
            );
            if let Some(object) = self.known(Key::Socket(socket.ino)) {
                object.peers = peers;
            }
        }
        self.join_inet(&tables.inet, space);
    }

    fn unix_socket(&mut self, socket: &UnixSocket, space: Option<u64>) {
        let facility = match socket.kind {
            UnixKind::Stream => "unix",
            UnixKind::Datagram => "unix-dgram",
            UnixKind::SeqPacket => "unix-seqpacket",
        };
        let ino = socket.ino;
        let object = self.object(Key::Socket(ino), || {
            Object::new(facility, String::new(), Persistence::Process)
        });
        rename(object, facility, unix_name(socket));
        object.id = Some(ino);
        // A name in the abstract namespace, or a path, leads here only from our own network and mounts.
        if socket.name.is_some() && space.is_none() && socket.state != UnixState::Connected {
            object.set_address();
        }
        if let Some(space) = space {
            object.detail("net_namespace", Value::Number(space.cast_signed()));
        }
        object.uid = socket.uid.or(object.uid);
        object.state = Some(
            match socket.state {
                UnixState::Connected => "connected",
                UnixState::Listening => "listening",
                UnixState::Unconnected => "unconnected",
            }
            .into(),
        );
        let level = u64::from(socket.receive_queue);
        object.fill = vec![if socket.state == UnixState::Listening {
            // The kernel lets one more in than the backlog says.
            Fill::of(level, u64::from(socket.send_queue) + 1, Unit::Connections)
        } else {
            Fill::new(level, Unit::Bytes)
        }];
        if socket.state != UnixState::Listening {
            object.detail("sent_unread", Value::Number(i64::from(socket.send_queue)));
        }
        if let Some(limit) = socket.send_limit {
            object.detail("send_buffer", Value::Number(i64::from(limit)));
        }
        if socket.shutdown != 0 {
            object.detail("shutdown", Value::Number(i64::from(socket.shutdown)));
        }
        if let Some(file) = socket.file {
            object.detail("file_ino", Value::Number(file.ino.cast_signed()));
        }
    }

    fn unix_peer(&self, ino: u64, by_ino: &HashMap<u64, &UnixSocket>, unaccepted: bool) -> Peer {
        let name = by_ino
            .get(&ino)
            .filter(|peer| peer.name.is_some())
            .map(|peer| unix_name(peer))
            .unwrap_or_default();
        Peer {
            name,
            id: (ino != 0).then_some(ino),
            holders: self.holders_of(ino),
            unaccepted,
        }
    }

    fn holders_of(&self, ino: u64) -> Vec<Holder> {
        self.index
            .get(&Key::Socket(ino))
            .map(|&at| self.objects[at].holders.clone())
            .unwrap_or_default()
    }

    fn join_inet(&mut self, sockets: &[InetSocket], space: Option<u64>) {
        type Ends = (Protocol, SocketAddr, SocketAddr);
        let ends = |socket: &InetSocket| -> Ends {
            (
                socket.protocol,
                canonical(socket.local),
                canonical(socket.remote),
            )
        };
        let by_ends: HashMap<Ends, &InetSocket> = sockets
            .iter()
            .map(|socket| (ends(socket), socket))
            .collect();
        // Without an inode it is not accepted yet, or its last data are still under way after the close.
        for socket in sockets.iter().filter(|socket| socket.ino != 0) {
            let (protocol, local, remote) = ends(socket);
            let listening = protocol == Protocol::Tcp && socket.state == inet_diag::LISTEN;
            let peer = (remote.port() != 0 && !listening).then(|| {
                let other = by_ends.get(&(protocol, remote, local));
                let ino = other.map(|other| other.ino).filter(|&ino| ino != 0);
                Peer {
                    name: remote.to_string().into(),
                    id: ino,
                    holders: ino.map(|ino| self.holders_of(ino)).unwrap_or_default(),
                    unaccepted: other.is_some_and(|other| {
                        other.ino == 0 && other.state == inet_diag::ESTABLISHED
                    }),
                }
            });
            let facility = if protocol == Protocol::Tcp {
                "tcp"
            } else {
                "udp"
            };
            let object = self.object(Key::Socket(socket.ino), || {
                Object::new(facility, String::new(), Persistence::Process)
            });
            rename(object, facility, local.to_string().into());
            object.id = Some(socket.ino);
            if space.is_none() && peer.is_none() {
                object.address = Some(format!("{facility}:{local}"));
            }
            if let Some(space) = space {
                object.detail("net_namespace", Value::Number(space.cast_signed()));
            }
            object.uid = Some(socket.uid);
            object.state = Some(state(protocol, socket.state).into());
            object.fill = vec![if listening {
                Fill::of(
                    u64::from(socket.receive_queue),
                    u64::from(socket.send_queue) + 1,
                    Unit::Connections,
                )
            } else {
                Fill::new(u64::from(socket.receive_queue), Unit::Bytes)
            }];
            if !listening {
                object.detail(
                    "unacknowledged",
                    Value::Number(i64::from(socket.send_queue)),
                );
            }
            object.peers = peer.into_iter().collect();
        }
    }
}

fn rename(object: &mut Object, facility: &'static str, name: Name) {
    object.facility = facility;
    object.name_bytes = name.odd_bytes();
    object.name = name;
}

/// The path, `@name` for an abstract one, `socket:[INO]` for none.
fn unix_name(socket: &UnixSocket) -> Name {
    match socket.name.as_deref() {
        Some([0, name @ ..]) => [b"@", name].concat().into(),
        Some(path) => path.into(),
        None => format!("socket:[{}]", socket.ino).into(),
    }
}

/// Names of the kernel's states, net/tcp_states.h.
fn state(protocol: Protocol, number: u8) -> &'static str {
    match (protocol, number) {
        (Protocol::Udp, 1) | (Protocol::Tcp, 1) => "connected",
        (Protocol::Udp, _) => "unconnected",
        (_, 2) => "syn-sent",
        (_, 3 | 12) => "syn-received",
        (_, 4) => "fin-wait-1",
        (_, 5) => "fin-wait-2",
        (_, 6) => "time-wait",
        (_, 7) => "closed",
        (_, 8) => "close-wait",
        (_, 9) => "last-ack",
        (_, 10) => "listening",
        (_, 11) => "closing",
        _ => "unknown",
    }
}
