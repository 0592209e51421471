//! Poll: how the wait of either end looks to the thread that sleeps in its place.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::{End, Role};
use super::super::poll::sealed::Waitable;
use super::super::poll::{Following, Look, Sight, View};
use super::super::region::Region;
use super::{Receiver, SENDER, Sender, Words};

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
        let newest = |region: &Region| region.control::<Words>().version.newest();
        View::new(Following::new(
            self.side.region(),
            Role::Sender,
            SENDER,
            newest,
        ))
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
