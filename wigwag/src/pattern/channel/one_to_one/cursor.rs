//! Cursor: the two positions that a sender and a receiver share, and what each knows of the other's.
//!
//! `tail` counts what was sent, `head` what was given back, both for ever; what lies between is in the ring. Each side
//! keeps its own position in private and remembers the other's as it last saw it, so that it reads the other's cache
//! line only when what it remembers is used up.
//!
//! | step | what a kill after it leaves |
//! |---|---|
//! | sender writes into the ring | nothing: it lies beyond `tail` |
//! | sender stores `tail` (release) | a value sent |
//! | receiver reads the value | a value that the next receiver gets again |
//! | receiver stores `head` (release) | a value given back |

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{End, Role};
use crate::sys::atomic::{AtomicU64, Ordering, mutated};
use crate::wait::Deadline;

/// One cache line (two, because they are fetched in pairs) that one side writes.
#[repr(C, align(128))]
pub(super) struct Line {
    pub(super) position: AtomicU64,
    /// Of the sender: how many values were dropped for want of room.
    pub(super) lost: AtomicU64,
}

/// The control words of a one-to-one channel.
#[repr(C)]
pub(crate) struct Words {
    pub(super) tail: Line,
    pub(super) head: Line,
}

impl Words {
    /// `tail` and `head`, in an order in which it never seems that more was given back than was sent.
    pub(super) fn positions(&self) -> (u64, u64) {
        let head = self.head.position.load(Ordering::Acquire);
        (self.tail.position.load(Ordering::Acquire), head)
    }
}

/// One side's own position, and that of the other as it was last seen.
#[derive(Debug)]
pub(super) struct Cursor {
    own: u64,
    /// For the sender: up to where there is room. For the receiver: up to where there is something.
    limit: u64,
    capacity: u64,
    role: Role,
    ringer: Ringer,
}

/// The positions are such as no peer that keeps the rules writes.
#[derive(Debug)]
pub(super) struct Impossible;

impl Cursor {
    /// That of a side which goes on where the last one stopped.
    pub(super) fn new(role: Role, words: &Words, capacity: u64) -> Result<Self, Impossible> {
        let (tail, head) = words.positions();
        let (own, limit) = match role {
            Role::Sender => (tail, head.wrapping_add(capacity)),
            Role::Receiver => (head, tail),
        };
        if tail.wrapping_sub(head) > capacity {
            return Err(Impossible);
        }
        Ok(Cursor {
            own,
            limit,
            capacity,
            role,
            ringer: Ringer::default(),
        })
    }

    /// Its position: the next to be written, or to be read.
    #[inline(always)]
    pub(super) fn position(&self) -> u64 {
        self.own
    }

    /// The size of the ring in the units of the positions; a power of two.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Which side it is.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// How much there is, as far as is known: room for the sender, something for the receiver.
    #[inline(always)]
    pub(super) fn known(&self) -> u64 {
        self.limit.wrapping_sub(self.own)
    }

    /// Where the other must get, so that there are `count`.
    pub(super) fn goal(&self, count: u64) -> u64 {
        let end = self.own.wrapping_add(count);
        match self.role {
            Role::Sender => end.wrapping_sub(self.capacity),
            Role::Receiver => end,
        }
    }

    /// Publishes `count` more: sent, or given back. `line` is its own of the words, `end` its own seat.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: u64, line: &Line, end: &End) {
        debug_assert!(count <= self.known());
        self.own = self.own.wrapping_add(count);
        let order = if mutated("one-to-one-publish") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        line.position.store(self.own, order);
        self.ringer.ring(end);
    }

    /// Looks at the other's position.
    #[inline]
    pub(super) fn look(&mut self, words: &Words) -> Result<(), Impossible> {
        self.limit = seen(self.role, words, self.own, self.capacity)?;
        Ok(())
    }

    /// Waits until there are `count`.
    pub(super) fn wait(
        &mut self,
        count: u64,
        words: &Words,
        waiter: &mut Waiter,
        [own, peer]: [&End; 2],
        deadline: Deadline,
    ) -> Result<Wake<()>, Impossible> {
        let (role, position, capacity) = (self.role, self.own, self.capacity);
        let enough = || match seen(role, words, position, capacity) {
            Ok(limit) if limit.wrapping_sub(position) < count => None,
            seen => Some(seen),
        };
        Ok(match waiter.wait(own, peer, deadline, enough) {
            Wake::Found(limit) => {
                self.limit = limit?;
                Wake::Found(())
            }
            Wake::Gone => Wake::Gone,
            Wake::TimedOut => Wake::TimedOut,
        })
    }
}

/// The limit that the other's position sets to a side at `own`.
#[inline(always)]
fn seen(role: Role, words: &Words, own: u64, capacity: u64) -> Result<u64, Impossible> {
    let order = if mutated("one-to-one-observe") {
        Ordering::Relaxed
    } else {
        Ordering::Acquire
    };
    let limit = match role {
        Role::Sender => words.head.position.load(order).wrapping_add(capacity),
        Role::Receiver => words.tail.position.load(order),
    };
    if limit.wrapping_sub(own) > capacity {
        return Err(Impossible);
    }
    Ok(limit)
}

/// What the model checker runs: the words, the seats and the ring of one channel, in its memory.
#[cfg(loom)]
pub mod model {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::super::super::ends::CAREFUL;
    use super::super::super::waiting::Waiting;
    use super::*;
    use crate::sys::atomic::AtomicU32;
    use crate::sys::futex;
    use crate::sys::keeper::Alive;

    /// A channel of numbers.
    pub struct Model {
        words: Words,
        ends: [End; 2],
        ring: Vec<UnsafeCell<u64>>,
    }

    // SAFETY: the ring is guarded by the positions, which is what is modelled.
    unsafe impl Sync for Model {}
    // SAFETY: as above.
    unsafe impl Send for Model {}

    /// One end of it.
    pub struct Side {
        // Leaves before the model goes.
        _alive: Alive,
        model: Arc<Model>,
        cursor: Cursor,
        waiter: Waiter,
    }

    impl Model {
        /// Both ends of one for a power of two of values.
        pub fn pair(capacity: usize) -> (Side, Side) {
            let line = || Line {
                position: AtomicU64::new(0),
                lost: AtomicU64::new(0),
            };
            let model = Arc::new(Model {
                words: Words {
                    tail: line(),
                    head: line(),
                },
                ends: [End::new(), End::new()],
                ring: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
            });
            let side = |role: Role| Side {
                // SAFETY: the model outlives its ends, which have it.
                _alive: unsafe { Alive::at(&model.ends[role as usize].life) }.expect("a model"),
                model: model.clone(),
                cursor: Cursor::new(role, &model.words, capacity as u64).expect("new"),
                waiter: Waiter::new(Waiting::Block),
            };
            (side(Role::Sender), side(Role::Receiver))
        }
    }

    /// What the C header sees of a model, for `tests/loom_c_channel.rs`.
    impl Model {
        /// The life word of an end.
        pub fn life(&self, role: usize) -> &AtomicU32 {
            self.ends[role].life.word()
        }

        /// Whether its owner must be careful.
        pub fn careful(&self, role: usize) -> &AtomicU32 {
            &self.ends[role].life.careful
        }

        /// How often its owner rang.
        pub fn rings(&self, role: usize) -> &AtomicU32 {
            &self.ends[role].rings
        }

        /// The position of its owner.
        pub fn position(&self, role: usize) -> &AtomicU64 {
            let lines = [&self.words.tail, &self.words.head];
            &lines[role].position
        }

        /// Writes the value at a position.
        pub fn write(&self, position: u64, value: u64) {
            let slot = &self.ring[position as usize & (self.ring.len() - 1)];
            // SAFETY: the slot is free, which is what is modelled.
            slot.with_mut(|slot| unsafe { *slot = value });
        }

        /// Reads the value at a position.
        pub fn read(&self, position: u64) -> u64 {
            let slot = &self.ring[position as usize & (self.ring.len() - 1)];
            // SAFETY: the slot is full, which is what is modelled.
            slot.with(|slot| unsafe { *slot })
        }
    }

    /// Sleeps while a word is as expected.
    pub fn sleep(word: &AtomicU32, expected: u32) {
        futex::wait(word, expected, Deadline::Never);
    }

    /// Wakes all who sleep.
    pub fn wake(word: &AtomicU32) {
        futex::wake(word, u32::MAX);
    }

    /// Takes the mark of who sleeps away and wakes all, as one.
    pub fn clear_and_wake(word: &AtomicU32) {
        futex::clear_and_wake(word, 1 << 31);
    }

    impl Side {
        /// The channel of which it is an end.
        pub fn model(&self) -> &Arc<Model> {
            &self.model
        }

        /// The same where somebody has slept: it is careful; and `weary`, when it has looked in vain for long.
        pub fn careful(mut self, weary: bool) -> Self {
            let end = &self.model.ends[self.cursor.role() as usize];
            end.life.careful.store(CAREFUL, Ordering::SeqCst);
            if weary {
                self.cursor.ringer = Ringer::weary();
            }
            self
        }

        fn ready(&mut self) -> bool {
            if self.cursor.known() > 0 {
                return true;
            }
            let own = self.cursor.role() as usize;
            let ends = [&self.model.ends[own], &self.model.ends[1 - own]];
            let words = &self.model.words;
            let deadline = Deadline::Never;
            let woken = self.cursor.wait(1, words, &mut self.waiter, ends, deadline);
            woken.expect("possible positions") == Wake::Found(())
        }

        fn slot(&self) -> &UnsafeCell<u64> {
            let index = self.cursor.position() & (self.cursor.capacity() - 1);
            &self.model.ring[index as usize]
        }

        fn advance(&mut self) {
            let Model { words, ends, .. } = &*self.model;
            let role = self.cursor.role();
            let line = match role {
                Role::Sender => &words.tail,
                Role::Receiver => &words.head,
            };
            self.cursor.advance(1, line, &ends[role as usize]);
        }

        /// Sends; whether the receiver is there.
        pub fn send(&mut self, value: u64) -> bool {
            if !self.ready() {
                return false;
            }
            // SAFETY: the slot is free, which is what is modelled.
            self.slot().with_mut(|slot| unsafe { *slot = value });
            self.advance();
            true
        }

        /// Receives; nothing when the sender is gone.
        pub fn recv(&mut self) -> Option<u64> {
            if !self.ready() {
                return None;
            }
            // SAFETY: the slot is full, which is what is modelled.
            let value = self.slot().with(|slot| unsafe { *slot });
            self.advance();
            Some(value)
        }
    }
}
