//! Poll: how the wait of either end looks to the thread that sleeps in its place.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::{End, Role};
use super::super::poll::sealed::Waitable;
use super::super::poll::{Look, Sight, View};
use super::super::region::Region;
use super::cursor::Words;
use super::{RECEIVER, Receiver, SENDER, Sender};

struct Seen {
    region: Arc<Region>,
    /// Whose wait it is.
    role: Role,
}

impl Sight for Seen {
    fn concerns(&self, end: &End, _: u64) -> bool {
        end.role().is_some_and(|role| role != self.role)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let region = &*self.region;
        let (tail, head) = region.control::<Words>().positions();
        let (there, peer) = match self.role {
            Role::Sender => {
                let room = region.plan().capacity.wrapping_sub(tail.wrapping_sub(head));
                (room >= wanted, RECEIVER)
            }
            Role::Receiver => (tail != head, SENDER),
        };
        match there || region.ends()[peer].is_left() {
            true => Look::Ready,
            false => Look::Nothing,
        }
    }
}

macro_rules! waitable {
    ($($end:ident)*) => { $(
        impl<T: Element + ?Sized> Waitable for $end<T> {
            type Unsent = Option<T::Owned>;

            fn region(&self) -> &Arc<Region> {
                self.side.region()
            }

            fn view(&self) -> View {
                View::new(Seen {
                    region: self.side.region().clone(),
                    role: self.side.role(),
                })
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
waitable!(Sender Receiver);
