//! Survey: which gates lie where in a value, written into the segment for who looks from outside.
//!
//! An observer does not know the type of a value. So the creator leaves a table of the gates in it: what each is, at which
//! offset its state word lies, and the path of fields that leads there.

/// What a gate is, as the number that stands in the table of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Sort {
    /// A [`Mutex`](crate::gate::Mutex): 32 bits, the owner's thread id and two marks.
    Mutex = 1,
    /// A [`Semaphore`](crate::gate::Semaphore): 32 bits, the permits.
    Semaphore = 2,
    /// A [`RobustSemaphore`](crate::gate::RobustSemaphore): its number of releases.
    RobustSemaphore = 3,
    /// A [`Condvar`](crate::gate::Condvar): 32 bits, how often it was signalled.
    Condvar = 4,
    /// A [`Barrier`](crate::gate::Barrier): the mutex in it.
    Barrier = 5,
    /// A [`Monitor`](crate::gate::Monitor): the mutex in it.
    Monitor = 6,
    /// An [`RwLock`](crate::gate::RwLock): the mutex that a writer holds.
    RwLock = 7,
    /// A [`SpinLock`](crate::gate::SpinLock): 64 bits, who holds it.
    SpinLock = 8,
    /// A [`TicketLock`](crate::gate::TicketLock): 32 bits, the ticket that is served.
    TicketLock = 9,
    /// A [`OnceCell`](crate::gate::OnceCell): 64 bits, its state.
    OnceCell = 10,
}

/// Called for each gate in a value: its path, what it is, the address of its state word.
pub type Visit<'a> = dyn FnMut(&str, Sort, *const ()) + 'a;

/// The path of a field below another.
#[must_use]
pub fn below(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}
