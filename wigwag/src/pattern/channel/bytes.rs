//! Bytes: a channel of byte messages of any flavour, as an address opens it.

use std::sync::Arc;

use super::address::{Bytes, Receives, Sends, fill};
use super::flavour::sealed::Form;
use super::full::Full;
use super::region::Region;
use super::{Channel, broadcast, latest, many_to_many, one_to_one};
use crate::error::{Kind, Result};
use crate::wait::Wait;

/// With each flavour: how it takes a receiver that begins with so many of the newest messages, how many were missed before a message, and
/// how many never came because it was full.
macro_rules! bytes {
    ($($flavour:ident $form:ident: $receiver:expr, $missed:expr, $lost:expr;)*) => { $(
        impl Bytes for $flavour::Channel<[u8]> {
            fn region(&self) -> &Arc<Region> {
                &self.region
            }

            fn longest(&self) -> usize {
                $flavour::$form::longest(self.capacity())
            }

            fn sends(&self) -> Result<Box<dyn Sends>> {
                Ok(Box::new(self.sender()?))
            }

            fn receives(&self, last: u64) -> Result<Box<dyn Receives>> {
                let receiver: fn(&Self, u64) -> Result<$flavour::Receiver<[u8]>> = $receiver;
                Ok(Box::new(receiver(self, last)?))
            }
        }

        impl Sends for $flavour::Sender<[u8]> {
            fn put(&mut self, message: &[u8], wait: Wait) -> Result<()> {
                let sent = match wait {
                    Wait::Forever => self.send(message).map(|()| true),
                    Wait::For(limit) => self.send_timeout(message, limit).map(|()| true),
                    Wait::Not => self.try_send(message),
                }?;
                let region = self.region();
                // What is dropped was accepted, and is counted.
                match sent || region.plan().full == Full::DropNewest {
                    true => Ok(()),
                    false => Err(region.error(Kind::WouldBlock, "send to", "it is full")),
                }
            }
        }

        impl Receives for $flavour::Receiver<[u8]> {
            fn take_into(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> Result<u64> {
                // Asked first: what a sender sent before it left is there.
                let connected = self.is_connected();
                {
                    let message = match wait {
                        Wait::Forever => Some(self.recv()?),
                        Wait::For(limit) => Some(self.recv_timeout(limit)?),
                        Wait::Not => self.try_recv()?,
                    };
                    if let Some(message) = message {
                        fill(buffer, &message);
                        let missed: fn(&$flavour::Message<'_>) -> u64 = $missed;
                        return Ok(missed(&message));
                    }
                }
                let (kind, why) = match connected {
                    true => (Kind::WouldBlock, "it is empty"),
                    false => (Kind::Disconnected, "it is empty, and nobody is there who sends"),
                };
                Err(self.region().error(kind, "receive from", why))
            }

            fn lost(&self) -> u64 {
                let lost: fn(&Self) -> u64 = $lost;
                lost(self)
            }
        }
    )* };
}
bytes! {
    one_to_one OneToOne: |channel, _| channel.receiver(), |_| 0, |end| end.lost();
    many_to_many ManyToMany: |channel, _| channel.receiver(), |_| 0, |end| end.lost();
    broadcast Broadcast: Channel::receiver_with_last, |message| message.missed(), |end| end.lost();
    // What is missed there was out of date.
    latest Latest: |channel, _| channel.receiver(), |message| message.missed(), |_| 0;
}
