//! Channel: the ends of a channel of any flavour as a `Stream` and a `Sink`, in a [`Pollable`] in an [`Async`].
//!
//! The stream ends when nobody is left who could send, in order or killed; what they had sent before comes first. A value is out of the channel when
//! the stream has given it, by copy: to look at values in place there is [`Async::end`]. Where values can be overwritten before the
//! receiver comes to them (`broadcast`, `latest`), [`Async::with_missed`] gives with each how many these were.
//!
//! A sink waits for room whatever the channel does with values for which there is none, as waiting holds up nobody else here; only one that
//! overwrites the oldest never waits. Byte messages, of which each needs room of its own, are sent by [`send_message`](Async::send_message).
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
        loop {
            if let Some(outcome) = self.handle.attempt(&mut attempt)? {
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

/// A place that is free now another may take first, and to claim one before there is a value would hold up all who receive. So
/// a value is sent when it is taken, if there is a place, and else by the next flush: one that is not flushed may not have been sent.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<many_to_many::Sender<T>>> {
    type Error = crate::Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        if put(self.handle.end(), value)?.is_none() {
            self.handle.unsent = Some(value);
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(value) = self.handle.unsent else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(self.poll_attempt(context, |end| put(end, value)));
        self.handle.unsent = None;
        Poll::Ready(sent)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }
}

/// Sends a value if there is a place, without counting it as dropped if there is none.
fn put<T: Plain>(sender: &mut many_to_many::Sender<T>, value: T) -> Result<Option<()>> {
    Ok(sender.try_loan()?.map(|mut loan| {
        *loan = value;
        loan.send();
    }))
}

macro_rules! messages {
    ($($flavour:ident)*) => { $(
        impl Async<Pollable<$flavour::Sender<[u8]>>> {
            /// Sends a message, waiting for as much room as it needs. Dropping the future before it is done sends nothing.
            ///
            /// # Errors
            /// Those of the sender's `try_send`.
            pub async fn send_message(&mut self, message: &[u8]) -> Result<()> {
                std::future::poll_fn(|context| {
                    self.poll_attempt(context, |end| {
                        let Some(mut loan) = end.try_loan(message.len())? else {
                            return Ok(None);
                        };
                        loan.copy_from_slice(message);
                        loan.send();
                        Ok(Some(()))
                    })
                })
                .await
            }
        }
    )* };
}
messages!(one_to_one many_to_many broadcast);
