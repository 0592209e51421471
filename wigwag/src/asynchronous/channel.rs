//! Channel: the ends of a channel of any flavour as a `Stream` and a `Sink`, in a [`Pollable`] in an [`Async`].
//!
//! The stream ends when nobody is left who could send, in order or killed; what they had sent before comes first. A value is out of the channel when
//! the stream has given it, by copy: to look at values in place there is [`Async::end`]. Where values can be overwritten before the
//! receiver comes to them (`broadcast`, `latest`), [`Async::with_missed`] gives with each how many these were.
//!
//! A sink waits for room whatever the channel does with values for which there is none, as waiting holds up nobody else here; only one that
//! overwrites the oldest never waits. Byte messages are a stream and a sink of `Vec<u8>`; to send one from where it lies there is
//! [`send_message`](Async::send_message).
//!
//! **Cancelling** (dropping a future, as `select!` does) loses nothing: what a stream did not give is still in the channel, `send_message` has
//! sent all or nothing, and what a sink has taken it sends with the next flush. A sink that is dropped before may have one that was not sent.
//!
//! In [`many_to_many`] a message for which there is no room has a place in the line of those who wait, until it is sent or the future or the
//! sink is dropped; those behind it wait meanwhile, so poll it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::{SinkExt, StreamExt};
//! use wigwag::Async;
//! use wigwag::pattern::channel::{Pollable, one_to_one};
//!
//! let (sender, receiver) = one_to_one::pair::<u64>(2)?;
//! let mut sender = Async::new(Pollable::new(sender)?)?;
//! let receiver = Async::new(Pollable::new(receiver)?)?;
//! let sending = tokio::spawn(async move {
//!     for value in 0..100 {
//!         sender.send(value).await?;
//!     }
//!     Ok::<(), wigwag::Error>(())
//! });
//! let values: Vec<u64> = receiver.map(|value| value.unwrap()).collect().await;
//! assert_eq!(values, (0..100).collect::<Vec<u64>>());
//! sending.await??;
//! # Ok(())
//! # }
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::task::coop::poll_proceed;

use super::{Async, runtime};
use crate::error::{Kind, Result};
use crate::pattern::channel::Element;
use crate::pattern::channel::{Pollable, Waitable, broadcast, latest, many_to_many, one_to_one};
use crate::shared::Plain;

impl<E: Waitable> Async<Pollable<E>> {
    /// The end: to ask it, or for an attempt of one's own, which must not wait.
    pub fn end(&mut self) -> &mut E {
        self.handle.end()
    }

    /// Makes an attempt, and another whenever one may be worth while.
    fn poll_attempt<R>(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&mut E) -> Result<Option<R>>,
    ) -> Poll<Result<R>> {
        // Where there is always something, other tasks have their turn too.
        let turn = ready!(poll_proceed(context));
        loop {
            if let Some(outcome) = self.handle.attempt(&mut attempt)? {
                turn.made_progress();
                return Poll::Ready(Ok(outcome));
            }
            // What comes from here on is told; what came before, the next attempt finds.
            let mut told = ready!(self.watched.poll_read_ready(context)).map_err(runtime)?;
            told.clear_ready();
        }
    }
}

/// What a stream makes of it: the end of the sender is its end.
fn item<R>(polled: Poll<Result<R>>) -> Poll<Option<Result<R>>> {
    polled.map(|outcome| match outcome {
        Err(error) if error.kind() == Kind::Disconnected => None,
        outcome => Some(outcome),
    })
}

macro_rules! streams {
    ($($flavour:ident)*) => { $(
        impl<T: Plain + Unpin> Stream for Async<Pollable<$flavour::Receiver<T>>> {
            type Item = Result<T>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<T>>> {
                item(self.poll_attempt(context, |end| Ok(end.try_recv()?.map(|value| *value))))
            }
        }

        impl Stream for Async<Pollable<$flavour::Receiver<[u8]>>> {
            type Item = Result<Vec<u8>>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Vec<u8>>>> {
                item(self.poll_attempt(context, |end| {
                    Ok(end.try_recv()?.map(|message| message.to_vec()))
                }))
            }
        }
    )* };
}
streams!(one_to_one many_to_many broadcast latest);

/// A stream that gives with each value how many were overwritten before the receiver came to them, since the value
/// before it; made by [`Async::with_missed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt;
/// use wigwag::Async;
/// use wigwag::pattern::channel::{Full, Options, Pollable, broadcast::Channel};
///
/// let channel: Channel<u64> = Options::new().capacity(4).full(Full::OverwriteOldest).anonymous()?;
/// let (mut sender, receiver) = (channel.sender()?, channel.receiver()?);
/// for value in 0..10 {
///     sender.send(value)?;
/// }
/// let mut stream = Async::new(Pollable::new(receiver)?)?.with_missed();
/// assert_eq!(stream.next().await.transpose()?, Some((6, 6)));
/// assert_eq!(stream.next().await.transpose()?, Some((7, 0)));
/// # Ok(())
/// # }
/// ```
pub struct WithMissed<E: Waitable>(Async<Pollable<E>>);

macro_rules! missing {
    ($($flavour:ident)*) => { $(
        impl<T: Element + ?Sized> Async<Pollable<$flavour::Receiver<T>>> {
            /// The same stream, which tells with each value how many were missed before it.
            pub fn with_missed(self) -> WithMissed<$flavour::Receiver<T>> {
                WithMissed(self)
            }
        }

        impl<T: Plain + Unpin> Stream for WithMissed<$flavour::Receiver<T>> {
            type Item = Result<(T, u64)>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<(T, u64)>>> {
                item(self.0.poll_attempt(context, |end| {
                    Ok(end.try_recv()?.map(|value| (*value, value.missed())))
                }))
            }
        }

        impl Stream for WithMissed<$flavour::Receiver<[u8]>> {
            type Item = Result<(Vec<u8>, u64)>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<(Vec<u8>, u64)>>> {
                item(self.0.poll_attempt(context, |end| {
                    let message = end.try_recv()?;
                    Ok(message.map(|message| (message.to_vec(), message.missed())))
                }))
            }
        }
    )* };
}
missing!(broadcast latest);

/// A sender as a sink uses it.
trait Puts<M: ?Sized> {
    /// Sends it if there is room, without counting it as dropped if there is none.
    fn put(&mut self, item: &M) -> Result<Option<()>>;

    /// It is not sent any more.
    fn forget(&mut self) {}
}

impl<T: Plain> Puts<T> for many_to_many::Sender<T> {
    fn put(&mut self, value: &T) -> Result<Option<()>> {
        Ok(self.try_loan()?.map(|mut loan| {
            *loan = *value;
            loan.send();
        }))
    }
}

impl Puts<[u8]> for many_to_many::Sender<[u8]> {
    fn put(&mut self, message: &[u8]) -> Result<Option<()>> {
        Ok(self.send_in_line(message)?.then_some(()))
    }

    fn forget(&mut self) {
        self.leave_line();
    }
}

macro_rules! messages_from_a_loan {
    ($($flavour:ident)*) => { $(
        impl Puts<[u8]> for $flavour::Sender<[u8]> {
            fn put(&mut self, message: &[u8]) -> Result<Option<()>> {
                Ok(self.try_loan(message.len())?.map(|mut loan| {
                    loan.copy_from_slice(message);
                    loan.send();
                }))
            }
        }
    )* };
}
messages_from_a_loan!(one_to_one broadcast latest);

/// The steps of a sink that has sent a value when it has taken it.
macro_rules! sent_when_taken {
    () => {
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    };
}

/// Each value is accepted when it has been sent: there is nothing to flush, and closing waits for nobody.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<one_to_one::Sender<T>>> {
    type Error = crate::Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // Nobody else sends: room that is there stays.
        self.poll_attempt(context, |end| Ok(end.try_loan()?.map(drop)))
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        self.handle.end().send(value)
    }

    sent_when_taken!();
}

/// As for one to one; there is room when the slowest receiver has made it.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<broadcast::Sender<T>>> {
    type Error = crate::Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // Nobody else sends: room that is there stays, but for one who joins late and asks for the last values.
        self.poll_attempt(context, |end| Ok(end.has_room().then_some(())))
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        self.handle.end().send(value)
    }

    sent_when_taken!();
}

/// Always ready: the newest value takes the place of the one before.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<latest::Sender<T>>> {
    type Error = crate::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        self.handle.end().send(value)
    }

    sent_when_taken!();
}

/// As for values.
impl Sink<Vec<u8>> for Async<Pollable<latest::Sender<[u8]>>> {
    type Error = crate::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<u8>) -> Result<()> {
        self.handle.end().send(&message)
    }

    sent_when_taken!();
}

/// The steps of a sink that keeps one for which there was no room: it is sent by the next flush.
macro_rules! sent_when_flushed {
    ($item:ty) => {
        type Error = crate::Error;

        fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            self.poll_flush(context)
        }

        fn start_send(mut self: Pin<&mut Self>, item: $item) -> Result<()> {
            if self.handle.end().put(&item)?.is_none() {
                self.handle.unsent = Some(item);
            }
            Ok(())
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            let Some(item) = self.handle.unsent.take() else {
                return Poll::Ready(Ok(()));
            };
            let sent = self.poll_attempt(context, |end| end.put(&item));
            if sent.is_pending() {
                self.handle.unsent = Some(item);
            }
            sent
        }

        fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            self.poll_flush(context)
        }
    };
}

/// A place that is free now another may take first, and to claim one before there is a value would hold up all who receive. So
/// a value is sent when it is taken, if there is a place, and else by the next flush: one that is not flushed may not have been sent.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<many_to_many::Sender<T>>> {
    sent_when_flushed!(T);
}

macro_rules! messages {
    ($($flavour:ident)*) => { $(
        /// How much room a message needs nobody knows before it is there. So it is sent when it is taken, if there is room, and else
        /// by the next flush: one that is not flushed may not have been sent.
        impl Sink<Vec<u8>> for Async<Pollable<$flavour::Sender<[u8]>>> {
            sent_when_flushed!(Vec<u8>);
        }
    )* };
}
messages!(one_to_one many_to_many broadcast);

/// A message that a task wants to send: it is forgotten when the task is cancelled.
struct Sending<'a, E: Waitable + Puts<[u8]>>(&'a mut Async<Pollable<E>>);

impl<E: Waitable + Puts<[u8]>> Drop for Sending<'_, E> {
    fn drop(&mut self) {
        self.0.end().forget();
    }
}

macro_rules! send_message {
    ($($flavour:ident)*) => { $(
        impl Async<Pollable<$flavour::Sender<[u8]>>> {
            /// Sends a message, waiting for as much room as it needs. Dropping the future before it is done sends nothing.
            ///
            /// # Errors
            /// Those of the sender's `try_send`.
            pub async fn send_message(&mut self, message: &[u8]) -> Result<()> {
                let sending = Sending(self);
                std::future::poll_fn(|context| {
                    sending.0.poll_attempt(context, |end| end.put(message))
                })
                .await
            }
        }
    )* };
}
send_message!(one_to_one many_to_many broadcast latest);
