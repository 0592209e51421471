//! Model: what the model checker runs of the poller: one that polls, the thread behind its descriptor, and a peer.

use loom::sync::Arc;
use loom::thread;

use super::poller::{Look, Poller, Sight};
use crate::pattern::channel::bell::{Ringer, Waiter, Wake};
use crate::pattern::channel::ends::{CAREFUL, End, Role};
use crate::pattern::channel::waiting::Waiting;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::keeper::Alive;
use crate::wait::Deadline;

/// A peer that counts up, in the first of two seats.
struct Model {
    count: AtomicU64,
    joins: AtomicU32,
    ends: [End; 2],
}

/// The peer.
pub struct Peer {
    // Leaves before the model goes.
    alive: Option<Alive>,
    model: Arc<Model>,
    ringer: Ringer,
}

/// One that polls, and the thread behind its descriptor.
pub struct Polling {
    model: Arc<Model>,
    poller: Arc<Poller>,
    thread: Option<thread::JoinHandle<()>>,
    seen: u64,
}

/// One that sleeps for the same peer.
pub struct Sleeping {
    model: Arc<Model>,
    waiter: Waiter,
}

struct Counted(Arc<Model>);

impl Sight for Counted {
    fn concerns(&self, end: &End, _: u64) -> bool {
        end.role() == Some(Role::Sender)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let there = self.0.count.load(Ordering::Acquire) >= wanted;
        match there || self.0.ends[0].is_left() {
            true => Look::Ready,
            false => Look::Nothing,
        }
    }
}

/// A peer, which somebody has made careful, and one that polls it; the poller's thread is the second.
pub fn pair() -> (Peer, Polling) {
    let model = Arc::new(Model {
        count: AtomicU64::new(0),
        joins: AtomicU32::new(0),
        ends: [End::new(), End::new()],
    });
    let end = &model.ends[0];
    // SAFETY: the model outlives its ends, which have it.
    let alive = unsafe { Alive::at(&end.life) }.expect("a model");
    end.sit_down(Role::Sender);
    end.life.careful.store(CAREFUL, Ordering::SeqCst);
    let poller = Arc::new(Poller::new().expect("a model"));
    let thread = thread::spawn({
        let (poller, model) = (poller.clone(), model.clone());
        move || {
            let mut sight = Counted(model.clone());
            poller.run(&model.ends, &model.joins, &mut sight);
        }
    });
    let peer = Peer {
        alive: Some(alive),
        model: model.clone(),
        ringer: Ringer::default(),
    };
    let polling = Polling {
        model,
        poller,
        thread: Some(thread),
        seen: 0,
    };
    (peer, polling)
}

impl Peer {
    /// Counts up.
    pub fn count(&mut self) {
        let count = self.model.count.load(Ordering::Relaxed) + 1;
        self.model.count.store(count, Ordering::Release);
        self.ringer.ring(&self.model.ends[0]);
    }

    /// Leaves.
    pub fn leave(mut self) {
        drop(self.alive.take());
    }

    /// One that sleeps for it beside the poller.
    pub fn sleeper(&self) -> Sleeping {
        Sleeping {
            model: self.model.clone(),
            waiter: Waiter::among_many(Waiting::Block),
        }
    }
}

impl Polling {
    /// An attempt: whether the peer has counted once more, or has left instead; nothing for now, and then it is armed.
    pub fn attempt(&mut self) -> Option<bool> {
        // Asked first: what the peer did before it left is there.
        let left = self.model.ends[0].is_left();
        if self.model.count.load(Ordering::Acquire) > self.seen {
            self.seen += 1;
            return Some(true);
        }
        if left {
            return Some(false);
        }
        self.poller.arm(self.seen + 1);
        None
    }

    /// Polls until an attempt gives something.
    pub fn next(&mut self) -> bool {
        loop {
            if let Some(outcome) = self.attempt() {
                return outcome;
            }
            self.poller.event().await_raised();
        }
    }

    /// Waits for the descriptor, and makes the attempt.
    pub fn poll(&mut self) -> Option<bool> {
        self.poller.event().await_raised();
        self.attempt()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.poller.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a thread");
        }
    }
}

impl Sleeping {
    /// Sleeps until the peer has counted.
    pub fn wait(&mut self) -> bool {
        let Model { count, ends, .. } = &*self.model;
        let there = || (count.load(Ordering::Acquire) > 0).then_some(());
        let woken = self.waiter.wait(&ends[1], &ends[0], Deadline::Never, there);
        woken == Wake::Found(())
    }
}
