//! Options: groups, interface and ports of a UDP socket, and how it is made.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::{FACILITY, Socket, failed, nobody_at_port_0, parse, resolve};
use crate::error::{Kind, Result};
use crate::name::Name;

/// How a socket is made.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    groups: Vec<IpAddr>,
    interface: Option<Interface>,
    ttl: Option<u32>,
    quiet: bool,
    broadcast: bool,
    reuse: bool,
}

/// Which interface multicast goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// The one that has this address (IPv4).
    Address(Ipv4Addr),
    /// By index, as `ip link` shows it.
    Index(u32),
}

impl Options {
    /// One host to one host.
    pub fn new() -> Self {
        Options::default()
    }

    /// Receives what is sent to this multicast group, too.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn group(mut self, group: IpAddr) -> Self {
        self.groups.push(group);
        self
    }

    /// Joins groups and sends to them through this interface; the system chooses otherwise.
    #[doc(alias = "IP_MULTICAST_IF")]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interface = Some(interface);
        self
    }

    /// Through how many routers multicast goes; 1 otherwise: it stays in the network.
    #[doc(alias = "IP_MULTICAST_TTL")]
    pub fn ttl(mut self, hops: u32) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Whether receivers of this machine get the multicast that it sends; they do otherwise.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    pub fn looped(mut self, yes: bool) -> Self {
        self.quiet = !yes;
        self
    }

    /// Allows sending to all hosts of a network.
    #[doc(alias = "SO_BROADCAST")]
    pub fn broadcast(mut self, yes: bool) -> Self {
        self.broadcast = yes;
        self
    }

    /// Allows several sockets at one port: each gets what is sent to a group, one of them what
    /// is sent to the host.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse(mut self, yes: bool) -> Self {
        self.reuse = yes;
        self
    }

    /// Receives at `host:port`; port 0 is any that is free, no host is every address of this
    /// machine. A host that is a multicast group is joined, with [`reuse`](Self::reuse).
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when the port is taken; [`Kind::NotFound`] for a host that has no
    /// address or an address that is not of this machine; [`Kind::PermissionDenied`].
    pub fn bind(&self, name: impl AsRef<OsStr>) -> Result<Socket> {
        let name = parse(name.as_ref())?;
        let mut last = None;
        for address in resolve("bind", &name, true)? {
            match self.bind_address(address, &name) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| failed("bind", &name, Errno::ADDRNOTAVAIL)))
    }

    /// Sends to `host:port`, and receives from there only.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a host that has no address; [`Kind::PermissionDenied`] for a
    /// broadcast address unless [`broadcast`](Self::broadcast) is on.
    pub fn connect(&self, name: impl AsRef<OsStr>) -> Result<Socket> {
        let name = parse(name.as_ref())?;
        if matches!(name, Name::HostPort(_, 0)) {
            return Err(nobody_at_port_0("connect to", &name));
        }
        let mut last = None;
        for address in resolve("connect to", &name, false)? {
            let socket = self.new_socket(address, &name)?;
            match rustix::net::connect(&socket.inner, &address) {
                Ok(()) => return Ok(socket),
                Err(errno) => last = Some(failed("connect to", &name, errno)),
            }
        }
        Err(last.unwrap_or_else(|| failed("connect to", &name, Errno::ADDRNOTAVAIL)))
    }

    fn bind_address(&self, address: SocketAddr, name: &Name) -> Result<Socket> {
        let group = Some(address.ip()).filter(IpAddr::is_multicast);
        let socket = self.new_socket(address, name)?;
        let set = |errno| failed("bind", name, errno);
        if self.reuse || group.is_some() {
            sockopt::set_socket_reuseaddr(&socket.inner, true).map_err(set)?;
        }
        rustix::net::bind(&socket.inner, &address).map_err(set)?;
        for group in self.groups.iter().copied().chain(group) {
            socket.join(group, self.interface)?;
        }
        Ok(socket)
    }

    fn new_socket(&self, address: SocketAddr, name: &Name) -> Result<Socket> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let set = |errno| failed("set up", name, errno);
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))
            .map_err(set)?;
        if self.broadcast {
            sockopt::set_socket_broadcast(&fd, true).map_err(set)?;
        }
        let six = address.is_ipv6();
        if let Some(hops) = self.ttl {
            if six {
                sockopt::set_ipv6_multicast_hops(&fd, hops).map_err(set)?;
            } else {
                sockopt::set_ip_multicast_ttl(&fd, hops).map_err(set)?;
            }
        }
        if self.quiet {
            if six {
                sockopt::set_ipv6_multicast_loop(&fd, false).map_err(set)?;
            } else {
                sockopt::set_ip_multicast_loop(&fd, false).map_err(set)?;
            }
        }
        match self.interface {
            None => {}
            Some(Interface::Index(index)) if six => {
                sockopt::set_ipv6_multicast_if(&fd, index).map_err(set)?;
            }
            Some(Interface::Index(index)) => {
                let (group, own) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
                sockopt::set_ip_multicast_if_with_ifindex(&fd, &group, &own, index).map_err(set)?;
            }
            Some(Interface::Address(own)) if !six => {
                sockopt::set_ip_multicast_if(&fd, &own).map_err(set)?;
            }
            Some(Interface::Address(_)) => {
                let why = "over IPv6 an interface is named by its index";
                return Err(FACILITY.error(Kind::BadInput, "set up", name, why));
            }
        }
        Ok(Socket {
            inner: UdpSocket::from(fd),
            name: name.clone(),
            six,
        })
    }
}
