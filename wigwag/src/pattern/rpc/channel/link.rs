//! ChannelLink: a client's end of a pair of channels.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::EventfdFlags;

use super::{
    Bytes, FACILITY, LONGEST, Marked, Patience, Peer, Receiver, Sender, lobby, longest, options,
    pair,
};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::pattern::rpc::frame::{self, HEAD, Head, Kind as What};
use crate::pattern::rpc::inbox::Got;
use crate::pattern::rpc::link::{End, Link};
use crate::pattern::rpc::number;
use crate::sys::futex;
use crate::wait::{Deadline, Wait};

/// How long a server that lives may take to say hello; another thread of it does that while calls go on.
const HELLO: Duration = Duration::from_secs(10);
/// How long a server may be between making its lobby and sitting down in it.
const START: Duration = Duration::from_millis(500);
/// How often it is looked whether the server lives that has not sat down in our channels yet.
const LOOK: Duration = Duration::from_millis(50);
/// How long one sleeps whom the peer may not notice.
const NAP: Duration = Duration::from_millis(20);

/// A client's end of a pair of channels.
pub(super) struct ChannelLink {
    requests: Mutex<Sender>,
    answers: Mutex<Receiver>,
    patience: Mutex<Patience>,
    /// Room for which there was none.
    wanted: AtomicU64,
    longest: usize,
    /// A channel has no descriptor that tells; this one never does.
    never: OwnedFd,
}

impl ChannelLink {
    pub(super) fn connect(name: &Name, wait: Wait) -> Result<Self> {
        let failed = |errno| FACILITY.failed("connect to", name, errno);
        let error = |kind, why: &str| FACILITY.error(kind, "connect to", name, why);
        let deadline = Deadline::from(wait);
        let late = || match deadline {
            Deadline::Now => error(Kind::WouldBlock, "the server has to answer first"),
            _ => error(Kind::TimedOut, "the server did not answer in time"),
        };
        let (lobby, mut hello) = enter(name, deadline)?.ok_or_else(late)?;
        let [_, random] = number::randoms().map_err(failed)?;
        let frame = Head {
            word: random,
            ..Head::bare(What::Hello, 0)
        };
        // First so that the server knows what to remove if we are killed in the middle.
        hello.send(&frame.with(&[]))?;
        let [requests, answers] = pair(name, random).map(|path| {
            let made = options().capacity(lobby.capacity()).temporary(true);
            made.create::<Bytes>(path)
        });
        let link = ChannelLink {
            requests: Mutex::new(requests?.sender()?),
            answers: Mutex::new(answers?.receiver()?),
            patience: Mutex::new(Patience(Patience::MOST)),
            wanted: AtomicU64::new(0),
            longest: longest(lobby.capacity()),
            never: rustix::event::eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?,
        };
        hello.send(&frame.with(&[]))?;
        let patience = Deadline::from(Wait::For(HELLO));
        loop {
            let mut answers = link.answers();
            match answers.recv_timeout(LOOK) {
                Ok(message) => match frame::split(&message) {
                    Ok((head, _)) if head.kind == What::Answer => break,
                    Ok((_, why)) => return Err(error(Kind::Limit, &String::from_utf8_lossy(why))),
                    Err(_) => return Err(error(Kind::Corrupt, "what came is no frame")),
                },
                Err(error) if error.kind() == Kind::TimedOut => {}
                Err(failure) if failure.kind() == Kind::Disconnected => {
                    return Err(error(Kind::Disconnected, "the server is gone"));
                }
                Err(failure) => return Err(failure),
            }
            if lobby.receivers() == 0 {
                return Err(error(Kind::Disconnected, "the server is gone"));
            }
            if deadline.passed() || patience.passed() {
                return Err(late());
            }
        }
        Ok(link)
    }

    fn requests(&self) -> MutexGuard<'_, Sender> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Receiver> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is what is waited for.
    fn found(&self, comes: bool, room: bool) -> Option<()> {
        let has_room = || {
            let requests = self.requests();
            let free = requests.capacity().saturating_sub(requests.level());
            free >= self.wanted.load(Ordering::Relaxed)
        };
        (comes && self.answers().level() > 0 || room && has_room()).then_some(())
    }
}

/// Takes the seat of the one who comes in: `None` when the time is over first.
fn enter(name: &Name, deadline: Deadline) -> Result<Option<(Bytes, Sender)>> {
    let start = Deadline::from(Wait::For(START));
    let error = |kind, why: &str| Err(FACILITY.error(kind, "connect to", name, why));
    loop {
        let lobby: Bytes = match options().open(lobby(name)) {
            Ok(lobby) => lobby,
            Err(failure) if failure.kind() == Kind::NotFound => {
                return error(Kind::NotFound, "nobody serves it");
            }
            Err(failure) => return Err(failure),
        };
        if lobby.receivers() > 0 {
            match lobby.sender() {
                Ok(sender) => return Ok(Some((lobby, sender))),
                // Another is coming in, or the lobby is a dead server's that is being replaced.
                Err(failure) if matches!(failure.kind(), Kind::Limit | Kind::Removed) => {}
                Err(failure) => return Err(failure),
            }
        } else if start.passed() {
            return error(Kind::Disconnected, "its server is gone");
        }
        if deadline.passed() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What an error of a channel means for the connection.
fn end(error: &Error) -> End {
    match error.kind() {
        Kind::Disconnected => End::Gone,
        _ => End::Malformed(error.to_string()),
    }
}

impl Link for ChannelLink {
    fn try_send(&self, head: Head, body: &[u8]) -> Result<bool, End> {
        let frame = head.with(body);
        let mut requests = self.requests();
        if !requests.is_connected() {
            return Err(End::Gone);
        }
        let sent = requests.try_send(&frame).map_err(|error| end(&error))?;
        if !sent {
            let record = (frame.len() as u64 + 4).next_multiple_of(8);
            self.wanted.store(record, Ordering::Relaxed);
        }
        Ok(sent)
    }

    fn receive(&self, deliver: &mut dyn FnMut(Got)) -> Result<bool, End> {
        loop {
            let mut answers = self.answers();
            let Some(message) = answers.try_recv().map_err(|error| end(&error))? else {
                return Ok(false);
            };
            let (head, body) = frame::split(&message)?;
            let got = Got::Frame(head, body.to_vec());
            drop(message);
            drop(answers);
            deliver(got);
        }
    }

    fn wait(&self, comes: bool, room: bool, deadline: Deadline) -> Result<(), End> {
        let looked = {
            let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
            patience.look(|| self.found(comes, room))
        };
        if looked.is_some() || deadline.passed() {
            return Ok(());
        }
        let comes_from = comes.then(|| Peer::sender(&self.answers()));
        let room_from = room.then(|| Peer::receiver(&self.requests()));
        let peers: Vec<Peer> = comes_from.into_iter().chain(room_from).collect();
        let asked = peers.len();
        let marked: Vec<Marked> = peers.into_iter().filter_map(Peer::mark).collect();
        // What came before the marks, or before the server went.
        if self.found(comes, room).is_some() {
            return Ok(());
        }
        if marked.len() < asked {
            return Err(End::Gone);
        }
        let words: Vec<_> = marked.iter().map(Marked::word).collect();
        let sure = marked.iter().all(|marked| marked.sure);
        let most = if sure { LONGEST } else { NAP };
        let slept = futex::wait_any(&words, deadline, most);
        if slept == futex::Sleep::TimedOut && marked.iter().any(Marked::is_gone) {
            return self.found(comes, room).ok_or(End::Gone);
        }
        Ok(())
    }

    fn longest(&self) -> (usize, &'static str) {
        debug_assert!(self.longest + HEAD < u32::MAX as usize);
        (self.longest, "capacity of the server")
    }

    fn tells(&self) -> bool {
        false
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.never.as_fd()
    }
}
