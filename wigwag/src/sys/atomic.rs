//! Atomics: the ones of the machine, or under `cfg(loom)` those of the model checker.
//!
//! Every gate that lies in memory takes its atomics from here, so that what is modelled is what runs.
//! `loom` treats a `SeqCst` access as `AcqRel` and only a `SeqCst` fence as sequentially consistent;
//! where an algorithm needs the single order of `SeqCst` accesses ("I store mine, then look at
//! yours"), it calls [`model_fence`], which is nothing in the real build.
//!
//! A model must be able to fail: [`mutated`] weakens the one thing that `WIGWAG_MUTATION` names.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A `const fn`, except in a model, whose atomics register themselves when they are made.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident ($($arg:ident : $type:ty),* $(,)?) -> $ret:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $type),*) -> $ret $body
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

/// Gives the model the order that `SeqCst` accesses around it have by themselves on the machine.
#[inline(always)]
pub(crate) fn model_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// One turn of a spinning loop.
#[inline(always)]
pub(crate) fn relax() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Whether a model is to fail because this one thing is weakened; never outside models.
#[inline(always)]
pub(crate) fn mutated(_what: &str) -> bool {
    #[cfg(loom)]
    return std::env::var("WIGWAG_MUTATION").is_ok_and(|mutation| mutation == _what);
    #[cfg(not(loom))]
    false
}
