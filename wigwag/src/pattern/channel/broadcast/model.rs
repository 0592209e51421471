//! Model: what the model checker runs of the bell where several wait for one, in its memory.

use loom::sync::Arc;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{CAREFUL, End};
use super::super::waiting::Waiting;
use super::course::{Follower, Front, Publisher};
use crate::sys::atomic::Ordering;
use crate::sys::keeper::Alive;
use crate::wait::Deadline;

/// A sender and two receivers.
pub struct Model {
    front: Front,
    ends: [End; 3],
}

/// The sender.
pub struct Sender {
    // Leaves before the model goes.
    _alive: Alive,
    model: Arc<Model>,
    publisher: Publisher,
    ringer: Ringer,
}

/// A receiver.
pub struct Receiver {
    seat: usize,
    _alive: Alive,
    model: Arc<Model>,
    follower: Follower,
    waiter: Waiter,
}

impl Model {
    /// The sender, which somebody has made careful, and both receivers.
    pub fn new() -> (Sender, [Receiver; 2]) {
        let model = Arc::new(Model {
            front: Front::new(),
            ends: [End::new(), End::new(), End::new()],
        });
        // SAFETY: the model outlives its ends, which have it.
        let alive = |seat: usize| unsafe { Alive::at(&model.ends[seat].life) }.expect("a model");
        model.ends[0].life.careful.store(CAREFUL, Ordering::SeqCst);
        let receiver = |seat| Receiver {
            seat,
            _alive: alive(seat),
            model: model.clone(),
            follower: Follower::new(0),
            waiter: Waiter::among_many(Waiting::Block),
        };
        let sender = Sender {
            _alive: alive(0),
            publisher: Publisher::resume(&model.front, 8).expect("an empty ring"),
            ringer: Ringer::default(),
            model: model.clone(),
        };
        (sender, [receiver(1), receiver(2)])
    }
}

impl Sender {
    /// Publishes one.
    pub fn send(&mut self) {
        let tail = self.publisher.tail() + 1;
        self.publisher.publish(&self.model.front, tail);
        self.ringer.ring(&self.model.ends[0]);
    }
}

impl Receiver {
    /// Waits for one.
    pub fn recv(&mut self) -> bool {
        let Model { front, ends } = &*self.model;
        let follower = &mut self.follower;
        let there = || (follower.published(front) > 0).then_some(());
        let (own, peer) = (&ends[self.seat], &ends[0]);
        let woken = self.waiter.wait(own, peer, Deadline::Never, there);
        self.follower.go(self.follower.at() + 1);
        woken == Wake::Found(())
    }
}
