//! Poll: how the wait of either end looks to the thread that sleeps in its place.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::{End, Role};
use super::super::full::Full;
use super::super::poll::sealed::Waitable;
use super::super::poll::{Following, Look, Sight, View};
use super::super::region::Region;
use super::publishing::{Graves, cursor};
use super::{Receiver, SENDER, Sender, Words};
use crate::shared::Plain;
use crate::sys::keeper::State;

/// The sender waits until all who live have got to a position.
struct Leading {
    region: Arc<Region>,
    graves: Graves,
}

impl Sight for Leading {
    fn concerns(&self, end: &End, wanted: u64) -> bool {
        // All who are behind must get there.
        end.role() == Some(Role::Receiver) && cursor(end).get() < wanted
    }

    fn look(&mut self, wanted: u64) -> Look {
        let region = &*self.region;
        if region.plan().full == Full::OverwriteOldest {
            return Look::Ready;
        }
        let mut look = Look::Ready;
        let seats = region.control::<Words>().seats(region);
        for (seat, end) in seats.iter().enumerate() {
            if end.life.state() == State::Nobody
                || cursor(end).get() >= wanted
                || self.graves.is_dead(seat, end)
            {
                continue;
            }
            match end.life.state() {
                // Until nothing of it runs any more.
                State::Killed => look = Look::Soon,
                _ => return Look::Nothing,
            }
        }
        look
    }
}

impl<T: Element + ?Sized> Waitable for Receiver<T> {
    type Unsent = ();

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        let tail = |region: &Region| region.control::<Words>().front.tail();
        View::new(Following::new(
            self.side.region(),
            Role::Sender,
            SENDER,
            tail,
        ))
    }

    fn wanted(&self) -> u64 {
        self.side.at().saturating_add(1)
    }
}

impl<T: Element + ?Sized> Waitable for Sender<T> {
    type Unsent = Option<T::Owned>;

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        View::new(Leading {
            region: self.side.region().clone(),
            graves: Graves::default(),
        })
    }

    fn among_many(&mut self) {
        self.side.among_many();
    }

    fn wanted(&self) -> u64 {
        self.side.wanted
    }
}

impl<T: Plain> Sender<T> {
    /// Whether a value can be sent without waiting, and without loss unless the channel overwrites.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn has_room(&mut self) -> bool {
        self.side.overwrites || self.side.look(1).is_ok()
    }
}
