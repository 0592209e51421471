//! wigwag: every kind of interprocess communication on Unix, in one coherent, safe library.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
pub mod catalog;
mod error;
pub mod facility;
pub mod gate;
pub mod guarantees;
pub mod limit;
pub mod memory;
pub mod message;
pub mod name;
pub mod opening;
mod options;
pub mod signal;
pub mod stream;
#[allow(unsafe_code)]
pub(crate) mod sys;
mod wait;

pub use address::Address;
pub use catalog::{Endpoint, open};
pub use error::{Error, Kind, Result};
pub use facility::Facility;
pub use guarantees::{Guarantees, Needs};
pub use name::Name;
pub use opening::{Opening, Role, Target, Way};
pub use options::Options;
pub use wait::Wait;
