//! Channel: the ends of a one-to-one channel as a `Stream` and a `Sink`, in a [`Pollable`] in an [`Async`].
//!
//! The stream ends when the sender has left or was killed; what it had sent before comes first. A value is out of the channel when
//! the stream has given it, by copy: to look at values in place there is [`Pollable::end`].
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
use crate::pattern::channel::one_to_one::{Receiver, Sender};
use crate::pattern::channel::{Pollable, Waitable};
use crate::shared::Plain;

impl<E: Waitable> Async<Pollable<E>> {
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

impl<T: Plain + Unpin> Stream for Async<Pollable<Receiver<T>>> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        item(self.poll_attempt(context, |end| Ok(end.try_recv()?.map(|value| *value))))
    }
}

impl Stream for Async<Pollable<Receiver<[u8]>>> {
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

/// Each value is accepted when it has been sent: there is nothing to flush, and closing waits for nobody.
impl<T: Plain + Unpin> Sink<T> for Async<Pollable<Sender<T>>> {
    type Error = crate::Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // Nobody else sends: room that is there stays.
        self.poll_attempt(context, |end| Ok(end.try_loan()?.map(drop)))
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        self.handle.end().send(value)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Async<Pollable<Sender<[u8]>>> {
    /// Sends a message, waiting for as much room as it needs. Dropping the future before it is done sends nothing.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send_message(&mut self, message: &[u8]) -> Result<()> {
        std::future::poll_fn(|context| {
            self.poll_attempt(context, |end| Ok(end.try_send(message)?.then_some(())))
        })
        .await
    }
}
