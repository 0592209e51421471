//! Who waits for whom: real victims hang in a known way, and exactly the right threads, object, holder and verdict are required.
//!
//! The C victims (`tests/victims/`) are compiled here with `cc`; the 32-bit and musl ones need the Debian packages
//! `gcc-12-multilib` and `musl-tools`.

mod capture;
mod channel;
mod descriptors;
mod field;
mod file_locks;
mod gates;
mod healthy;
mod mailbox;
mod mixed;
mod mutex;
mod namespaces;
mod processes;
mod python;
mod quiet;
mod rare;
mod rounds;
mod rust;
mod streams;
mod sync;
mod uring;
mod victim;
mod waitv;
mod why;
