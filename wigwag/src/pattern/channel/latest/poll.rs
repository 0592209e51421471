//! Poll: how the wait of either end looks to the thread that sleeps in its place.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::{End, Role};
use super::super::poll::sealed::Waitable;
use super::super::poll::{Look, Sight, View};
use super::super::region::Region;
use super::{Receiver, SENDER, Sender, Words};

/// A receiver waits for a version.
struct Watching(Arc<Region>);

impl Sight for Watching {
    fn concerns(&self, end: &End, _: u64) -> bool {
        end.role() == Some(Role::Sender)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let words: &Words = self.0.control();
        match words.version.newest() >= wanted || self.0.ends()[SENDER].is_left() {
            true => Look::Ready,
            false => Look::Nothing,
        }
    }
}

/// The sender waits for nothing.
struct Free;

impl Sight for Free {
    fn concerns(&self, _: &End, _: u64) -> bool {
        false
    }

    fn look(&mut self, _: u64) -> Look {
        Look::Ready
    }
}

impl<T: Element + ?Sized> Waitable for Receiver<T> {
    type Unsent = ();

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        View::new(Watching(self.side.region().clone()))
    }

    fn wanted(&self) -> u64 {
        self.side.seen().saturating_add(1)
    }
}

impl<T: Element + ?Sized> Waitable for Sender<T> {
    type Unsent = ();

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        View::new(Free)
    }
}
