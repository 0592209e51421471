//! Poll: how the wait of any end looks to the thread that sleeps in its place, which undoes the claims of the dead as those do who wait.

use std::sync::Arc;

use super::super::element::Element;
use super::super::ends::{End, Role};
use super::super::full::Full;
use super::super::poll::sealed::Waitable;
use super::super::poll::{Look, Sight, View};
use super::super::region::Region;
use super::queue::{Attempt, Queue};
use super::side::{Side, is_alone};
use super::undertaker::Undertaker;
use super::{Receiver, Sender};

struct Seen<Q> {
    region: Arc<Region>,
    guest: Q,
    undertaker: Undertaker,
    /// Whose wait it is.
    role: Role,
    /// Its seat.
    own: usize,
}

// SAFETY: a guest leads to atomics of the region, which is kept beside it, and is used by one thread at a time.
unsafe impl<Q> Send for Seen<Q> {}

impl<Q: Queue> Seen<Q> {
    fn view(side: &Side<Q>) -> View
    where
        Q: 'static,
    {
        View::new(Seen {
            region: side.region().clone(),
            guest: side.guest(),
            undertaker: side.undertaker(),
            role: side.role(),
            own: side.seat(),
        })
    }
}

impl<Q> Seen<Q> {
    fn overwrites(&self) -> bool {
        self.role == Role::Sender && self.region.plan().full == Full::OverwriteOldest
    }
}

/// Whether an attempt is worth while: also one that says what is wrong.
fn is_worth<P>(attempt: Attempt<P>) -> bool {
    !matches!(attempt, Ok(None))
}

impl<Q: Queue> Sight for Seen<Q> {
    fn concerns(&self, end: &End, _: u64) -> bool {
        // Who overwrites also waits for what other senders are writing.
        let overwrites = self.overwrites() && !std::ptr::eq(end, &self.region.ends()[self.own]);
        match end.role() {
            Some(role) => overwrites || role != self.role,
            None => false,
        }
    }

    fn mourns(&self, end: &End) -> bool {
        let own = std::ptr::eq(end, &self.region.ends()[self.own]);
        !own && !self.overwrites() && end.role() == Some(self.role)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let dying = self.undertaker.undertake(&self.guest, &self.region);
        let alone = !dying && !self.overwrites() && is_alone(&self.region, self.role);
        let there = match self.role {
            Role::Receiver => is_worth(self.guest.claim_full()),
            Role::Sender => {
                let len = usize::try_from(wanted).unwrap_or(usize::MAX);
                is_worth(self.guest.claim_free(len))
                    || self.overwrites() && is_worth(self.guest.claim_oldest())
            }
        };
        match (there || alone, dying) {
            (true, _) => Look::Ready,
            (false, true) => Look::Soon,
            (false, false) => Look::Nothing,
        }
    }
}

impl<T: Element + ?Sized> Waitable for Receiver<T> {
    type Unsent = ();

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        Seen::view(&self.side)
    }
}

impl<T: Element + ?Sized> Waitable for Sender<T> {
    type Unsent = Option<T::Owned>;

    fn region(&self) -> &Arc<Region> {
        self.side.region()
    }

    fn view(&self) -> View {
        Seen::view(&self.side)
    }

    fn wanted(&self) -> u64 {
        self.side.wanted()
    }
}
