//! Request/response: calls to a server over a Unix socket, TCP, POSIX message queues or channels, with deadlines and cancellation.
//!
//! The address says what carries the calls; nothing else changes:
//!
//! | carrier | address | reach | a request or answer has at most | the other's death is noticed |
//! |---|---|---|---|---|
//! | Unix stream socket | `rpc+unix:/run/app.sock`, `rpc+unix:@app` | one machine | 4 GiB, as the options say | at once |
//! | TCP socket | `rpc+tcp:host:port` | any machine | 4 GiB, as the options say | at once; a machine that vanished by keep-alive |
//! | channels | `rpc+channel:/app` | one user of one machine | the capacity the server gives, less 36 bytes | at once |
//! | POSIX message queue | `rpc+mq:/app` | one machine | `fs.mqueue.msgsize_max` less 32 bytes | at once; within 200 ms from another pid namespace |
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
mod carrier;
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
mod probe;
mod queue;
mod request;
mod server;
mod stream;

pub use address::carrier;
pub use channel::FACILITY as CHANNEL;
pub use client::Client;
pub use options::Options;
pub use pending::Pending;
pub use plain::bytes;
pub use queue::FACILITY as MQ;
pub use request::{Cancellation, Refusal, Request};
pub use server::{Answer, Server, Stopper};
pub use stream::tcp::FACILITY as TCP;
pub use stream::unix::FACILITY as UNIX;

pub(crate) use address::{connect_to, listen_at};
pub(crate) use channel::unlink as unlink_channel;
pub(crate) use probe::{
    channel as probe_channel, mq as probe_mq, tcp as probe_tcp, unix as probe_unix,
};
pub(crate) use queue::unlink as unlink_queue;
