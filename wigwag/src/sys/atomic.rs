//! Atomics: the ones of the machine, or under `cfg(loom)` those of the model checker.
//!
//! Every gate that lies in memory takes its atomics from here, so that what is modelled is what runs.
//! `loom` treats a `SeqCst` access as `AcqRel` and only a `SeqCst` fence as sequentially consistent;
//! where an algorithm needs the single order of `SeqCst` accesses ("I store mine, then look at
//! yours"), it calls [`model_fence`], which is nothing in the real build.
//!
//! A model must be able to fail: [`mutated`] lets a model switch one promise of an algorithm off.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

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

/// A promise of an algorithm that a model breaks on purpose, to show that the model notices.
#[cfg(loom)]
pub mod mutation {
    use std::sync::Mutex;

    static BROKEN: Mutex<&str> = Mutex::new("");

    /// Runs `model` with the promise `name` broken; the models of one binary take turns.
    pub fn with(name: &'static str, model: impl FnOnce()) {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(|poison| poison.into_inner());
        *BROKEN.lock().unwrap_or_else(|poison| poison.into_inner()) = name;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(model));
        *BROKEN.lock().unwrap_or_else(|poison| poison.into_inner()) = "";
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    pub(crate) fn is(name: &str) -> bool {
        *BROKEN.lock().unwrap_or_else(|poison| poison.into_inner()) == name
    }
}

/// Whether a model has broken the promise `name`; never outside a model.
#[inline(always)]
pub(crate) fn mutated(_name: &str) -> bool {
    #[cfg(loom)]
    return mutation::is(_name);
    #[cfg(not(loom))]
    false
}
