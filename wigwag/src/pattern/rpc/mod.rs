//! Request/response: calls to a server over a Unix socket, TCP, POSIX message queues or channels, with deadlines and cancellation.
//!
//! The address says what carries the calls; nothing else changes:
//!
//! | carrier | address | reach | a request or answer has at most | the other's death is noticed |
//! |---|---|---|---|---|
//! | Unix stream socket | `rpc+unix:/run/app.sock`, `rpc+unix:@app` | one machine | 4 GiB, as the options say | at once |
//! | TCP socket | `rpc+tcp:host:port` | any machine | 4 GiB, as the options say | at once; a machine that vanished by keep-alive |
//! | channels | `rpc+channel:/app` | one user of one machine | the capacity the server gives, less 36 bytes | at once |
//! | POSIX message queue | `rpc+mq:/app` | one machine | `fs.mqueue.msgsize_max` less 32 bytes | within 50 ms by a client, 200 ms by the server |
//!
//! ```
//! use std::time::Duration;
//! use wigwag::pattern::rpc::{Client, Refusal, Server};
//!
//! # let address = format!("rpc+unix:@wigwag-doc-rpc-{}", std::process::id());
//! let server = Server::listen(&address)?;
//! let stopper = server.stopper();
//! let serving = std::thread::spawn(move || {
//!     server.serve_concurrent(4, |request| match request.bytes() {
//!         b"" => Err(Refusal::new("there is nothing to reverse")),
//!         bytes => Ok(bytes.iter().rev().copied().collect()),
//!     })
//! });
//!
//! let client = Client::connect(&address)?; // usually in another process
//! let pending = client.start(b"early")?; // many calls may be in flight, from many threads
//! assert_eq!(client.call_timeout(b"drawer", Duration::from_secs(5))?, b"reward");
//! assert_eq!(pending.wait()?, b"ylrae");
//! let error = client.call(b"").unwrap_err();
//! assert!(error.to_string().ends_with("there is nothing to reverse"));
//! stopper.stop();
//! serving.join().unwrap()?;
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! **A call is carried out at most once.** It is never sent again: when the server goes before it answers, the error
//! says whether it may have been carried out. **Deadlines** go to the server as the time that is left, so no
//! clocks are compared; what is too late there is not begun, and the handler of what has begun can
//! [know](Request::is_cancelled). So it is with a call that is **cancelled**, by dropping it, and with one
//! whose client is gone. **Order**: answers come in any; calls of one client are begun in the order sent.
//!
//! **Iterative or concurrent**: [`serve`](Server::serve) handles one call at a time in the calling thread,
//! [`serve_concurrent`](Server::serve_concurrent) so many at once. In both, no client waits because another
//! sends slowly, or does not take its answers: nothing is read or written that would have to be waited for.
//!
//! What goes over the wire is fixed and documented:
#![doc = include_str!("frame.md")]

mod address;
mod adopted;
mod channel;
mod client;
mod desk;
mod frame;
mod inbox;
mod link;
mod number;
mod options;
mod outbox;
mod pending;
mod plain;
mod queue;
mod request;
mod server;
mod stream;

pub use address::carrier;
pub use client::Client;
pub use options::Options;
pub use pending::Pending;
pub use plain::bytes;
pub use request::{Cancellation, Refusal, Request};
pub use server::{Answer, Server, Stopper};

pub(crate) use address::{connect_to, listen_at, probe, unlink_channel, unlink_queue};

use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Guarantees, Order};
use crate::message::posix;
use crate::stream::{tcp, unix};

/// The facts of calls over a Unix stream socket.
pub const UNIX: Facility = Facility {
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

/// The facts of calls over TCP.
pub const TCP: Facility = Facility {
    id: "rpc+tcp",
    title: "request/response over TCP",
    naming: Naming::HostPort,
    unnamed_form: false,
    reach: Reach::Network,
    named_by: "host:port",
    carries: "calls, across machines",
    limits: tcp::FACILITY.limits,
    man: "tcp(7)",
    ..UNIX
};

/// The facts of calls through channels.
pub const CHANNEL: Facility = Facility {
    id: "rpc+channel",
    title: "request/response through channels",
    naming: Naming::Slash,
    unnamed_form: false,
    pollable: false,
    named_by: "/name",
    carries: "calls, in shared memory",
    limits: crate::pattern::channel::FACILITY.limits,
    man: "shm_overview(7)",
    ..UNIX
};

/// The facts of calls over POSIX message queues.
pub const MQ: Facility = Facility {
    id: "rpc+mq",
    title: "request/response over POSIX message queues",
    naming: Naming::Slash,
    unnamed_form: false,
    named_by: "/name",
    limits: posix::FACILITY.limits,
    man: "mq_overview(7)",
    ..UNIX
};
