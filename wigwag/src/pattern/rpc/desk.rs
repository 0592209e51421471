//! Desk: the calls that wait for a worker and those that are being handled, of all clients.
//!
//! A client at a time gets its turn, so that one with a thousand calls does not keep out another with one.
//! Who has too many waiting, or does not take its answers, is not read from until that changes.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::EventfdFlags;
use rustix::io::Errno;

use super::frame::{Code, Head, Kind, Malformed};
use super::outbox::{Outbox, Sent};
use super::request::{Cancellation, Refusal, Request};
use crate::message::Credentials;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::futex;

/// How long calls go on before another thread looks what else has come: a cancellation, for instance.
const TICK: Duration = Duration::from_millis(2);
/// Bytes of answers that may wait for a client before it gets no more turns.
const BACKLOG: usize = 1 << 20;

/// Calls and clients.
pub(super) struct Desk {
    state: Mutex<State>,
    /// For the thread that reads while all workers are busy.
    busy: Condvar,
    stopping: AtomicBool,
    wake: OwnedFd,
    /// The same for who sleeps on words of memory: how often it was rung.
    bell: AtomicU32,
    most_waiting: usize,
    longest: usize,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Client>,
    /// Those that have calls waiting, each once.
    turns: VecDeque<u64>,
    /// Workers that have nothing to do.
    idle: usize,
    running: usize,
    /// How often somebody has looked what has come.
    looks: u64,
    watcher_sleeps: bool,
    watcher_reads: bool,
    /// Clients of whom something may have changed for whoever reads from them.
    changed: Vec<u64>,
}

struct Client {
    outbox: Arc<Outbox>,
    caller: Option<Credentials>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    running: HashMap<u64, Cancellation>,
    paused: bool,
}

struct Waiting {
    id: u64,
    body: Vec<u8>,
    deadline: Option<Instant>,
}

/// A call that a worker has taken.
pub(super) struct Taken {
    client: u64,
    id: u64,
    pub(super) request: Request,
}

/// How a call ended.
pub(super) enum Outcome {
    Done(Result<Vec<u8>, Refusal>),
    Panicked,
}

impl Desk {
    pub(super) fn new(most_waiting: usize, longest: usize) -> Result<Self, Errno> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Desk {
            state: Mutex::default(),
            busy: Condvar::new(),
            stopping: AtomicBool::new(false),
            wake: rustix::event::eventfd(0, flags)?,
            bell: AtomicU32::new(0),
            most_waiting,
            longest,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request may be.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    // What whoever reads does.

    /// Readable when whoever reads is to look at [`changed`](Self::changed) or stop.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The same as a word to sleep on.
    pub(super) fn bell(&self) -> &AtomicU32 {
        &self.bell
    }

    /// How often it was rung.
    pub(super) fn rung(&self) -> u32 {
        self.bell.load(Ordering::SeqCst)
    }

    /// A client is there.
    pub(super) fn enter(&self, key: u64, outbox: Arc<Outbox>, caller: Option<Credentials>) {
        let client = Client {
            outbox,
            caller,
            waiting: VecDeque::new(),
            bytes: 0,
            running: HashMap::new(),
            paused: false,
        };
        self.state().clients.insert(key, client);
    }

    /// A client is gone: its calls are cancelled.
    pub(super) fn leave(&self, key: u64) {
        let mut state = self.state();
        let Some(client) = state.clients.remove(&key) else {
            return;
        };
        if !client.waiting.is_empty() {
            state.turns.retain(|turn| *turn != key);
        }
        drop(state);
        client.running.values().for_each(Cancellation::set);
    }

    /// Whether more is to be read from a client.
    pub(super) fn has_room(&self, key: u64) -> bool {
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&key) else {
            return false;
        };
        client.paused = client.waiting.len() >= self.most_waiting
            || client.bytes > self.longest
            || client.outbox.backlog() > BACKLOG;
        !client.paused
    }

    /// Calls that wait, of all clients.
    pub(super) fn waiting(&self) -> usize {
        let state = self.state();
        let of_one = |key: &u64| {
            state
                .clients
                .get(key)
                .map_or(0, |client| client.waiting.len())
        };
        state.turns.iter().map(of_one).sum()
    }

    /// A frame of a client has come.
    pub(super) fn submit(&self, key: u64, head: Head, body: Vec<u8>) -> Result<(), Malformed> {
        match head.kind {
            Kind::Call => self.call(key, head, body),
            Kind::Cancel => {
                self.cancel(key, head.id);
                Ok(())
            }
            _ => Err(Malformed(
                "its kind is not one that comes from a client here",
            )),
        }
    }

    fn call(&self, key: u64, head: Head, body: Vec<u8>) -> Result<(), Malformed> {
        if head.id == 0 {
            return Err(Malformed("a call has the number 0"));
        }
        let left = (head.word > 0).then(|| Duration::from_nanos(head.word));
        let mut state = self.state();
        let State { clients, turns, .. } = &mut *state;
        let Some(client) = clients.get_mut(&key) else {
            return Ok(());
        };
        let known = client.running.contains_key(&head.id)
            || client.waiting.iter().any(|call| call.id == head.id);
        if known {
            return Err(Malformed("a call has the number of another in flight"));
        }
        if client.waiting.is_empty() {
            turns.push_back(key);
        }
        client.bytes += body.len();
        client.waiting.push_back(Waiting {
            id: head.id,
            body,
            deadline: left.and_then(|left| Instant::now().checked_add(left)),
        });
        Ok(())
    }

    fn cancel(&self, key: u64, id: u64) {
        let mut state = self.state();
        let State { clients, turns, .. } = &mut *state;
        let Some(client) = clients.get_mut(&key) else {
            return;
        };
        if let Some(cancellation) = client.running.get(&id) {
            cancellation.set();
        } else if let Some(at) = client.waiting.iter().position(|call| call.id == id) {
            if let Some(call) = client.waiting.remove(at) {
                client.bytes -= call.body.len();
            }
            if client.waiting.is_empty() {
                turns.retain(|turn| *turn != key);
            }
        }
    }

    /// Tells a client about one of its calls, or with the number 0 about the connection.
    pub(super) fn refuse(&self, outbox: &Outbox, id: u64, code: Code, why: &str) -> Sent {
        let head = Head {
            word: code as u64,
            ..Head::bare(Kind::Error, id)
        };
        outbox.send(head, why.as_bytes())
    }

    /// Clients whose room or backlog has changed.
    pub(super) fn changed(&self) -> Vec<u64> {
        // Emptied before it is looked at, or one that comes now would not be seen.
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        std::mem::take(&mut self.state().changed)
    }

    fn rouse(&self) {
        // A counter that is full is readable already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        self.bell.fetch_add(1, Ordering::SeqCst);
        futex::wake(&self.bell, 1);
    }

    // What workers do.

    /// Whether a worker would find something to do.
    pub(super) fn has_work(&self) -> bool {
        let state = self.state();
        state.turns.iter().any(|key| state.may_begin(*key))
    }

    /// The next call.
    pub(super) fn take(&self) -> Option<Taken> {
        loop {
            let mut state = self.state();
            let at = (0..state.turns.len()).find(|at| state.may_begin(state.turns[*at]))?;
            let key = state.turns.remove(at)?;
            let State {
                clients,
                turns,
                changed,
                ..
            } = &mut *state;
            let client = clients.get_mut(&key)?;
            let call = client.waiting.pop_front()?;
            client.bytes -= call.body.len();
            if !client.waiting.is_empty() {
                turns.push_back(key);
            }
            let resumed = client.paused;
            if resumed {
                changed.push(key);
            }
            if call.deadline.is_some_and(|then| then <= Instant::now()) {
                let outbox = client.outbox.clone();
                drop(state);
                let why = "its time was over before the server came to it";
                let sent = self.refuse(&outbox, call.id, Code::TooLate, why);
                if resumed || sent != Sent::Whole {
                    self.notice(key);
                }
                continue;
            }
            let cancellation = Cancellation::new(call.deadline);
            client.running.insert(call.id, cancellation.clone());
            let caller = client.caller;
            state.running += 1;
            if state.idle == 0 && state.watcher_sleeps {
                self.busy.notify_one();
            }
            drop(state);
            if resumed {
                self.rouse();
            }
            return Some(Taken {
                client: key,
                id: call.id,
                request: Request {
                    bytes: call.body,
                    cancellation,
                    caller,
                },
            });
        }
    }

    fn notice(&self, key: u64) {
        self.state().changed.push(key);
        self.rouse();
    }

    /// A call is over.
    pub(super) fn finish(&self, call: (u64, u64), outcome: Outcome) {
        let (key, id) = call;
        let mut state = self.state();
        state.running -= 1;
        let Some(client) = state.clients.get_mut(&key) else {
            return;
        };
        let cancellation = client.running.remove(&id);
        let outbox = client.outbox.clone();
        drop(state);
        let Some(cancellation) = cancellation.filter(|cancellation| !cancellation.by_caller())
        else {
            return;
        };
        let sent = match outcome {
            // Whatever it is: the caller must not depend on whose clock is ahead.
            _ if cancellation.is_set() => {
                let why = "its time was over before it was answered";
                self.refuse(&outbox, id, Code::TooLate, why)
            }
            Outcome::Done(Ok(answer)) if u32::try_from(answer.len()).is_ok() => {
                outbox.send(Head::bare(Kind::Answer, id), &answer)
            }
            Outcome::Done(Ok(_)) => {
                let why = "the answer has more than 4 GiB";
                self.refuse(&outbox, id, Code::Refused, why)
            }
            Outcome::Done(Err(Refusal(why))) => self.refuse(&outbox, id, Code::Refused, &why),
            Outcome::Panicked => self.refuse(&outbox, id, Code::Panicked, "the handler panicked"),
        };
        if sent != Sent::Whole {
            self.notice(key);
        }
    }

    /// A worker has nothing to do, and looks what comes, until what this returns is dropped.
    pub(super) fn idle(&self) -> Idle<'_> {
        let mut state = self.state();
        state.idle += 1;
        state.looks += 1;
        let watched = state.watcher_reads;
        drop(state);
        if watched {
            // It hands the reading back.
            self.rouse();
        }
        Idle(self)
    }

    /// Whether the watcher is to read: no worker has nothing to do.
    pub(super) fn watches(&self) -> bool {
        let mut state = self.state();
        state.watcher_reads = state.idle == 0 && !self.is_stopping();
        state.watcher_reads
    }

    /// Sleeps until all workers have been busy for a while and nobody looked what has come; `false` when stopping.
    pub(super) fn wait_until_busy(&self) -> bool {
        let mut state = self.state();
        while !self.is_stopping() {
            if state.idle > 0 || state.running == 0 {
                state.watcher_sleeps = true;
                state = self
                    .busy
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.watcher_sleeps = false;
                continue;
            }
            let looks = state.looks;
            let waited = self.busy.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.idle == 0 && state.running > 0 && state.looks == looks {
                return true;
            }
        }
        false
    }

    // How it ends.

    /// No call is begun from now on. Signal-safe.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.rouse();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The last worker has ended: lets the watcher go.
    pub(super) fn release_watcher(&self) {
        // Under the lock, or it could be about to sleep.
        let _state = self.state();
        self.busy.notify_all();
    }

    /// Answers what was not begun.
    pub(super) fn turn_away(&self) {
        let mut state = self.state();
        state.turns.clear();
        let waiting: Vec<_> = state
            .clients
            .values_mut()
            .map(|client| (client.outbox.clone(), std::mem::take(&mut client.waiting)))
            .collect();
        drop(state);
        for (outbox, calls) in waiting {
            for call in calls {
                let why = "the server stops, and has not begun it";
                self.refuse(&outbox, call.id, Code::Stopping, why);
            }
        }
    }
}

impl State {
    /// Whether a call of this client may be begun: not while it does not take its answers.
    fn may_begin(&self, key: u64) -> bool {
        self.clients
            .get(&key)
            .is_some_and(|client| client.outbox.backlog() <= BACKLOG)
    }
}

impl Taken {
    /// Which it is.
    pub(super) fn which(&self) -> (u64, u64) {
        (self.client, self.id)
    }
}

/// A worker that has nothing to do.
pub(super) struct Idle<'a>(&'a Desk);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.state().idle -= 1;
    }
}
