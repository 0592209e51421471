//! InetSocket: a TCP or UDP socket with both addresses and its queues; the peer on this machine is the one with them swapped.
//!
//! One network namespace at a time, as for Unix sockets. Without `inet_diag` the tables in `/proc/net` give the same facts.
//! sock_diag(7), proc_pid_net(5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::netlink::{self, u32_at};
use super::text::{Words, decimal, hex, lines};
use super::{Process, Scratch};

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One TCP or UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InetSocket {
    /// Protocol.
    pub protocol: Protocol,
    /// The kernel's state number: 1 established, 10 listening, 7 closed (a UDP socket without a peer)…
    pub state: u8,
    /// Own address.
    pub local: SocketAddr,
    /// The other's address; unspecified with port 0 when there is none.
    pub remote: SocketAddr,
    /// Bytes to be read, or connections to be accepted.
    pub receive_queue: u32,
    /// Bytes not acknowledged, or the backlog.
    pub send_queue: u32,
    /// Owner.
    pub uid: u32,
    /// Inode number; 0 when no descriptor leads to it: not accepted yet, or closed and still sending.
    pub ino: u64,
}

/// Number of the state "listening".
pub const LISTEN: u8 = 10;
/// Number of the state "established".
pub const ESTABLISHED: u8 = 1;

/// Both addresses without the detour of IPv6 for IPv4, so that the two ends of a connection can be matched.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl InetSocket {
    /// Whether the other socket is this one's peer.
    #[must_use]
    pub fn is_peer_of(&self, other: &InetSocket) -> bool {
        self.protocol == other.protocol
            && self.remote.port() != 0
            && canonical(self.local) == canonical(other.remote)
            && canonical(self.remote) == canonical(other.local)
    }
}

/// All TCP and UDP sockets of the calling thread's network namespace.
pub fn sockets() -> io::Result<Vec<InetSocket>> {
    let mut sockets = Vec::new();
    let socket = netlink::open()?;
    for (protocol, number) in [
        (Protocol::Tcp, libc::IPPROTO_TCP),
        (Protocol::Udp, libc::IPPROTO_UDP),
    ] {
        for family in [libc::AF_INET, libc::AF_INET6] {
            // struct inet_diag_req_v2: family, protocol, extensions, padding, states, then an address that matches all.
            let mut request = vec![family as u8, number as u8, 0, 0];
            request.extend_from_slice(&u32::MAX.to_ne_bytes());
            request.extend_from_slice(&[0; 48]);
            match netlink::dump(&socket, &request, |answer| {
                sockets.extend(parse(protocol, answer))
            }) {
                // No IPv6, or no module for this protocol.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::ENOENT | libc::EINVAL | libc::EAFNOSUPPORT)
                    ) => {}
                result => result?,
            }
        }
    }
    Ok(sockets)
}

/// struct inet_diag_msg: family, state, timer, retransmissions; ports, addresses, interface, cookie; five words.
fn parse(protocol: Protocol, answer: &[u8]) -> Option<InetSocket> {
    let &[family, state, ..] = answer else {
        return None;
    };
    let port = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| {
        let bytes: [u8; 16] = answer.get(at..at + 16)?.try_into().ok()?;
        let [a, b, c, d, ..] = bytes;
        Some(if i32::from(family) == libc::AF_INET {
            IpAddr::from(Ipv4Addr::new(a, b, c, d))
        } else {
            Ipv6Addr::from(bytes).into()
        })
    };
    Some(InetSocket {
        protocol,
        state,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        receive_queue: u32_at(answer, 56)?,
        send_queue: u32_at(answer, 60)?,
        uid: u32_at(answer, 64)?,
        ino: u64::from(u32_at(answer, 68)?),
    })
}

/// The same from `/proc/PID/net/{tcp,tcp6,udp,udp6}`: of the namespace that process is in, without entering it.
pub fn sockets_of(process: &Process, scratch: &mut Scratch) -> io::Result<Vec<InetSocket>> {
    let mut sockets = Vec::new();
    for (path, protocol) in [
        ("net/tcp", Protocol::Tcp),
        ("net/tcp6", Protocol::Tcp),
        ("net/udp", Protocol::Udp),
        ("net/udp6", Protocol::Udp),
    ] {
        match process.read(path, scratch) {
            Ok(text) => sockets.extend(
                lines(text)
                    .skip(1)
                    .filter_map(|line| parse_row(protocol, line)),
            ),
            // No IPv6 here.
            Err(error) if super::gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// `sl local rem st tx:rx tr:when retrnsmt uid timeout inode …`
fn parse_row(protocol: Protocol, line: &[u8]) -> Option<InetSocket> {
    let mut words = Words::new(line).skip(1);
    let local = socket_address(words.next()?)?;
    let remote = socket_address(words.next()?)?;
    let state = hex(words.next()?)?.try_into().ok()?;
    let queues = words.next()?;
    let colon = queues.iter().position(|&byte| byte == b':')?;
    let send_queue = hex(&queues[..colon])?.try_into().ok()?;
    let receive_queue = hex(&queues[colon + 1..])?.try_into().ok()?;
    let uid = decimal(words.nth(2)?)?.try_into().ok()?;
    let ino = decimal(words.nth(1)?)?;
    Some(InetSocket {
        protocol,
        state,
        local,
        remote,
        receive_queue,
        send_queue,
        uid,
        ino,
    })
}

/// `0100007F:1F90`: words of 32 bits in the machine's byte order, the port as a number.
fn socket_address(word: &[u8]) -> Option<SocketAddr> {
    let colon = word.iter().position(|&byte| byte == b':')?;
    let port = hex(&word[colon + 1..])?.try_into().ok()?;
    let words = word[..colon]
        .chunks(8)
        .map(|word| Some(u32::try_from(hex(word)?).ok()?.to_ne_bytes()));
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ends_of_a_connection_are_peers_in_either_source() {
        let listener = TcpListener::bind("[::]:0")
            .or_else(|_| TcpListener::bind("127.0.0.1:0"))
            .expect("a listener");
        let port = listener.local_addr().expect("bound").port();
        let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let (_server, _) = listener.accept().expect("accepted");
        let own = client.local_addr().expect("connected");
        let proc = super::super::ProcFs::open().expect("/proc");
        let process = proc.process(std::process::id()).expect("ourselves");
        for all in [
            sockets().expect("inet_diag"),
            sockets_of(&process, &mut Scratch::new()).expect("tables"),
        ] {
            let client = all
                .iter()
                .find(|socket| canonical(socket.local) == own && socket.state == ESTABLISHED)
                .expect("listed");
            let server = all
                .iter()
                .find(|socket| socket.is_peer_of(client))
                .expect("the other end");
            assert_eq!(server.local.port(), port);
            assert_ne!(server.ino, client.ino);
            assert!(
                all.iter()
                    .any(|socket| socket.state == LISTEN && socket.local.port() == port)
            );
        }
    }
}
