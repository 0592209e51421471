//! UnixSocket: a Unix socket with its peer, its queues and the clients not yet accepted, asked of the kernel without any privilege.
//!
//! The answer is that of one network namespace, the one the calling thread is in; [`namespace::inside`](super::namespace::inside)
//! looks at another. Where the kernel has no `unix_diag`, `/proc/net/unix` gives names and inodes but no peers. sock_diag(7).

use std::io;

use super::netlink::{self, attributes, u32_at};
use super::text::{Words, decimal, hex, lines};
use super::{Device, FileId, ProcFs, Scratch};

/// What a message is on a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnixKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    SeqPacket,
}

/// State of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnixState {
    /// Connected (stream, seqpacket), or has a peer (datagram).
    Connected,
    /// Accepts connections.
    Listening,
    /// Neither: new, or a datagram socket that receives from anyone.
    Unconnected,
}

/// One Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// Inode number, as in the link of the descriptors: 0 while it waits to be accepted.
    pub ino: u64,
    /// Stream, datagram or seqpacket.
    pub kind: UnixKind,
    /// State.
    pub state: UnixState,
    /// The name: a path, or an abstract name with its leading NUL; `None` for an unnamed one.
    pub name: Option<Box<[u8]>>,
    /// The file of a socket with a path.
    pub file: Option<FileId>,
    /// The peer's inode; `Some(0)` when there is a peer that is not accepted yet.
    pub peer: Option<u64>,
    /// Inodes of clients that wait to be accepted; only of a listener.
    pub unaccepted: Vec<u64>,
    /// Bytes to be read, or clients to be accepted.
    pub receive_queue: u32,
    /// Bytes sent and not yet read, with the kernel's overhead; of a listener its backlog.
    pub send_queue: u32,
    /// Bytes it may have under way before a sender waits (`SO_SNDBUF` with overhead).
    pub send_limit: Option<u32>,
    /// 1: will not receive, 2: will not send, 3: neither.
    pub shutdown: u8,
    /// Owner, kernel 5.3 or newer.
    pub uid: Option<u32>,
}

const STATE_ESTABLISHED: u8 = 1;
const STATE_LISTEN: u8 = 10;
/// `UDIAG_SHOW_NAME | VFS | PEER | ICONS | RQLEN | MEMINFO | UID`.
const SHOW: u32 = 1 | 2 | 4 | 8 | 16 | 32 | 64;

/// All Unix sockets of the calling thread's network namespace.
pub fn sockets() -> io::Result<Vec<UnixSocket>> {
    let mut sockets = Vec::new();
    // struct unix_diag_req: family, protocol, padding, states, inode, show, cookie.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for word in [u32::MAX, 0, SHOW, 0, 0] {
        request.extend_from_slice(&word.to_ne_bytes());
    }
    netlink::dump(&netlink::open()?, &request, |answer| {
        sockets.extend(parse(answer))
    })?;
    Ok(sockets)
}

/// struct unix_diag_msg: family, type, state, padding, inode, cookie\[2\]; then attributes.
fn parse(answer: &[u8]) -> Option<UnixSocket> {
    let &[_, kind, state, _, ..] = answer else {
        return None;
    };
    let mut socket = empty(kind, state, u64::from(u32_at(answer, 4)?))?;
    for (kind, value) in attributes(answer.get(16..)?) {
        match kind {
            0 => {
                socket.name = Some(
                    value
                        .strip_suffix(b"\0")
                        .filter(|name| !name.is_empty() && name[0] != 0)
                        .unwrap_or(value)
                        .into(),
                )
            }
            1 => {
                let ino = u64::from(u32_at(value, 0)?);
                socket.file = Some(FileId {
                    device: Device::from_kernel(u32_at(value, 4)?),
                    ino,
                });
            }
            2 => socket.peer = Some(u64::from(u32_at(value, 0)?)),
            3 => {
                socket.unaccepted = value
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|ino| u64::from(u32::from_ne_bytes(*ino)))
                    .collect()
            }
            4 => (socket.receive_queue, socket.send_queue) = (u32_at(value, 0)?, u32_at(value, 4)?),
            // rmem_alloc, rcvbuf, wmem_alloc, sndbuf, …
            5 => socket.send_limit = u32_at(value, 12),
            6 => socket.shutdown = *value.first()?,
            7 => socket.uid = u32_at(value, 0),
            _ => {}
        }
    }
    Some(socket)
}

fn empty(kind: u8, state: u8, ino: u64) -> Option<UnixSocket> {
    Some(UnixSocket {
        ino,
        kind: match i32::from(kind) {
            libc::SOCK_STREAM => UnixKind::Stream,
            libc::SOCK_DGRAM => UnixKind::Datagram,
            libc::SOCK_SEQPACKET => UnixKind::SeqPacket,
            _ => return None,
        },
        state: match state {
            STATE_ESTABLISHED => UnixState::Connected,
            STATE_LISTEN => UnixState::Listening,
            _ => UnixState::Unconnected,
        },
        name: None,
        file: None,
        peer: None,
        unaccepted: Vec::new(),
        receive_queue: 0,
        send_queue: 0,
        send_limit: None,
        shutdown: 0,
        uid: None,
    })
}

/// The same from `/proc/net/unix`: no peers, no queues.
pub fn sockets_from_table(proc: &ProcFs, scratch: &mut Scratch) -> io::Result<Vec<UnixSocket>> {
    Ok(lines(proc.read("thread-self/net/unix", scratch)?)
        .skip(1)
        .filter_map(parse_row)
        .collect())
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 23456 @name`: flag 0x10000 is "accepts", state 3 is "connected".
fn parse_row(line: &[u8]) -> Option<UnixSocket> {
    let mut words = Words::new(line);
    let listening = hex(words.nth(3)?)? & 0x1_0000 != 0;
    let kind = u8::try_from(hex(words.next()?)?).ok()?;
    let state = match hex(words.next()?)? {
        _ if listening => STATE_LISTEN,
        3 => STATE_ESTABLISHED,
        _ => 7,
    };
    let mut socket = empty(kind, state, decimal(words.next()?)?)?;
    // The rest of the line, with its blanks, is the name.
    let name = words.rest();
    let name = (!name.is_empty()).then_some(name);
    socket.name = name.map(|name| match name.strip_prefix(b"@") {
        Some(abstract_name) => [b"\0", abstract_name].concat().into(),
        None => name.into(),
    });
    Some(socket)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ino(socket: &UnixStream) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()))
            .expect("own descriptor");
        match super::super::Link::parse(link.as_os_str().as_encoded_bytes()) {
            super::super::Link::Socket(ino) => ino,
            link => panic!("{link:?} is no socket"),
        }
    }

    #[test]
    fn the_two_ends_of_a_pair_name_each_other() {
        let (left, right) = UnixStream::pair().expect("a pair");
        let sockets = sockets().expect("unix_diag");
        let find = |ino| {
            sockets
                .iter()
                .find(|socket| socket.ino == ino)
                .expect("listed")
        };
        assert_eq!(find(ino(&left)).peer, Some(ino(&right)));
        assert_eq!(find(ino(&right)).peer, Some(ino(&left)));
    }

    #[test]
    fn a_row_of_the_table_keeps_blanks_in_the_name() {
        let socket =
            parse_row(b"0000000000000000: 00000002 00000000 00010000 0001 01 23456 /tmp/a b")
                .expect("a row");
        assert_eq!((socket.ino, socket.state), (23456, UnixState::Listening));
        assert_eq!(socket.name.as_deref(), Some(b"/tmp/a b".as_slice()));
        let socket = parse_row(b"0000000000000000: 00000002 00000000 00000000 0002 01    12 @x")
            .expect("a row");
        assert_eq!(socket.name.as_deref(), Some(b"\0x".as_slice()));
        assert!(
            parse_row(b"0000000000000000: 00000002 00000000 00000000 0002 01    12")
                .expect("a row")
                .name
                .is_none()
        );
    }
}
