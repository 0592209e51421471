//! Adopted: servers and clients made of sockets that are there already: inherited, accepted, or a pair.
//!
//! ```
//! use wigwag::pattern::rpc::{Client, Server};
//! use wigwag::stream::unix;
//!
//! let (here, there) = unix::pair()?; // one end usually goes to a child
//! let server = Server::try_from(there)?;
//! std::thread::scope(|scope| {
//!     let serving = scope.spawn(|| server.serve(|request| Ok(request.into_bytes())));
//!     let client = Client::from(here);
//!     assert_eq!(client.call(b"echo")?, b"echo");
//!     drop(client); // the only one there can be, so the server ends
//!     serving.join().unwrap()
//! })?;
//! # Ok::<(), wigwag::Error>(())
//! ```

use super::stream::{Entrance, StreamLink, server};
use super::{Client, Options, Server, TCP, UNIX};
use crate::error::{Error, Result};
use crate::stream::{tcp, unix};

impl From<unix::Stream> for Client {
    fn from(stream: unix::Stream) -> Self {
        let link = StreamLink::new(stream.into(), Options::new().max_answer);
        Client::new(&UNIX, String::new(), Box::new(link))
    }
}

impl From<tcp::Stream> for Client {
    fn from(stream: tcp::Stream) -> Self {
        let name = stream.peer().map(|peer| peer.to_string());
        let link = StreamLink::new(stream.into(), Options::new().max_answer);
        Client::new(&TCP, name.unwrap_or_default(), Box::new(link))
    }
}

impl TryFrom<unix::Listener> for Server {
    type Error = Error;

    fn try_from(listener: unix::Listener) -> Result<Self> {
        server(Entrance::Unix(listener), &Options::new(), None)
    }
}

impl TryFrom<tcp::Listener> for Server {
    type Error = Error;

    fn try_from(listener: tcp::Listener) -> Result<Self> {
        server(Entrance::Tcp(listener), &Options::new(), None)
    }
}

impl TryFrom<unix::Stream> for Server {
    type Error = Error;

    /// The server of one client, which ends with it.
    fn try_from(stream: unix::Stream) -> Result<Self> {
        server(Entrance::None, &Options::new(), Some(stream))
    }
}
