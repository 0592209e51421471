//! Latest: the newest value, for any number of readers who never wait for the writer, nor he for them.

#[cfg(not(loom))]
mod version;
#[cfg(loom)]
pub mod version;
