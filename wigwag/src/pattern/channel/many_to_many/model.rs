//! Model: what the model checker runs of those who sleep until there is something to receive.

use std::time::Duration;

use loom::sync::Arc;

use super::super::bell::Ringer;
use super::super::ends::{CAREFUL, End};
use super::claim::model;
use super::listening::Listening;
use crate::sys::atomic::{Ordering, mutated};
use crate::sys::futex::wait_any;
use crate::sys::keeper::Alive;
use crate::wait::Deadline;

/// A channel with the seats of its ends.
pub struct Model {
    queue: Arc<model::Model>,
    seats: Vec<End>,
}

/// One that sends.
pub struct Sender {
    // Leaves before the model goes.
    _alive: Alive,
    end: model::End,
    ringer: Ringer,
    model: Arc<Model>,
    seat: usize,
}

/// One that receives.
pub struct Receiver {
    end: model::End,
    model: Arc<Model>,
    senders: usize,
}

impl Model {
    /// So many senders, whom somebody has made careful, and so many receivers.
    pub fn new(slots: usize, senders: usize, receivers: usize) -> (Vec<Sender>, Vec<Receiver>) {
        let queue = model::Model::new(slots);
        let seats = (0..senders).map(|_| End::new()).collect();
        let model = Arc::new(Model { queue, seats });
        let sending = (0..senders).map(|seat| {
            let own = &model.seats[seat];
            own.life.careful.store(CAREFUL, Ordering::SeqCst);
            Sender {
                // SAFETY: the model outlives its ends, which have it.
                _alive: unsafe { Alive::at(&own.life) }.expect("a model"),
                end: model::End::new(&model.queue, seat),
                ringer: Ringer::default(),
                model: model.clone(),
                seat,
            }
        });
        let receiving = (0..receivers).map(|seat| Receiver {
            end: model::End::new(&model.queue, senders + seat),
            model: model.clone(),
            senders,
        });
        (sending.collect(), receiving.collect())
    }
}

impl Sender {
    /// Sends one, for which there is room.
    pub fn send(&mut self, value: u64) {
        assert!(self.end.try_send(value));
        self.ringer.ring(&self.model.seats[self.seat]);
    }
}

impl Receiver {
    /// Sleeps until there is one.
    pub fn recv(&mut self) -> u64 {
        let model = self.model.clone();
        loop {
            if let Some(value) = self.end.try_recv() {
                return value;
            }
            let mut listening = Listening::with_capacity(2 * self.senders);
            model.seats.iter().for_each(|seat| listening.to(seat));
            if !mutated("many-look")
                && let Some(value) = self.end.try_recv()
            {
                return value;
            }
            wait_any(&listening.words, Deadline::Never, Duration::MAX);
        }
    }
}
