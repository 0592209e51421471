//! Poll: an end of a channel as a descriptor, for `poll(2)`, `epoll(7)`, tokio and [`select`](super::select::select).
//!
//! The descriptor is an event counter of this process; a thread of it sleeps on the peers as the end itself would, and
//! makes the descriptor readable. So nothing passes between the processes, and a peer pays for a poller
//! exactly what it pays for a sleeper: nothing while nobody sleeps.
//!
//! The order of steps: poll for *reading* (a sender too: readable means that there may be room); then `try_` until it says that it
//! would have to wait, which arms the descriptor anew. New, it is readable: try first.
//!
//! | end | readable when |
//! |---|---|
//! | [`one_to_one`](super::one_to_one) receiver, sender | something is there; there is as much room as the attempt wanted |
//! | [`broadcast`](super::broadcast) receiver, sender | something is behind its own place; the slowest receiver has got far enough |
//! | [`latest`](super::latest) receiver, sender | there is a newer one than it received; always |
//! | [`many_to_many`](super::many_to_many) receiver, sender | a value can be taken, also one that comes back; a place can be taken |
//! | all | nobody is left at the other side, so that the attempt says `Disconnected` |
//!
//! Where several wait for one thing, all their descriptors become readable, and the attempts of all but one find nothing.
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

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::ends::End;
use super::region::Region;
use crate::error::{Kind, Result};
use crate::sys::signal;

mod event;
mod following;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod model;
mod poller;

pub(crate) use self::following::Following;
use self::poller::Poller;
pub(crate) use self::poller::{Look, Sight};

/// An end that can be polled.
pub trait Waitable: sealed::Waitable {}

impl<E: sealed::Waitable> Waitable for E {}

pub(crate) mod sealed {
    use super::{Arc, Region, View};

    /// What the poller must know of an end.
    pub trait Waitable {
        /// What a sink has taken and not yet sent.
        type Unsent: Default + Send + Sync;

        /// The channel.
        fn region(&self) -> &Arc<Region>;

        /// How its wait looks to another thread.
        fn view(&self) -> View;

        /// From now on it does not sleep alone for its peer: the poller does, too.
        fn among_many(&mut self) {}

        /// What the attempt that failed last waits for, as its sight understands it: so many bytes of room, or a
        /// position that somebody must reach; not 0.
        fn wanted(&self) -> u64 {
            1
        }
    }
}

/// A channel that is seen by another, as long as its memory is there.
struct There {
    region: Arc<Region>,
    sight: Box<dyn Sight>,
}

impl Sight for There {
    fn concerns(&self, end: &End, wanted: u64) -> bool {
        self.sight.concerns(end, wanted)
    }

    fn mourns(&self, end: &End) -> bool {
        self.sight.mourns(end)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let look = self.sight.look(wanted);
        match self.region.is_there("poll") {
            Ok(()) => look,
            // The attempt says so.
            Err(_) => Look::Ready,
        }
    }
}

/// How the wait of an end looks to another thread.
pub struct View(Box<dyn Sight>);

impl View {
    pub(crate) fn new(sight: impl Sight + 'static) -> Self {
        View(Box::new(sight))
    }
}

/// An end of a channel with a descriptor.
///
/// **Fork:** as the end itself it belongs to the process that made it, whose child has no such thread.
pub struct Pollable<E: Waitable> {
    end: E,
    poller: Arc<Poller>,
    thread: Option<JoinHandle<()>>,
    process: u32,
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) unsent: E::Unsent,
}

impl<E: Waitable> Pollable<E> {
    /// Gives an end a descriptor and the thread that rings it.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors or threads; the end has left the channel then, as when it is dropped.
    pub fn new(mut end: E) -> Result<Self> {
        end.among_many();
        let region = end.region().clone();
        let poller = Poller::new().map_err(|errno| region.failed("poll", errno))?;
        let poller = Arc::new(poller);
        let thread = spawn({
            let (poller, region, View(sight)) = (poller.clone(), region.clone(), end.view());
            move || {
                let memory = region.clone();
                let mut there = There { region, sight };
                poller.run(memory.ends(), &memory.roster().joins, &mut there);
            }
        })
        .map_err(|cause| {
            // What pthread_create says when there are too many is "try again".
            let why = format!("there is no thread for it: {cause}");
            region.error(Kind::Limit, "poll", why).with_hint(
                "raise `ulimit -u` or the pids.max of its control group, or poll fewer ends",
            )
        })?;
        Ok(Pollable {
            end,
            poller,
            thread: Some(thread),
            process: std::process::id(),
            unsent: E::Unsent::default(),
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
        self.poller.arm(self.end.wanted());
    }
}

/// A thread for which no signal is, not even before it could say so, but that a page is gone.
fn spawn(run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let before = signal::mask(libc::SIG_BLOCK, Some(&signal::all_but_faults()))?;
    let thread = std::thread::Builder::new()
        .name("wigwag-poller".into())
        .stack_size(64 << 10)
        .spawn(run);
    signal::mask(libc::SIG_SETMASK, Some(&before))?;
    thread
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
        self.poller.event().as_fd()
    }
}

impl<E: Waitable + std::fmt::Debug> std::fmt::Debug for Pollable<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Pollable");
        fields.field("end", &self.end).finish_non_exhaustive()
    }
}

impl<E: Waitable> Drop for Pollable<E> {
    fn drop(&mut self) {
        // A fork leaves the child without the thread: it would wait for it in vain.
        if self.process != std::process::id() {
            return;
        }
        self.poller.stop();
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}
