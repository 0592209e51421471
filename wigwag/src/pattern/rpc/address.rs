//! Address: the carrier and the name of a server: `rpc+unix:/run/app.sock?clients=10`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::channel::{self, ChannelLink, Channels};
use super::desk::Desk;
use super::queue::{self, QueueLink, Queues};
use super::stream::{Entrance, StreamLink, Streams, credentials};
use super::{CHANNEL, Client, MQ, Options, Server, TCP, UNIX};
use crate::address::Address;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::message::posix;
use crate::name::Name;
use crate::opening::Target;
use crate::stream::{tcp, unix};
use crate::wait::Wait;

/// Options of every carrier, then those of each.
const COMMON: &[&str] = &["clients", "waiting"];
const OWN: &[(&Facility, &[&str])] = &[
    (&UNIX, &["max_request", "max_answer", "mode", "backlog"]),
    (&TCP, &["max_request", "max_answer", "backlog"]),
    (&MQ, &["mode", "depth", "max_len"]),
    (&CHANNEL, &["capacity"]),
];

/// The socket or queue at which a server answers, as an object of its own: what `ls` lists, `rm` removes and `why`
/// tells of. `None` for an address that is none of calls.
///
/// ```
/// use wigwag::pattern::rpc::carrier;
///
/// let object = carrier(&"rpc+mq:/app".parse()?).unwrap();
/// assert_eq!(object.to_string(), "mq:/app.rpc");
/// # Ok::<(), wigwag::Error>(())
/// ```
#[must_use]
pub fn carrier(address: &Address) -> Option<Address> {
    let scheme = address.scheme().strip_prefix("rpc+")?;
    let end: &[u8] = match scheme {
        "mq" | "channel" => b".rpc",
        _ => b"",
    };
    Address::new(scheme, [address.name(), end].concat()).ok()
}

/// What an address means; a carrier without `rpc+` before it is meant as one.
fn resolve(address: &Address) -> Result<(&'static Facility, Target)> {
    let bad = |why: String| Error::new(Kind::BadAddress, "understand", "address", address, why);
    let found = OWN
        .iter()
        .find(|(facility, _)| facility.id == address.scheme());
    let Some((facility, own)) = found else {
        let carriers: Vec<&str> = OWN.iter().map(|(facility, _)| facility.id).collect();
        let why = format!("no calls go over {}", address.scheme());
        return Err(bad(why).with_hint(format!("they go over {}", carriers.join(", "))));
    };
    let unknown = |key: &&str| !COMMON.contains(key) && !own.contains(key);
    if let Some(key) = address.options().iter().map(|(key, _)| key).find(unknown) {
        let known = [COMMON, own].concat().join(", ");
        return Err(address
            .options()
            .bad(key, &format!("there is no such option of {}", facility.id))
            .with_hint(format!("{} has {known}", facility.id)));
    }
    let target = Target {
        name: Name::parse(facility, address.name())?,
        options: address.options().clone(),
    };
    Ok((facility, target))
}

/// The options of an address over those given.
fn read(target: &Target, mut options: Options) -> Result<Options> {
    let given = &target.options;
    let bytes = |key: &str| {
        given
            .bytes(key)?
            .map(|bytes| usize::try_from(bytes).map_err(|_| given.bad(key, "it is too great")))
            .transpose()
    };
    if let Some(most) = bytes("max_request")? {
        options = options.max_request(most);
    }
    if let Some(most) = bytes("max_answer")? {
        options = options.max_answer(most);
    }
    if let Some(most) = given.value("clients")? {
        options = options.clients(most);
    }
    if let Some(calls) = given.value("waiting")? {
        options = options.waiting(calls);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    if let Some(clients) = given.value("backlog")? {
        options = options.backlog(clients);
    }
    if let Some(requests) = given.value("depth")? {
        options = options.depth(requests);
    }
    if let Some(most) = bytes("max_len")? {
        options = options.max_len(most);
    }
    if let Some(most) = given.bytes("capacity")? {
        options = options.capacity(most);
    }
    Ok(options)
}

pub(super) fn connect(address: &Address, options: Options, wait: Wait) -> Result<Client> {
    let (facility, target) = resolve(address)?;
    connect_to(facility, &target, options, wait)
}

pub(super) fn listen(address: &Address, options: Options) -> Result<Server> {
    let (facility, target) = resolve(address)?;
    listen_at(facility, &target, options)
}

/// Connects to what the catalog has resolved.
pub(crate) fn connect_to(
    facility: &'static Facility,
    target: &Target,
    options: Options,
    wait: Wait,
) -> Result<Client> {
    let options = read(target, options)?;
    let name = &target.name;
    let link: Box<dyn super::link::Link> = match facility.id {
        "rpc+unix" => {
            let stream = unix::Stream::connect_with(raw(name), wait)?;
            Box::new(StreamLink::new(stream.into(), options.max_answer))
        }
        "rpc+tcp" => {
            let stream = tcp::Stream::connect_with(raw(name), wait)?;
            stream.set_nodelay(true)?;
            Box::new(StreamLink::new(stream.into(), options.max_answer))
        }
        "rpc+channel" => Box::new(ChannelLink::connect(facility, name, wait)?),
        _ => Box::new(QueueLink::connect(facility, name, wait)?),
    };
    Ok(Client::new(facility, name.to_string(), link))
}

/// Listens at what the catalog has resolved.
pub(crate) fn listen_at(
    facility: &'static Facility,
    target: &Target,
    options: Options,
) -> Result<Server> {
    let options = read(target, options)?;
    let name = &target.name;
    match facility.id {
        "rpc+unix" => {
            // The path of a server that was killed must not keep the next one from starting.
            let mut listen = unix::Options::new().temporary(true).take_over(true);
            if let Some(mode) = options.mode {
                listen = listen.mode(mode);
            }
            if let Some(clients) = options.backlog {
                listen = listen.backlog(clients);
            }
            streams(Entrance::Unix(listen.listen(raw(name))?), &options, None)
        }
        "rpc+tcp" => {
            let mut listen = tcp::Options::new();
            if let Some(clients) = options.backlog {
                listen = listen.backlog(clients);
            }
            streams(Entrance::Tcp(listen.listen(raw(name))?), &options, None)
        }
        "rpc+channel" => {
            let desk = Desk::new(options.waiting, u32::MAX as usize)
                .map_err(|errno| facility.failed("listen at", name, errno))?;
            let channels = Channels::new(facility, name, options.capacity, options.clients)?;
            Ok(Server::new(channels, desk, facility, &name.to_string()))
        }
        _ => {
            let mut make = posix::Options::new().mode(options.mode.unwrap_or(0o600));
            if let Some(requests) = options.depth {
                make = make.depth(requests);
            }
            if let Some(bytes) = options.max_len {
                make = make.max_len(bytes);
            }
            // A message is never longer than the queue's.
            let desk = Desk::new(options.waiting, u32::MAX as usize)
                .map_err(|errno| facility.failed("listen at", name, errno))?;
            let queues = Queues::new(facility, name, &make, options.clients, &desk)?;
            Ok(Server::new(queues, desk, facility, &name.to_string()))
        }
    }
}

/// A server at a socket that listens, or for a client that is there.
pub(super) fn streams(
    entrance: Entrance,
    options: &Options,
    first: Option<unix::Stream>,
) -> Result<Server> {
    let (facility, name) = match &entrance {
        Entrance::Tcp(listener) => (&TCP, listener.name()?),
        Entrance::Unix(listener) => (&UNIX, listener.name().to_string()),
        Entrance::None => (&UNIX, String::new()),
    };
    let failed = |errno| facility.failed("listen at", &name, errno);
    let desk = Desk::new(options.waiting, options.max_request).map_err(failed)?;
    let mut streams = Streams::new(facility, &name, entrance, options.clients, &desk)?;
    if let Some(stream) = first {
        let caller = stream.peer().ok().map(credentials);
        streams
            .admit(stream.into(), caller, &desk)
            .map_err(failed)?;
    }
    Ok(Server::new(streams, desk, facility, &name))
}

fn raw(name: &Name) -> OsString {
    OsString::from_vec(name.to_bytes())
}

/// Removes the queue of a server that is gone.
pub(crate) fn unlink_queue(name: &Name) -> Result<()> {
    queue::unlink(&MQ, name)
}

/// Removes the lobby of a server that is gone.
pub(crate) fn unlink_channel(name: &Name) -> Result<()> {
    channel::unlink(&CHANNEL, name)
}

/// Calls a server in this process through a name of its own, over each carrier.
pub(crate) mod probe {
    use super::*;

    pub(crate) fn unix() -> Result<()> {
        calls(&format!("rpc+unix:@wigwag-probe-{}", std::process::id()))
    }

    pub(crate) fn tcp() -> Result<()> {
        calls("rpc+tcp:127.0.0.1:0")
    }

    pub(crate) fn channel() -> Result<()> {
        calls(&format!("rpc+channel:/wigwag-probe-{}", std::process::id()))
    }

    pub(crate) fn mq() -> Result<()> {
        calls(&format!(
            "rpc+mq:/wigwag-probe-{}?depth=1&max_len=64",
            std::process::id()
        ))
    }

    fn calls(address: &str) -> Result<()> {
        let server = Server::listen(address)?;
        let stopper = server.stopper();
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| server.serve(|request| Ok(request.into_bytes())));
            let called = Client::connect(server.address())
                .and_then(|client| client.call(b"probe"))
                .map(drop);
            stopper.stop();
            // Its panic would be ours to pass on.
            let served = serving
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            called.and(served)
        })
    }
}
