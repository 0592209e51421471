//! System calls: the only place where the kernel is called unsafely, and the rules each call keeps.
//!
//! `rustix` is used directly by the facilities for everything it has; here stands what it lacks.
//! A module here takes and returns safe types (`BorrowedFd`, slices, `Result<_, Errno>`), retries
//! `EINTR` unless its documentation says that it reports it, and never allocates on behalf of a peer.
