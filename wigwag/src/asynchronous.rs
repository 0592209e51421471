//! Asynchronous: any handle with a pollable descriptor, under tokio (`features = ["tokio"]`).
//!
//! [`Async`] wraps a handle and waits for it without blocking the thread. It sets no
//! `O_NONBLOCK`: that flag belongs to the open file, which other processes may have too, and
//! would surprise them. Each attempt is one of the handle's own `try_` forms instead.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use wigwag::{Async, stream::unix};
//!
//! let (here, there) = unix::pair()?;
//! let (mut here, mut there) = (Async::new(here)?, Async::new(there)?);
//! here.write_all(b"hello").await?;
//! here.shutdown().await?; // `finish`
//! let mut text = String::new();
//! there.read_to_string(&mut text).await?;
//! assert_eq!(text, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! For handles that are no streams there are [`send`](Async::send) and [`recv`](Async::recv)
//! (messages), and for all others [`when_readable`](Async::when_readable) and
//! [`when_writable`](Async::when_writable) around a call that does not wait: a listener's
//! `try_accept`, an event counter, a signal descriptor. Dropping the future of one of these
//! (cancelling it, as in `select!`) loses nothing: either the call was made and the future is
//! done, or it was not made.

mod channel;

pub use self::channel::WithMissed;

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::error::{Error, Kind, Result};
use crate::message::{Messages, Note, Received};
use crate::pattern::rpc::{Client, Pending};
use crate::stream::{Input, Output};
use crate::wait::Wait;

/// A handle that waits without blocking the thread.
///
/// Must be made inside a tokio runtime with its I/O driver enabled. Two tasks may use one at the
/// same time by reference, one that reads and one that writes.
///
/// It costs one descriptor more: a duplicate of the handle's own, which is what the runtime
/// watches. So the runtime never watches a number that is another file's by now, whatever the
/// handle does with its descriptor.
pub struct Async<T> {
    watched: AsyncFd<OwnedFd>,
    handle: T,
}

/// An error that may say that a call would have to wait.
pub trait WouldBlock: sealed::Sealed {
    /// Whether it says so.
    fn would_block(&self) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::io::Error {}
    impl Sealed for crate::Error {}
}

impl WouldBlock for io::Error {
    fn would_block(&self) -> bool {
        self.kind() == io::ErrorKind::WouldBlock
    }
}

impl WouldBlock for Error {
    fn would_block(&self) -> bool {
        self.kind() == Kind::WouldBlock
    }
}

impl<T: AsFd> Async<T> {
    /// Registers a handle with the runtime of this task.
    ///
    /// # Errors
    /// When the descriptor cannot be polled, or is registered already.
    ///
    /// # Panics
    /// Outside a runtime, or in one without I/O, as everything of tokio.
    pub fn new(handle: T) -> Result<Self> {
        let failed = |e| Error::os("wait asynchronously for", "descriptor", "", &e);
        let twin = handle.as_fd().try_clone_to_owned().map_err(failed)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: an OwnedFd is open and the same as long as it lives, and nobody else has this one.
        let watched = unsafe { AsyncFd::register_with_interest(twin, both) };
        let watched = watched.map_err(|refused| failed(refused.into()))?;
        Ok(Async { watched, handle })
    }

    /// The handle.
    pub fn get_ref(&self) -> &T {
        &self.handle
    }

    /// Gives the handle back.
    pub fn into_inner(self) -> T {
        self.handle
    }

    /// Makes `attempt`, which must not wait, as soon as there is something to read and as often
    /// as it says that it would have to wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use wigwag::{Async, stream::tcp};
    ///
    /// let listener = Async::new(tcp::Listener::create("localhost:0")?)?;
    /// let name = listener.get_ref().name()?;
    /// let client = std::thread::spawn(move || tcp::Stream::connect(name));
    /// let server = listener.when_readable(|listener| listener.try_accept()).await?;
    /// # drop((server, client));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `attempt`, except that it would have to wait; those of the runtime.
    pub async fn when_readable<R, E: WouldBlock + From<Error>>(
        &self,
        attempt: impl FnMut(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        self.when(Interest::READABLE, attempt).await
    }

    /// The same for room to write.
    ///
    /// # Errors
    /// As for reading.
    pub async fn when_writable<R, E: WouldBlock + From<Error>>(
        &self,
        attempt: impl FnMut(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        self.when(Interest::WRITABLE, attempt).await
    }

    async fn when<R, E: WouldBlock + From<Error>>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        // What can be done at once, or never, is not to wait for the runtime to say so.
        match attempt(self.get_ref()) {
            Err(error) if error.would_block() => {}
            outcome => return outcome,
        }
        loop {
            let mut ready = self.watched.ready(interest).await.map_err(runtime)?;
            match attempt(self.get_ref()) {
                Err(error) if error.would_block() => ready.clear_ready(),
                outcome => return outcome,
            }
        }
    }
}

#[cold]
fn runtime(error: io::Error) -> Error {
    Error::os("wait asynchronously for", "descriptor", "", &error)
}

impl<T: Messages + AsFd> Async<T> {
    /// Sends one message as soon as there is room.
    ///
    /// # Errors
    /// Those of [`Messages::send_with`], but no time is ever over.
    pub async fn send(&self, message: &[u8], note: Note) -> Result<()> {
        self.when_writable(|queue| queue.send_with(message, note, Wait::Not))
            .await
    }

    /// Receives one message as soon as there is one; see [`Messages::recv_with`].
    ///
    /// # Errors
    /// Those of [`Messages::recv_with`], but no time is ever over.
    pub async fn recv(&self, buffer: &mut Vec<u8>, kind: Option<i64>) -> Result<Option<Received>> {
        self.when_readable(|queue| queue.recv_with(buffer, kind, Wait::Not))
            .await
    }
}

impl Async<Client> {
    /// Asks a server, and waits for its answer. Any number of tasks may call through one client. Dropping the future
    /// cancels the call, as [`Pending`] does.
    ///
    /// Over queues, whose descriptors do not tell when there is room or that the server is gone, a thread of the
    /// runtime's pool for blocking work waits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use wigwag::{Async, pattern::rpc::{Client, Server}};
    ///
    /// # let address = format!("rpc+unix:@wigwag-doc-async-{}", std::process::id());
    /// let server = Server::listen(&address)?;
    /// let stopper = server.stopper();
    /// let serving = std::thread::spawn(move || server.serve(|request| Ok(request.into_bytes())));
    /// let client = Async::new(Client::connect(&address)?)?;
    /// let (one, other) = tokio::join!(client.call(b"one"), client.call(b"other"));
    /// assert_eq!((one?, other?), (b"one".to_vec(), b"other".to_vec()));
    /// stopper.stop();
    /// # serving.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn call(&self, request: &[u8]) -> Result<Vec<u8>> {
        if !self.get_ref().tells() {
            return waited(self.get_ref().clone(), request.to_vec()).await;
        }
        let mut pending = self
            .when_writable(|client| client.try_start(request))
            .await?;
        self.when_writable(Client::catch_up).await?;
        loop {
            let mut readable = pin!(self.watched.readable());
            let next = poll_fn(|context| match pending.poll(context.waker()) {
                Some(answer) => Poll::Ready(Err(answer)),
                None => readable.as_mut().poll(context).map(Ok),
            });
            match next.await {
                Err(answer) => return answer,
                // What has come is taken by the next look; what comes then is told anew.
                Ok(ready) => ready.map_err(runtime)?.clear_ready(),
            }
        }
    }
}

/// A call in a thread of its own, cancelled when nobody waits for it any more.
async fn waited(client: Client, request: Vec<u8>) -> Result<Vec<u8>> {
    const SLICE: Duration = Duration::from_millis(50);
    let here = Arc::new(());
    let there = Arc::downgrade(&here);
    let calling = tokio::task::spawn_blocking(move || {
        let mut pending: Pending = client.start(&request)?;
        loop {
            match pending.wait_timeout(SLICE)? {
                Some(answer) => return Ok(answer),
                // Dropped, it is cancelled; nobody is there to get this.
                None if there.strong_count() == 0 => return Ok(Vec::new()),
                None => {}
            }
        }
    });
    let outcome = calling.await;
    drop(here);
    outcome.unwrap_or_else(|failed| match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(runtime(io::Error::other(cancelled))),
    })
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + std::fmt::Debug> std::fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

impl<T: Input + Unpin> AsyncRead for Async<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Self { watched, handle } = &mut *self;
            let mut ready = ready!(watched.poll_read_ready_mut(context))?;
            let room = buffer.initialize_unfilled();
            match ready.try_io(|_| handle.try_read(room)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl<T: Output + Unpin> AsyncWrite for Async<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let Self { watched, handle } = &mut *self;
            let mut ready = ready!(watched.poll_write_ready_mut(context))?;
            match ready.try_io(|_| handle.try_write(bytes)) {
                Ok(outcome) => return Poll::Ready(outcome),
                Err(_would_block) => {}
            }
        }
    }

    /// Nothing is held back in this process.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// [`finish`](Output::finish). What ends only when its last descriptor is closed, such as a
    /// pipe, ends when the `Async` is dropped.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.handle.finish())
    }
}
