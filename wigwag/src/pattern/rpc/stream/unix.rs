//! Unix: calls over a Unix stream socket, whose kernel says who calls.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{Entrance, StreamLink, server};
use crate::error::Result;
use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Guarantees, Order};
use crate::name::Name;
use crate::pattern::rpc::carrier::Carrier;
use crate::pattern::rpc::link::Link;
use crate::pattern::rpc::{Options, Server};
use crate::stream::unix;
use crate::wait::Wait;

/// The facts of calls over a Unix stream socket.
pub const FACILITY: Facility = Facility {
    id: "rpc+unix",
    title: "request/response over a Unix socket",
    noun: "server",
    family: Family::Pattern,
    naming: Naming::Socket,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: None,
    reach: Reach::Host,
    pollable: true,
    named_by: "path, @abstract, or pair",
    lives: "its server",
    carries: "calls",
    limits: unix::FACILITY.limits,
    guarantees: Guarantees {
        accepted: Accepted::Processed,
        order: Order::PerSender,
        ..Guarantees::STREAM
    },
    man: "unix(7)",
};

pub(in crate::pattern::rpc) const CARRIER: Carrier = Carrier {
    facility: &FACILITY,
    options: &["max_request", "max_answer", "mode", "backlog"],
    connect,
    listen,
};

fn connect(name: &Name, options: &Options, wait: Wait) -> Result<Box<dyn Link>> {
    let stream = unix::Stream::connect_with(OsString::from_vec(name.to_bytes()), wait)?;
    Ok(Box::new(StreamLink::new(stream.into(), options.max_answer)))
}

fn listen(name: &Name, options: &Options) -> Result<Server> {
    // The path of a server that was killed must not keep the next one from starting.
    let mut listen = unix::Options::new().temporary(true).take_over(true);
    if let Some(mode) = options.mode {
        listen = listen.mode(mode);
    }
    if let Some(clients) = options.backlog {
        listen = listen.backlog(clients);
    }
    let listener = listen.listen(OsString::from_vec(name.to_bytes()))?;
    server(Entrance::Unix(listener), options, None)
}
