//! Check: every facility between two real processes, every byte and every hand-over verified, and how fast.
//!
//! The order for one facility: its objects are made ([`meeting`]), this program is run again
//! ([`peer`], and [`second`] is the handle on it), both open by address, and [`exercise`] lets
//! them play: single transfers, then large ones in both directions, then the end. Everything
//! that was made is removed, also when we are interrupted ([`scene`]).

mod calls;
mod exercise;
mod fork;
mod gate;
mod hall;
mod meeting;
mod messages;
mod pattern;
pub(crate) mod peer;
pub(crate) mod play;
mod region;
mod sample;
mod scene;
mod second;
mod signal;
mod stream;
pub(crate) mod verdict;

pub(crate) use exercise::{check, flavours};
pub(crate) use scene::Scene;
