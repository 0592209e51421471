//! Following: one who waits until the only one at the other side has got to a position.

use std::sync::Arc;

use super::poller::{Look, Sight};
use crate::pattern::channel::ends::{End, Role};
use crate::pattern::channel::region::Region;

/// Its wait. The position wanted is that from which on an attempt is worth while.
pub(crate) struct Following {
    region: Arc<Region>,
    role: Role,
    seat: usize,
    reached: fn(&Region) -> u64,
}

impl Following {
    /// For whoever has this role, in this seat; how far that one is, `reached` says.
    pub(crate) fn new(
        region: &Arc<Region>,
        role: Role,
        seat: usize,
        reached: fn(&Region) -> u64,
    ) -> Self {
        Following {
            region: region.clone(),
            role,
            seat,
            reached,
        }
    }
}

impl Sight for Following {
    fn concerns(&self, end: &End, _: u64) -> bool {
        end.role() == Some(self.role)
    }

    fn look(&mut self, wanted: u64) -> Look {
        let there = (self.reached)(&self.region) >= wanted;
        match there || self.region.ends()[self.seat].is_left() {
            true => Look::Ready,
            false => Look::Nothing,
        }
    }
}
