//! Facilities: each facility of the kernel through the library, against the same system calls made bare.
//!
//! One thread does an operation and its opposite (send and receive, acquire and release), so that no scheduler
//! and no second processor is in the figure: what is compared is what one operation costs its caller.
//! The bare side is what a C program would do: the same calls, a check of the result, nothing else.

mod gate;
mod memory;
mod message;
mod signal;
mod stream;

use std::io;

use crate::duel::Effort;
use crate::row::{Must, Row};

/// Our way costs at most 3 % more.
const MUST: Must = Must::AtMost(1.03);

/// One comparison and how it is run.
type Case = (&'static str, fn(Effort, &str) -> wigwag::Result<Row>);

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> wigwag::Result<Vec<Row>> {
    [
        stream::CASES,
        message::CASES,
        memory::CASES,
        gate::CASES,
        signal::CASES,
    ]
    .into_iter()
    .flatten()
    .filter(|(name, _)| wanted(name))
    .map(|(name, run)| run(effort, name))
    .collect()
}

/// The result of a bare call that returns a number, or its error.
#[inline(always)]
fn bare<T: PartialOrd + Default + Copy>(result: T) -> wigwag::Result<T> {
    if result < T::default() {
        Err(failed())
    } else {
        Ok(result)
    }
}

#[cold]
fn failed() -> wigwag::Error {
    wigwag::Error::os("make", "bare call", "", &io::Error::last_os_error())
}

/// An `io::Error` of our streams as the suite's error.
#[cold]
fn stream_failed(error: io::Error) -> wigwag::Error {
    wigwag::Error::os("use", "stream", "", &error)
}

/// A name nobody else has.
fn unique(stem: &str) -> String {
    format!("wigwag-peers-{stem}-{}", std::process::id())
}

/// A name as C has it.
fn c_name(name: &str) -> std::ffi::CString {
    std::ffi::CString::new(name).unwrap_or_default()
}
