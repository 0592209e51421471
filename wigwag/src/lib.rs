//! wigwag: every kind of interprocess communication on Unix.
