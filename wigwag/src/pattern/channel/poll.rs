//! Poll: an end of a channel as a descriptor, for `poll(2)`, `epoll(7)`, tokio and [`select`](super::select::select).
//!
//! The descriptor is an event counter of this process; a thread of it sleeps on the peers as the end itself would, and
//! makes the descriptor readable. So nothing passes between the processes, and a peer pays for a poller
//! exactly what it pays for a sleeper: nothing while nobody sleeps.
//!
//! The order of steps: poll for *reading* (a sender too: readable means that there may be room); then `try_` until it says that it
//! would have to wait, which arms the descriptor anew. New, it is readable: try first.
//!
//! ```
//! use std::os::fd::AsFd;
//! use wigwag::pattern::channel::{Pollable, one_to_one};
//!
//! let (mut sender, receiver) = one_to_one::pair::<u64>(16)?;
//! let mut receiver = Pollable::new(receiver)?;
//! assert!(receiver.attempt(|end| end.try_recv().map(|value| value.map(|value| *value)))?.is_none());
//! sender.send(7)?;
//! rustix::event::poll(&mut [rustix::event::PollFd::new(&receiver.as_fd(), rustix::event::PollFlags::IN)], None)?;
//! assert_eq!(receiver.attempt(|end| end.try_recv().map(|value| value.map(|value| *value)))?, Some(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::bell;
use super::ends::{End, Role};
use super::region::Region;
use crate::error::Result;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::futex;
use crate::sys::keeper::State;
use crate::wait::Deadline;

const LOOK_AROUND: Duration = Duration::from_millis(500);

/// An end that can be polled.
pub trait Waitable: sealed::Waitable {}

impl<E: sealed::Waitable> Waitable for E {}

pub(crate) mod sealed {
    /// What the poller must know of an end.
    pub trait Waitable {
        /// For whom it waits and for what.
        fn watch(&self) -> super::Watch;

        /// From now on it does not sleep alone for its peer: the poller does, too.
        fn among_many(&mut self);

        /// How much the attempt wanted that failed last: 1 value, or so many bytes of room.
        fn wanted(&self) -> u64 {
            1
        }
    }
}

/// For whom an end waits and for what.
pub struct Watch {
    pub(crate) region: Arc<Region>,
    /// The role of those who can end the wait.
    pub(crate) peers: Role,
    /// Whether there is as much as wanted, or nobody who could change that.
    pub(crate) ready: fn(&Region, u64) -> bool,
}

/// An end of a channel with a descriptor.
#[derive(Debug)]
pub struct Pollable<E: Waitable> {
    end: E,
    poller: Arc<Poller>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Poller {
    event: OwnedFd,
    /// How much is wanted; 0 when nobody asks.
    wanted: AtomicU64,
    /// Changes whenever the thread is to look anew.
    changed: AtomicU32,
    stop: AtomicBool,
}

impl Poller {
    fn look(&self) {
        self.changed.fetch_add(1, Ordering::SeqCst);
        futex::wake(&self.changed, 1);
    }

    fn run(&self, watch: &Watch) {
        let region = &*watch.region;
        let is_peer = |end: &&End| end.role() == Some(watch.peers);
        loop {
            let changed = self.changed.load(Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let wanted = self.wanted.load(Ordering::SeqCst);
            if wanted == 0 {
                futex::wait(&self.changed, changed, Deadline::Never);
                continue;
            }
            let joins = region.roster().joins.load(Ordering::SeqCst);
            let mut words = vec![(&self.changed, changed), (&region.roster().joins, joins)];
            for end in region.ends().iter().filter(is_peer) {
                // The end may sleep on it, too: the mark alone would not do (see `bell`).
                let rings = end.rings.load(Ordering::SeqCst);
                let (state, mark, _) = bell::mark(&end.life);
                if state == State::Alive && words.len() + 2 <= futex::MOST_WORDS {
                    words.extend([end.life.watched(mark), (&end.rings, rings)]);
                } else {
                    end.life.pass_on();
                }
            }
            if (watch.ready)(region, wanted) {
                self.wanted.store(0, Ordering::SeqCst);
                self.tell();
                continue;
            }
            // At a death the kernel wakes one of those who sleep, who passes it on unless he is killed, too: look around.
            if futex::wait_any(&words, Deadline::Never, LOOK_AROUND) == futex::Sleep::Gone {
                self.wanted.store(0, Ordering::SeqCst);
                self.tell();
            }
        }
    }

    fn tell(&self) {
        // A counter that cannot count further is readable.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }
}

impl<E: Waitable> Pollable<E> {
    /// Gives an end a descriptor and the thread that rings it.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors or threads.
    pub fn new(mut end: E) -> Result<Self> {
        end.among_many();
        let watch = end.watch();
        let failed = |cause: std::io::Error| watch.region.failed("poll", cause);
        let event = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| failed(errno.into()))?;
        let poller = Arc::new(Poller {
            event,
            wanted: AtomicU64::new(0),
            changed: AtomicU32::new(0),
            stop: AtomicBool::new(false),
        });
        let region = watch.region.clone();
        let thread = std::thread::Builder::new()
            .name("wigwag-poller".into())
            .stack_size(64 << 10)
            .spawn({
                let poller = poller.clone();
                move || poller.run(&watch)
            })
            .map_err(|cause| region.failed("poll", cause))?;
        Ok(Pollable {
            end,
            poller,
            thread: Some(thread),
        })
    }

    /// Makes an attempt that does not wait; when it has nothing, the descriptor is armed. What it gives must
    /// not borrow from the end: copy it, or use [`end`](Self::end) and [`arm`](Self::arm).
    ///
    /// # Errors
    /// Those of the attempt.
    pub fn attempt<R: Outcome>(&mut self, attempt: impl FnOnce(&mut E) -> Result<R>) -> Result<R> {
        let outcome = attempt(&mut self.end)?;
        if !outcome.is_some() {
            self.arm();
        }
        Ok(outcome)
    }

    /// The end.
    pub fn end(&mut self) -> &mut E {
        &mut self.end
    }

    /// To be called after an attempt that had nothing: the descriptor becomes readable when another is worth while.
    pub fn arm(&mut self) {
        let mut count = [0; 8];
        // Nothing in it is fine, too.
        let _ = rustix::io::read(&self.poller.event, &mut count);
        self.poller
            .wanted
            .store(self.end.wanted(), Ordering::SeqCst);
        self.poller.look();
    }
}

/// What an attempt gives: something, or nothing for now.
pub trait Outcome {
    /// Whether it is something.
    fn is_some(&self) -> bool;
}

impl<T> Outcome for Option<T> {
    fn is_some(&self) -> bool {
        self.is_some()
    }
}

impl Outcome for bool {
    fn is_some(&self) -> bool {
        *self
    }
}

/// Readable when an attempt is worth while, for a sender too.
impl<E: Waitable> AsFd for Pollable<E> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.event.as_fd()
    }
}

impl<E: Waitable> Drop for Pollable<E> {
    fn drop(&mut self) {
        self.poller.stop.store(true, Ordering::SeqCst);
        self.poller.look();
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}
