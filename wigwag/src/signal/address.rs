//! Signals from an address: `signal:1234?signal=TERM` to send, `signal:self?signal=USR1,RTMIN+1` to receive.

use super::{FACILITY, Receiver, Set, Signal, queue, send};
use crate::error::{Error, Kind, Result};
use crate::message::{Messages, Note, Received, Sender};
use crate::name::Name;
use crate::opening::{Opening, Target, Way};
use crate::wait::Wait;

/// A process to send to, as messages: the text of a message is the value to queue, its type the
/// number of the signal; an empty message is a signal without a value.
struct Outgoing {
    pid: i32,
    signal: Option<Signal>,
}

pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let named = target.options.value::<Set>("signal")?;
    let pid = match target.name {
        Name::Pid(pid) => Some(pid),
        _ => None,
    };
    let own = std::process::id().cast_signed();
    let refuse = |why: &str| {
        let object = pid.map_or(String::new(), |pid| format!("process {pid}"));
        Err(FACILITY.error(Kind::BadInput, "open", object, why))
    };
    match (opening.way, pid) {
        (Way::In, Some(pid)) if pid != own => {
            refuse("only its own process receives a signal; write signal:self?signal=USR1")
        }
        (Way::In, _) => match named {
            // In this thread; the others must block them too, see Receiver.
            Some(set) => Ok(Box::new(Receiver::open(set)?)),
            None => refuse("which signals? write signal:self?signal=USR1,RTMIN+1"),
        },
        (Way::Out, Some(pid)) => {
            let signal = match named.map(|set| set.iter().collect::<Vec<_>>()) {
                None => None,
                Some(one) if one.len() == 1 => one.first().copied(),
                Some(_) => {
                    return Err(target.options.bad("signal", "one signal is sent at a time"));
                }
            };
            Ok(Box::new(Outgoing { pid, signal }))
        }
        (Way::Out, None) => refuse("to which process? write signal:PID"),
        (Way::Both, _) => refuse("a signal goes one way: open it to send or to receive"),
    }
}

impl Messages for Outgoing {
    fn send_with(&self, message: &[u8], note: Note, _wait: Wait) -> Result<()> {
        let refuse = |why: String| FACILITY.error(Kind::BadInput, "send", "", why);
        if note.priority.is_some() {
            return Err(refuse("it has a number, no priority".into()));
        }
        let signal = match note.kind {
            Some(kind) => Signal::try_from(i32::try_from(kind).unwrap_or(0))?,
            None => self.signal.ok_or_else(|| {
                refuse("which? write signal:PID?signal=USR1, or give its number as type".into())
            })?,
        };
        if message.is_empty() {
            return send(self.pid, signal);
        }
        let value = std::str::from_utf8(message)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| {
                let text = String::from_utf8_lossy(message);
                refuse(format!(
                    "it carries a whole number from {} to {}, not {text:?}",
                    i32::MIN,
                    i32::MAX
                ))
            })?;
        queue(self.pid, signal, value)
    }

    fn recv_with(
        &self,
        _buffer: &mut Vec<u8>,
        _kind: Option<i64>,
        _wait: Wait,
    ) -> Result<Option<Received>> {
        Err(wrong_way("receive", "it was opened to send"))
    }

    fn max_len(&self) -> usize {
        LONGEST
    }
}

/// The digits of the smallest value.
const LONGEST: usize = "-2147483648".len();

impl Messages for Receiver {
    fn send_with(&self, _message: &[u8], _note: Note, _wait: Wait) -> Result<()> {
        Err(wrong_way("send", "it was opened to receive"))
    }

    /// The value as text, nothing if it came without one; the type is the number of the signal.
    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        if kind.is_some() {
            return Err(wrong_way(
                "receive",
                "which signals to receive is said at opening: signal:self?signal=USR1",
            ));
        }
        let received = self.recv_until(wait.into())?;
        buffer.clear();
        if let Some(value) = received.value {
            buffer.extend_from_slice(value.to_string().as_bytes());
        }
        Ok(Some(Received {
            note: Note {
                priority: None,
                kind: Some(received.signal.number().into()),
            },
            sender: Some(Sender::Process {
                pid: received.pid,
                uid: received.uid,
                gid: u32::MAX,
            }),
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        LONGEST
    }
}

fn wrong_way(action: &'static str, why: &str) -> Error {
    FACILITY.error(Kind::BadInput, action, "", why)
}

/// Sends this thread a signal that is blocked, and takes it.
pub(crate) fn probe() -> Result<()> {
    let signal = Signal::realtime(0)?;
    let _mask = super::Mask::block(signal)?;
    super::queue_thread(super::this_thread(), signal, 7)?;
    super::try_wait(signal).map(drop)
}
