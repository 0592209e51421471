//! Reactor: the connections of a server, read as far as there is room, and never waited for.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::Shutdown;

use super::Socket;
use super::parting::Parting;
use crate::error::{Kind, Result};
use crate::facility::Facility;
use crate::message::Credentials;
use crate::pattern::rpc::desk::Desk;
use crate::pattern::rpc::frame::{Code, Head, Kind as What, Malformed};
use crate::pattern::rpc::inbox::{Got, Inbox};
use crate::pattern::rpc::outbox::{Outbox, Sent};
use crate::pattern::rpc::server::Reactor;
use crate::stream::{tcp, unix};
use crate::wait::Wait;

const WAKE: u64 = 0;
const ENTRANCE: u64 = 1;
/// How long a frame may take from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long clients that take their time may take after the server was stopped.
const FAREWELL: Duration = Duration::from_secs(1);
/// Clients let in at one time, before those that are in get their turn.
const AT_ONCE: usize = 16;

/// Where clients come from.
#[derive(Debug)]
pub(in crate::pattern::rpc) enum Entrance {
    Unix(unix::Listener),
    Tcp(tcp::Listener),
    /// They were connected before; when the last one goes, that is the end.
    None,
}

impl Entrance {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Entrance::Unix(listener) => Some(listener.as_fd()),
            Entrance::Tcp(listener) => Some(listener.as_fd()),
            Entrance::None => None,
        }
    }

    fn accept(&self) -> Result<Option<(OwnedFd, Option<Credentials>)>> {
        match self {
            Entrance::Unix(listener) => {
                let stream = listener.accept_with(Wait::Not)?;
                let caller = stream.peer().ok().map(credentials);
                Ok(Some((stream.into(), caller)))
            }
            Entrance::Tcp(listener) => {
                let stream = listener.accept_with(Wait::Not)?;
                // An answer is not to wait for the next; a machine that vanished is to be noticed. Not the
                // client's fault if it is gone already.
                let _ = stream.set_nodelay(true);
                let _ = stream.set_keepalive(Some(Duration::from_secs(60)));
                Ok(Some((stream.into(), None)))
            }
            Entrance::None => Ok(None),
        }
    }
}

/// In the words of messages.
pub(in crate::pattern::rpc) fn credentials(peer: unix::Peer) -> Credentials {
    let unix::Peer { pid, uid, gid } = peer;
    Credentials { pid, uid, gid }
}

/// The connections of a server.
pub(in crate::pattern::rpc) struct Streams {
    facility: &'static Facility,
    name: String,
    entrance: Entrance,
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    next: u64,
    most: usize,
    /// Whether the entrance is watched.
    open: bool,
    /// When to try the entrance again, after the system had no room for one more.
    again: Option<Instant>,
    /// When to look for frames that do not come to their end.
    hurry: Option<Instant>,
    parting: Parting,
}

struct Connection {
    socket: Socket,
    outbox: Arc<Outbox>,
    inbox: Inbox,
    interest: epoll::EventFlags,
}

impl Streams {
    pub(in crate::pattern::rpc) fn new(
        facility: &'static Facility,
        name: &str,
        entrance: Entrance,
        most: usize,
        desk: &Desk,
    ) -> Result<Self> {
        let streams = || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let data = epoll::EventData::new_u64;
            epoll::add(&epoll, desk.wake(), data(WAKE), epoll::EventFlags::IN)?;
            if let Some(entrance) = entrance.descriptor() {
                epoll::add(&epoll, entrance, data(ENTRANCE), epoll::EventFlags::IN)?;
            }
            Ok::<_, Errno>(epoll)
        };
        let epoll = streams().map_err(|errno| facility.failed("listen at", name, errno))?;
        Ok(Streams {
            facility,
            name: name.to_owned(),
            entrance,
            epoll,
            connections: HashMap::new(),
            next: ENTRANCE + 1,
            most,
            open: true,
            again: None,
            hurry: None,
            parting: Parting::default(),
        })
    }

    /// A client that is connected.
    pub(in crate::pattern::rpc) fn admit(
        &mut self,
        socket: OwnedFd,
        caller: Option<Credentials>,
        desk: &Desk,
    ) -> Result<(), Errno> {
        let socket = Socket::from(socket);
        let outbox = Arc::new(Outbox::new(socket.clone()));
        if self.connections.len() >= self.most {
            let why = format!("the server has {} clients, as many as it takes", self.most);
            desk.refuse(&outbox, 0, Code::TooMany, &why);
            self.part(socket);
            return Ok(());
        }
        let key = self.next;
        self.next += 1;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(key),
            interest,
        )?;
        desk.enter(key, outbox.clone(), caller);
        let connection = Connection {
            socket,
            outbox,
            inbox: Inbox::new(desk.longest()),
            interest,
        };
        self.connections.insert(key, connection);
        Ok(())
    }

    fn accept(&mut self, desk: &Desk) {
        for _ in 0..AT_ONCE {
            let admitted = match self.entrance.accept() {
                Ok(Some((socket, caller))) => self.admit(socket, caller, desk).is_ok(),
                Ok(None) => return,
                Err(error) if error.kind() == Kind::WouldBlock => return,
                // It was gone before we came to it.
                Err(error) if error.kind() == Kind::Disconnected => true,
                Err(_) => false,
            };
            if !admitted {
                // No descriptors are left: those who knock wait until there are, and we do not turn round and round.
                self.again = Some(Instant::now() + Duration::from_millis(100));
                self.watch_entrance(false);
                return;
            }
        }
    }

    fn watch_entrance(&mut self, open: bool) {
        if let Some(entrance) = self.entrance.descriptor()
            && open != self.open
        {
            let mut interest = epoll::EventFlags::empty();
            interest.set(epoll::EventFlags::IN, open);
            let data = epoll::EventData::new_u64(ENTRANCE);
            // Of a descriptor that is registered, and open as long as we are.
            let _ = epoll::modify(&self.epoll, entrance, data, interest);
            self.open = open;
        }
    }

    /// Reads once from a client; `false` when it is gone or has to go.
    fn read(&mut self, key: u64, desk: &Desk) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else {
            return true;
        };
        match connection.inbox.fill(connection.socket.as_fd()) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
        loop {
            let taken = match connection.inbox.next() {
                Ok(None) => {
                    if let (None, Some(since)) = (self.hurry, connection.inbox.since()) {
                        self.hurry = Some(since + PATIENCE);
                    }
                    return true;
                }
                Ok(Some(Got::Frame(head, _))) if head.kind == What::Bye => return false,
                Ok(Some(Got::Frame(head, body))) => desk.submit(key, head, body),
                Ok(Some(Got::TooBig(head))) => too_big(desk, &connection.outbox, head),
                Err(malformed) => Err(malformed),
            };
            if let Err(Malformed(why)) = taken {
                let why = format!("the server got what is no frame: {why}");
                desk.refuse(&connection.outbox, 0, Code::Malformed, &why);
                self.expel(key, desk);
                return true;
            }
        }
    }

    fn end(&mut self, key: u64, desk: &Desk) {
        if let Some(connection) = self.connections.remove(&key) {
            // The descriptor may live on a little in the outbox of a call that ends just now.
            let _ = epoll::delete(&self.epoll, &connection.socket);
            let _ = rustix::net::shutdown(&connection.socket, Shutdown::Both);
            desk.leave(key);
        }
    }

    /// Ends a connection after an error was said on it.
    fn expel(&mut self, key: u64, desk: &Desk) {
        if let Some(connection) = self.connections.remove(&key) {
            let _ = epoll::delete(&self.epoll, &connection.socket);
            desk.leave(key);
            self.part(connection.socket);
        }
    }

    /// Leaves a socket to be read to its end, so that what was said last arrives.
    fn part(&mut self, socket: Socket) {
        let key = self.next;
        self.next += 1;
        let data = epoll::EventData::new_u64(key);
        let _ = rustix::net::shutdown(&socket, Shutdown::Write);
        if self.parting.has_room()
            && epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).is_ok()
        {
            self.parting.add(key, socket);
        }
    }

    /// Looks at what is wanted of a client now.
    fn review(&mut self, key: u64, desk: &Desk) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let behind = match connection.outbox.flush() {
            Sent::Whole => false,
            Sent::Waits => true,
            Sent::Broken => return self.end(key, desk),
        };
        let mut interest = epoll::EventFlags::RDHUP;
        interest.set(epoll::EventFlags::IN, desk.has_room(key));
        interest.set(epoll::EventFlags::OUT, behind);
        if interest != connection.interest {
            let data = epoll::EventData::new_u64(key);
            match epoll::modify(&self.epoll, &connection.socket, data, interest) {
                Ok(()) => connection.interest = interest,
                Err(_) => self.end(key, desk),
            }
        }
    }

    /// Ends the connections on which a frame does not come to its end.
    fn hurry(&mut self, desk: &Desk) {
        self.hurry = None;
        let mut late = Vec::new();
        for (key, connection) in &self.connections {
            // Who is not read from is not to be blamed.
            let read = connection.interest.contains(epoll::EventFlags::IN);
            match connection.inbox.since().filter(|_| read) {
                Some(since) if since.elapsed() >= PATIENCE => late.push(*key),
                Some(since) => {
                    let then = since + PATIENCE;
                    self.hurry = Some(self.hurry.map_or(then, |soonest| soonest.min(then)));
                }
                None => {}
            }
        }
        for key in late {
            if let Some(connection) = self.connections.get(&key) {
                let why = "the server got only part of a frame in 30 seconds";
                desk.refuse(&connection.outbox, 0, Code::Malformed, why);
            }
            self.expel(key, desk);
        }
    }
}

/// A body that is too long is passed over, and only its call fails.
fn too_big(desk: &Desk, outbox: &Outbox, head: Head) -> Result<(), Malformed> {
    if head.kind != What::Call || head.id == 0 {
        return Err(Malformed("it has a body, and is no call"));
    }
    let why = format!(
        "the request has {} bytes, the longest has {} (max_request of the server)",
        head.len,
        desk.longest()
    );
    desk.refuse(outbox, head.id, Code::TooBig, &why);
    Ok(())
}

impl Reactor for Streams {
    fn turn(&mut self, desk: &Desk, limit: Option<Duration>) -> Result<()> {
        let now = Instant::now();
        if self.hurry.is_some_and(|then| then <= now) {
            self.hurry(desk);
        }
        if self.again.take_if(|then| *then <= now).is_some() {
            self.watch_entrance(true);
        }
        self.parting.end_old(now);
        let due = [self.hurry, self.again, self.parting.due()];
        let due = due.into_iter().flatten().min();
        let due = due.map(|then| then.saturating_duration_since(now));
        let limit = [limit, due].into_iter().flatten().min();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(self.facility.failed("wait at", &self.name, errno)),
        }
        for event in events {
            let flags = event.flags;
            match event.data.u64() {
                WAKE => desk
                    .changed()
                    .into_iter()
                    .for_each(|key| self.review(key, desk)),
                ENTRANCE => self.accept(desk),
                key if self.parting.read(key) => {}
                key => {
                    let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                    let lives = if flags.contains(epoll::EventFlags::IN) {
                        // Its end stands behind what it sent before.
                        self.read(key, desk)
                    } else {
                        !flags.intersects(gone | epoll::EventFlags::RDHUP)
                    };
                    match lives {
                        true => self.review(key, desk),
                        false => self.end(key, desk),
                    }
                }
            }
        }
        if matches!(self.entrance, Entrance::None) && self.connections.is_empty() {
            desk.stop();
        }
        Ok(())
    }

    fn farewell(&mut self, desk: &Desk) {
        // The name goes first, so that whoever comes now is told that nobody is here.
        self.entrance = Entrance::None;
        for connection in self.connections.values() {
            connection.outbox.send(Head::bare(What::Bye, 0), &[]);
        }
        let patience = Instant::now() + FAREWELL;
        while self
            .connections
            .values()
            .any(|connection| connection.outbox.flush() == Sent::Waits)
            && Instant::now() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        for key in self.connections.keys().copied().collect::<Vec<_>>() {
            self.end(key, desk);
        }
    }
}
