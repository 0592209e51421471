//! Bytes: the channel as one that is opened by an address.

use std::sync::Arc;

use super::super::address::{Bytes, Receives, Sends, fill};
use super::super::region::Region;
use super::{Channel, Message, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::wait::{Deadline, Wait};

impl Bytes for Channel<[u8]> {
    fn region(&self) -> &Arc<Region> {
        &self.region
    }

    fn longest(&self) -> usize {
        self.region.plan().capacity as usize
    }

    fn sends(&self) -> Result<Box<dyn Sends>> {
        Ok(Box::new(self.sender()?))
    }

    fn receives(&self, _: u64) -> Result<Box<dyn Receives>> {
        Ok(Box::new(self.receiver()?))
    }
}

impl Sends for Sender<[u8]> {
    /// It is never full.
    fn put(&mut self, message: &[u8], _: Wait) -> Result<()> {
        self.send(message)
    }
}

impl Receives for Receiver<[u8]> {
    fn take_into(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> Result<u64> {
        Ok(match wait {
            Wait::Forever => taken(buffer, &self.recv()?),
            Wait::For(limit) => taken(buffer, &self.recv_timeout(limit)?),
            Wait::Not => {
                // Asked first: what a sender sent before it left is there.
                let connected = self.is_connected();
                if let Some(message) = self.try_recv()? {
                    taken(buffer, &message)
                } else if connected {
                    return Err(self.side.in_vain(Deadline::Now));
                } else {
                    return Err(self.side.region().error(
                        Kind::Disconnected,
                        "receive from",
                        "the sender is gone",
                    ));
                }
            }
        })
    }

    /// It is never full: what is missed there was out of date.
    fn lost(&self) -> u64 {
        0
    }
}

/// Keeps a message, and tells how many were missed before it.
fn taken(buffer: &mut Vec<u8>, message: &Message<'_>) -> u64 {
    fill(buffer, message);
    message.missed()
}
