//! Server: answers calls, one at a time in one thread or several at once in a bounded number.
//!
//! Leader and followers: a worker that has nothing to do reads itself what comes, so a call is handled by the
//! thread that read it, and nothing is handed over. While all workers are busy for more than a moment one more
//! thread reads: it learns of cancellations, of clients that are gone, and of those that come.
//!
//! R. G. Lavender, D. C. Schmidt and others, *Leader/Followers*, PLoP 2000.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::desk::{Desk, Outcome};
use super::request::{Refusal, Request};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::facility::Facility;

/// What a handler returns.
pub type Answer = Result<Vec<u8>, Refusal>;

/// How the clients of one kind of carrier are read from.
pub(super) trait Reactor: Send {
    /// Sleeps until something comes, at most so long, and hands it to the desk.
    fn turn(&mut self, desk: &Desk, limit: Option<Duration>) -> Result<()>;

    /// Lets nobody in any more, tells the clients, and sends what waits for them for a bounded time.
    fn farewell(&mut self, desk: &Desk);
}

/// A name at which clients call.
///
/// Dropping it, or being killed, ends all connections, and each client is told at once.
pub struct Server {
    reactor: Mutex<Box<dyn Reactor>>,
    desk: Arc<Desk>,
    address: String,
}

impl Server {
    /// Makes the name with the default [`Options`](super::Options): `rpc+unix:/run/app.sock`,
    /// `rpc+tcp:localhost:7777`, `rpc+mq:/app`.
    ///
    /// # Errors
    /// `AlreadyExists` when a server that lives has it; those of making the name.
    pub fn listen(address: &str) -> Result<Self> {
        super::Options::new().listen(address)
    }

    pub(super) fn new(
        reactor: impl Reactor + 'static,
        desk: Desk,
        facility: &Facility,
        name: &str,
    ) -> Self {
        // The scheme of a facility is one.
        let address = Address::new(facility.id, name).map(|address| address.to_string());
        Server {
            reactor: Mutex::new(Box::new(reactor)),
            desk: Arc::new(desk),
            address: address.unwrap_or_default(),
        }
    }

    /// The address at which clients connect, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What stops it from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.desk.clone())
    }

    /// Answers calls in this thread, one at a time, until it is [stopped](Stopper::stop).
    ///
    /// A handler that panics is an error to its caller, and the next call is taken.
    ///
    /// # Errors
    /// Only when the carrier itself fails: nothing a client does ends it.
    pub fn serve(&self, mut handler: impl FnMut(Request) -> Answer) -> Result<()> {
        let outcome = std::thread::scope(|scope| {
            let watcher = std::thread::Builder::new()
                .spawn_scoped(scope, || self.watch())
                .map_err(|cause| self.no_thread(&cause))?;
            let outcome = self.work(&mut handler);
            self.desk.release_watcher();
            outcome.and(joined(watcher.join()))
        });
        self.end();
        outcome
    }

    /// Answers calls in so many threads, of which this is one, until it is [stopped](Stopper::stop).
    ///
    /// # Errors
    /// As [`serve`](Self::serve); `Limit` when there cannot be that many threads.
    pub fn serve_concurrent(
        &self,
        workers: usize,
        handler: impl Fn(Request) -> Answer + Sync,
    ) -> Result<()> {
        let outcome = std::thread::scope(|scope| {
            let watcher = std::thread::Builder::new()
                .spawn_scoped(scope, || self.watch())
                .map_err(|cause| self.no_thread(&cause))?;
            let mut threads = Vec::new();
            let mut outcome = Ok(());
            for _ in 1..workers.max(1) {
                let work = || self.work(&mut |request| handler(request));
                match std::thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(thread) => threads.push(thread),
                    Err(cause) => {
                        self.desk.stop();
                        outcome = Err(self.no_thread(&cause));
                        break;
                    }
                }
            }
            outcome = outcome.and(self.work(&mut |request| handler(request)));
            for thread in threads {
                outcome = outcome.and(joined(thread.join()));
            }
            self.desk.release_watcher();
            outcome.and(joined(watcher.join()))
        });
        self.end();
        outcome
    }

    fn no_thread(&self, cause: &std::io::Error) -> Error {
        Error::os("start", "thread of the server", &self.address, cause)
    }

    /// A worker: does what there is, and looks what comes when there is nothing.
    fn work(&self, handler: &mut dyn FnMut(Request) -> Answer) -> Result<()> {
        loop {
            if self.desk.is_stopping() {
                return Ok(());
            }
            if let Some(taken) = self.desk.take() {
                let which = taken.which();
                let request = taken.request;
                // What the handler left half done is its own: it is called again with the next request.
                let outcome = match catch_unwind(AssertUnwindSafe(|| handler(request))) {
                    Ok(answer) => Outcome::Done(answer),
                    Err(_) => Outcome::Panicked,
                };
                self.desk.finish(which, outcome);
                continue;
            }
            let _idle = self.desk.idle();
            let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
            // Another may have looked meanwhile.
            if !self.desk.is_stopping() && !self.desk.has_work() {
                self.turn(&mut **reactor)?;
            }
        }
    }

    /// Looks what comes while all workers are busy.
    fn watch(&self) -> Result<()> {
        while self.desk.wait_until_busy() {
            let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
            while self.desk.watches() {
                self.turn(&mut **reactor)?;
            }
        }
        Ok(())
    }

    fn turn(&self, reactor: &mut dyn Reactor) -> Result<()> {
        // Without it nobody hears of anything any more: the other threads end too.
        reactor
            .turn(&self.desk, None)
            .inspect_err(|_| self.desk.stop())
    }

    fn end(&self) {
        self.desk.turn_away();
        let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
        reactor.farewell(&self.desk);
    }
}

fn joined(outcome: std::thread::Result<Result<()>>) -> Result<()> {
    // The handler's panics are caught; one of ours goes on.
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopper may outlive it, and with it what clients are told through.
        self.desk.stop();
        self.end();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

/// Stops a server from another thread, or from a signal handler.
#[derive(Clone)]
pub struct Stopper(Arc<Desk>);

impl Stopper {
    /// Lets the calls end that are being handled, and sends their answers; those that wait are answered with an
    /// error that says that they were not begun, and no more come. Does not wait. Signal-safe.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether it was told to, or has ended.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopper")
            .field(&self.0.is_stopping())
            .finish()
    }
}
