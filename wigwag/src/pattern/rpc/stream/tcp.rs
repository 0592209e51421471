//! TCP: calls across machines; small ones are sent at once.

use super::{Entrance, StreamLink, server, unix};
use crate::error::Result;
use crate::facility::{Facility, Naming, Reach};
use crate::name::Name;
use crate::pattern::rpc::carrier::Carrier;
use crate::pattern::rpc::link::Link;
use crate::pattern::rpc::{Options, Server};
use crate::stream::tcp;
use crate::wait::Wait;

/// The facts of calls over TCP.
pub const FACILITY: Facility = Facility {
    id: "rpc+tcp",
    title: "request/response over TCP",
    naming: Naming::HostPort,
    unnamed_form: false,
    reach: Reach::Network,
    named_by: "host:port",
    carries: "calls, across machines",
    limits: tcp::FACILITY.limits,
    man: "tcp(7)",
    ..unix::FACILITY
};

pub(in crate::pattern::rpc) const CARRIER: Carrier = Carrier {
    facility: &FACILITY,
    options: &["max_request", "max_answer", "backlog"],
    connect,
    listen,
};

fn connect(name: &Name, options: &Options, wait: Wait) -> Result<Box<dyn Link>> {
    let stream = tcp::Stream::connect_with(name.to_string(), wait)?;
    stream.set_nodelay(true)?;
    Ok(Box::new(StreamLink::new(stream.into(), options.max_answer)))
}

fn listen(name: &Name, options: &Options) -> Result<Server> {
    let mut listen = tcp::Options::new();
    if let Some(clients) = options.backlog {
        listen = listen.backlog(clients);
    }
    let listener = listen.listen(name.to_string())?;
    server(Entrance::Tcp(listener), options, None)
}
