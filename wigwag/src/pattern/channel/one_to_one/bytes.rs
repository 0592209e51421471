//! Bytes: the channel as one that is opened by an address.

use std::sync::Arc;

use super::super::address::{Bytes, Receives, Sends, fill};
use super::super::full::Full;
use super::super::region::Region;
use super::{Channel, Receiver, Sender, message};
use crate::error::Result;
use crate::wait::{Deadline, Wait};

impl Bytes for Channel<[u8]> {
    fn region(&self) -> &Arc<Region> {
        &self.region
    }

    fn longest(&self) -> usize {
        message::longest(self.capacity())
    }

    fn sends(&self) -> Result<Box<dyn Sends>> {
        Ok(Box::new(self.sender()?))
    }

    fn receives(&self, _: u64) -> Result<Box<dyn Receives>> {
        Ok(Box::new(self.receiver()?))
    }
}

impl Sends for Sender<[u8]> {
    fn put(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        match wait {
            Wait::Forever => self.send(message),
            Wait::For(limit) => self.send_timeout(message, limit),
            // What is dropped was accepted, and is counted.
            Wait::Not if self.try_send(message)? || self.side.full() == Full::DropNewest => Ok(()),
            Wait::Not => Err(self.side.in_vain(Deadline::Now)),
        }
    }
}

impl Receives for Receiver<[u8]> {
    fn take_into(&mut self, buffer: &mut Vec<u8>, wait: Wait) -> Result<u64> {
        match wait {
            Wait::Forever => fill(buffer, &self.recv()?),
            Wait::For(limit) => fill(buffer, &self.recv_timeout(limit)?),
            Wait::Not => {
                // Asked first: what a sender sent before it left is there.
                let connected = self.is_connected();
                if let Some(message) = self.try_recv()? {
                    fill(buffer, &message);
                } else if connected {
                    return Err(self.side.in_vain(Deadline::Now));
                } else {
                    return Err(self.side.disconnected());
                }
            }
        }
        Ok(0)
    }

    fn lost(&self) -> u64 {
        Receiver::lost(self)
    }
}
