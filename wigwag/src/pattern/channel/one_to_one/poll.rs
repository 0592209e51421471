//! Poll: how the wait of either end looks to the thread that sleeps in its place.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::Role;
use super::super::poll::sealed::Waitable;
use super::super::poll::{Following, View};
use super::super::region::Region;
use super::cursor::Words;
use super::{RECEIVER, Receiver, SENDER, Sender};
use crate::sys::atomic::Ordering;

macro_rules! waitable {
    ($($end:ident: waits for $role:ident in $seat:ident, who says $line:ident;)*) => { $(
        impl<T: Element + ?Sized> Waitable for $end<T> {
            type Unsent = Option<T::Owned>;

            fn region(&self) -> &Arc<Region> {
                self.side.region()
            }

            fn view(&self) -> View {
                View::new(Following::new(self.side.region(), Role::$role, $seat, |region| {
                    region.control::<Words>().$line.position.load(Ordering::Acquire)
                }))
            }

            fn among_many(&mut self) {
                self.side.among_many();
            }

            fn wanted(&self) -> u64 {
                self.side.wanted()
            }
        }
    )* };
}
waitable! {
    Sender: waits for Receiver in RECEIVER, who says head;
    Receiver: waits for Sender in SENDER, who says tail;
}
