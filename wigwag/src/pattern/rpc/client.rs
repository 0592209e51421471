//! Client: one connection to a server, with any number of calls in flight from any number of threads.
//!
//! No thread of its own: one of those that wait for an answer reads, hands the others theirs, and leaves the
//! reading to one of them when it has its own. A thread that waits for room reads too, so that a server which
//! waits until somebody takes its answers does not wait for ever.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::frame::{Code, Head, Kind as What};
use super::inbox::Got;
use super::link::{End, Link};
use super::pending::Pending;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::wait::{Deadline, Wait};

/// The longest that a thread which waits for room leaves the reading to another.
const SLICE: Duration = Duration::from_millis(20);

/// A connection to a server; cheap to clone, and shared by its clones.
///
/// A child that is forked must not use it.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Line>);

/// One connection and the calls in flight on it.
pub(super) struct Line {
    link: Box<dyn Link>,
    facility: &'static Facility,
    name: String,
    calls: Mutex<Calls>,
}

struct Calls {
    open: HashMap<u64, Open>,
    next: u64,
    /// Whether a thread reads now.
    reading: bool,
    /// Cancelled, and there was no room to say so.
    cancelled: Vec<u64>,
    end: Option<End>,
}

/// A call that is in flight, or answered and not yet asked for.
#[derive(Default)]
struct Open {
    outcome: Option<Outcome>,
    waiter: Option<Waiter>,
}

enum Waiter {
    Thread(Thread),
    #[cfg(feature = "tokio")]
    Task(std::task::Waker),
}

impl Waiter {
    fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            #[cfg(feature = "tokio")]
            Waiter::Task(task) => task.wake(),
        }
    }
}

/// What the server said about a call.
enum Outcome {
    Answer(Vec<u8>),
    Error(Code, String),
    TooBig(u32),
}

impl Client {
    /// Connects to a server by its address: `rpc+unix:/run/app.sock`, `rpc+tcp:host:7777`, `rpc+mq:/app`.
    ///
    /// # Errors
    /// `NotFound` when nothing has the name, `Disconnected` when its server is gone; `BadAddress`, `BadName`,
    /// `BadInput`, `PermissionDenied`, `Limit`.
    pub fn connect(address: &str) -> Result<Self> {
        super::Options::new().connect(address)
    }

    /// The same, waiting so long at most; looking up the name of a host is not counted.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`connect`](Self::connect).
    pub fn connect_timeout(address: &str, limit: Duration) -> Result<Self> {
        super::address::connect(&address.parse()?, super::Options::new(), Wait::For(limit))
    }

    pub(super) fn new(facility: &'static Facility, name: String, link: Box<dyn Link>) -> Self {
        Client(Arc::new(Line {
            link,
            facility,
            name,
            calls: Mutex::new(Calls {
                open: HashMap::new(),
                next: 1,
                reading: false,
                cancelled: Vec::new(),
                end: None,
            }),
        }))
    }

    /// Asks, and waits for the answer as long as it takes.
    ///
    /// # Errors
    /// `Refused` when the handler returned an error, with its words; `Disconnected` when the server is
    /// gone or goes, with whether the call may have been carried out; `TooBig` with the limit.
    pub fn call(&self, request: &[u8]) -> Result<Vec<u8>> {
        self.call_with(request, Wait::Forever)
    }

    /// Asks, and waits so long at most. The server is told how much time is left, and when it is over.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`call`](Self::call).
    pub fn call_timeout(&self, request: &[u8], limit: Duration) -> Result<Vec<u8>> {
        self.call_with(request, Wait::For(limit))
    }

    /// Asks, and waits as long as told.
    ///
    /// # Errors
    /// Those of [`call_timeout`](Self::call_timeout); with [`Wait::Not`] always `WouldBlock`.
    pub fn call_with(&self, request: &[u8], wait: Wait) -> Result<Vec<u8>> {
        self.begin(request, wait.into())?.wait()
    }

    /// Asks, and leaves the waiting for later. It waits only for room.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub fn start(&self, request: &[u8]) -> Result<Pending> {
        self.begin(request, Deadline::Never)
    }

    /// The same with a deadline for the answer.
    ///
    /// # Errors
    /// `TimedOut` when there was no room until then.
    pub fn start_timeout(&self, request: &[u8], limit: Duration) -> Result<Pending> {
        self.begin(request, Wait::For(limit).into())
    }

    /// How long a request can be on this carrier, in bytes; the server may take less.
    #[must_use]
    pub fn max_request(&self) -> usize {
        self.0.link.longest().0
    }

    /// Whether the server is still there, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.calls().end.is_none()
    }

    pub(super) fn begin(&self, request: &[u8], deadline: Deadline) -> Result<Pending> {
        let id = self.0.send(request, deadline, true)?;
        Ok(Pending::new(self.0.clone(), id, deadline))
    }
}

/// What the asynchronous form is made of; nothing here waits.
#[cfg(feature = "tokio")]
impl Client {
    /// Whether its descriptor tells everything there is to wait for.
    pub(crate) fn tells(&self) -> bool {
        self.0.link.tells()
    }

    /// Asks if there is room now.
    pub(crate) fn try_start(&self, request: &[u8]) -> Result<Pending> {
        let id = self.0.send(request, Deadline::Never, false)?;
        Ok(Pending::new(self.0.clone(), id, Deadline::Never))
    }

    /// Sends what is left of a request: `WouldBlock` while there is no room for all of it.
    pub(crate) fn catch_up(&self) -> Result<()> {
        if let Err(end) = self.0.link.wait(false, true, Deadline::Now) {
            self.0.over(end);
        }
        if self.0.link.is_behind() && self.is_connected() {
            return Err(self
                .0
                .error(Kind::WouldBlock, "there is no room for the request"));
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}:{})", self.0.facility.id, self.0.name)
    }
}

impl AsFd for Client {
    /// Readable when something has come; to be polled only.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.link.descriptor()
    }
}

/// What is over when this is dropped.
struct Reading<'a>(&'a Line);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        calls.reading = false;
        // Somebody else goes on, if anybody waits.
        let next = calls.open.values_mut().find_map(|open| match open.outcome {
            None => open.waiter.take(),
            Some(_) => None,
        });
        drop(calls);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl Line {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing is left half done where it could panic.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        self.facility.error(kind, "call", &self.name, why)
    }

    #[cold]
    fn ended(&self, end: &End, carried_out: &str) -> Error {
        let error = match end {
            End::Gone | End::Stopped => self.error(Kind::Disconnected, end.to_string()),
            End::Malformed(why) => self.error(Kind::Corrupt, why.clone()),
            End::Failed(errno) => self.facility.failed("call", &self.name, *errno),
        };
        error.with_detail(carried_out)
    }

    /// Sends a call: its number. Unless it waits, `WouldBlock` when there is no room, and part of it may be left.
    fn send(&self, request: &[u8], deadline: Deadline, waits: bool) -> Result<u64> {
        let (longest, says) = self.link.longest();
        if request.len() > longest {
            let why = format!(
                "the request has {} bytes, the longest has {longest}",
                request.len()
            );
            return Err(self.error(Kind::TooBig, why).with_detail(says));
        }
        if let Deadline::Now = deadline {
            return Err(self.error(Kind::WouldBlock, "an answer has to be waited for"));
        }
        let id = {
            let mut calls = self.calls();
            if let Some(end) = &calls.end {
                return Err(self.ended(end, "it was not sent"));
            }
            let id = calls.next;
            calls.next += 1;
            calls.open.insert(id, Open::default());
            id
        };
        self.say_cancelled();
        loop {
            let left = deadline.remaining();
            if left == Some(Duration::ZERO) {
                self.calls().open.remove(&id);
                let why = "there was no room for the request within the time";
                return Err(self.error(Kind::TimedOut, why));
            }
            let head = Head {
                word: left.map_or(0, |left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)),
                ..Head::bare(What::Call, id)
            };
            match self.link.try_send(head, request) {
                Ok(true) if waits => break,
                Ok(true) => return Ok(id),
                Ok(false) if !waits => {
                    self.calls().open.remove(&id);
                    return Err(self.error(Kind::WouldBlock, "there is no room for the request"));
                }
                Ok(false) => self.turn(true, deadline),
                Err(end) => {
                    self.last_words();
                    self.over(end);
                }
            }
            let mut calls = self.calls();
            if let Some(end) = &calls.end {
                let error = self.ended(end, "it was not sent whole");
                calls.open.remove(&id);
                return Err(error);
            }
        }
        while self.link.is_behind() && !deadline.passed() && self.calls().end.is_none() {
            self.turn(true, deadline);
        }
        Ok(id)
    }

    /// Waits for an answer: `None` when the time is over, and the call goes on.
    pub(super) fn wait(&self, id: u64, deadline: Deadline) -> Result<Option<Vec<u8>>> {
        loop {
            let mut calls = self.calls();
            let Calls {
                open, end, reading, ..
            } = &mut *calls;
            let Some(call) = open.get_mut(&id) else {
                return Err(self.error(Kind::BadInput, "its answer was taken before"));
            };
            // Who is not parked must not be the one to whom the reading is left.
            call.waiter = None;
            if let Some(outcome) = call.outcome.take() {
                open.remove(&id);
                drop(calls);
                return self.read(outcome).map(Some);
            }
            if let Some(end) = end {
                let error = self.ended(end, "it may have been carried out");
                open.remove(&id);
                return Err(error);
            }
            if !*reading {
                *reading = true;
                drop(calls);
                let reading = Reading(self);
                // What has come already is not to be waited for; nor is anything when the time is over.
                let waited = match deadline.passed() {
                    true => Ok(()),
                    false => self.link.wait(true, false, deadline),
                };
                match waited {
                    Ok(()) => drop(self.receive()),
                    Err(end) => self.over(end),
                }
                drop(reading);
                if deadline.passed() && !self.is_done(id) {
                    return Ok(None);
                }
                continue;
            }
            if deadline.passed() {
                return Ok(None);
            }
            call.waiter = Some(Waiter::Thread(std::thread::current()));
            drop(calls);
            match deadline.remaining() {
                None => std::thread::park(),
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }

    /// The answer of a call, or who is to be woken when it has come, or when it is his turn to read.
    #[cfg(feature = "tokio")]
    pub(super) fn poll(&self, id: u64, waker: &std::task::Waker) -> Option<Result<Vec<u8>>> {
        if let Some(call) = self.calls().open.get_mut(&id) {
            call.waiter = Some(Waiter::Task(waker.clone()));
        }
        // Whoever reads now wakes somebody when it is done.
        if !std::mem::replace(&mut self.calls().reading, true) {
            let _reading = Reading(self);
            while !self.is_done(id) && self.receive() {}
        }
        if !self.is_done(id) {
            return None;
        }
        // It is there: this does not wait.
        self.wait(id, Deadline::Never).transpose()
    }

    /// Whether the answer of a call, or the end of everything, is there.
    pub(super) fn is_done(&self, id: u64) -> bool {
        let calls = self.calls();
        calls.end.is_some()
            || calls
                .open
                .get(&id)
                .is_none_or(|call| call.outcome.is_some())
    }

    /// Nobody waits for it any more: the server is told, and what it answers is discarded.
    pub(super) fn cancel(&self, id: u64) {
        let mut calls = self.calls();
        let Some(call) = calls.open.remove(&id) else {
            return;
        };
        if call.outcome.is_none() && calls.end.is_none() {
            calls.cancelled.push(id);
            drop(calls);
            self.say_cancelled();
        }
    }

    pub(super) fn too_late(&self) -> Error {
        self.error(Kind::TimedOut, "no answer came within the time")
    }

    /// Tells the server what was cancelled, as far as there is room.
    fn say_cancelled(&self) {
        let mut calls = self.calls();
        while let Some(id) = calls.cancelled.last() {
            // Under the lock, or another thread would say it too. It does not wait.
            match self.link.try_send(Head::bare(What::Cancel, *id), &[]) {
                Ok(true) => calls.cancelled.pop(),
                Ok(false) | Err(_) => return,
            };
        }
    }

    /// Waits for room, and reads meanwhile unless another thread does.
    fn turn(&self, room: bool, deadline: Deadline) {
        let reads = !std::mem::replace(&mut self.calls().reading, true);
        let reading = reads.then(|| Reading(self));
        let slice = match deadline.remaining() {
            _ if reads => deadline,
            left => Wait::For(left.unwrap_or(SLICE).min(SLICE)).into(),
        };
        match self.link.wait(reads, room, slice) {
            Ok(()) if reads => drop(self.receive()),
            Ok(()) => {}
            Err(end) => self.over(end),
        }
        drop(reading);
        self.say_cancelled();
    }

    /// Takes what the server said before it went.
    #[cold]
    fn last_words(&self) {
        if std::mem::replace(&mut self.calls().reading, true) {
            // Whoever reads finds it.
            return;
        }
        let _reading = Reading(self);
        while self.receive() {}
    }

    /// Takes what has come; `false` when there is no more. Only by the thread that reads.
    fn receive(&self) -> bool {
        let mut end = None;
        let outcome = self.link.receive(&mut |got| {
            if let Some(why) = self.deliver(got) {
                end.get_or_insert(why);
            }
        });
        let (more, failure) = match outcome {
            Ok(more) => (more, None),
            Err(failure) => (false, Some(failure)),
        };
        if let Some(end) = end.or(failure) {
            self.over(end);
        }
        more
    }

    /// Hands a frame to whom it is for. What nobody waits for any more is discarded.
    fn deliver(&self, got: Got) -> Option<End> {
        let (id, outcome) = match got {
            Got::Frame(head, body) => match head.kind {
                What::Answer => (head.id, Outcome::Answer(body)),
                What::Error if head.id == 0 => return Some(said(head, &body)),
                What::Error => {
                    let why = String::from_utf8_lossy(&body).into_owned();
                    (head.id, Outcome::Error(Code::of(head.word), why))
                }
                What::Bye => return Some(End::Stopped),
                What::Call | What::Cancel | What::Hello => {
                    let why = "what came from the server is the frame of a client";
                    return Some(End::Malformed(why.into()));
                }
            },
            Got::TooBig(head) => (head.id, Outcome::TooBig(head.len)),
        };
        let mut calls = self.calls();
        let call = calls.open.get_mut(&id)?;
        call.outcome.get_or_insert(outcome);
        let waiter = call.waiter.take();
        drop(calls);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        None
    }

    /// Nothing more comes: everybody is told.
    #[cold]
    fn over(&self, end: End) {
        let mut calls = self.calls();
        // What the server said says more than that it is gone.
        if calls.end.as_ref().is_none_or(|known| *known == End::Gone) {
            calls.end = Some(end);
        }
        let waiters: Vec<Waiter> = calls
            .open
            .values_mut()
            .filter_map(|open| open.waiter.take())
            .collect();
        drop(calls);
        waiters.into_iter().for_each(Waiter::wake);
    }

    /// What the server said, as a result.
    fn read(&self, outcome: Outcome) -> Result<Vec<u8>> {
        let (code, why) = match outcome {
            Outcome::Answer(bytes) => return Ok(bytes),
            Outcome::TooBig(len) => {
                let why = format!("the answer has {len} bytes, more than this client takes");
                return Err(self
                    .error(Kind::TooBig, why)
                    .with_hint("raise max_answer of its options"));
            }
            Outcome::Error(code, why) => (code, why),
        };
        let kind = match code {
            Code::Refused | Code::Panicked => Kind::Refused,
            Code::TooBig => Kind::TooBig,
            Code::TooLate => Kind::TimedOut,
            Code::Stopping => Kind::Disconnected,
            Code::TooMany => Kind::Limit,
            Code::Malformed => Kind::Corrupt,
        };
        Err(self.error(kind, why))
    }
}

/// What the server said before it ended the connection.
fn said(head: Head, why: &[u8]) -> End {
    match Code::of(head.word) {
        Code::Stopping => End::Stopped,
        _ => End::Malformed(String::from_utf8_lossy(why).into_owned()),
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.say_cancelled();
        // Where the end of the carrier says it too, this is only sooner. Without room nobody is told.
        let _ = self.link.try_send(Head::bare(What::Bye, 0), &[]);
    }
}
