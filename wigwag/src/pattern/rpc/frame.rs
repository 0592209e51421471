//! Frame: what one call, one answer, or one word about a call looks like on every carrier.
//!
#![doc = include_str!("frame.md")]

/// How long a head is.
pub(super) const HEAD: usize = 32;

const MAGIC: [u8; 2] = *b"wR";
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Call = 1,
    Answer = 2,
    Error = 3,
    Cancel = 4,
    Hello = 5,
    Bye = 6,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Code {
    Refused = 1,
    TooBig = 2,
    TooLate = 3,
    Stopping = 4,
    Malformed = 5,
    Panicked = 6,
    TooMany = 7,
}

impl Code {
    /// A code that a later version may have is a refusal.
    pub(super) fn of(word: u64) -> Code {
        match word {
            2 => Code::TooBig,
            3 => Code::TooLate,
            4 => Code::Stopping,
            5 => Code::Malformed,
            6 => Code::Panicked,
            7 => Code::TooMany,
            _ => Code::Refused,
        }
    }
}

/// What stands before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) len: u32,
    pub(super) id: u64,
    pub(super) word: u64,
    pub(super) client: u64,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Head {
    /// A frame without a body.
    pub(super) fn bare(kind: Kind, id: u64) -> Self {
        Head {
            kind,
            len: 0,
            id,
            word: 0,
            client: 0,
        }
    }

    pub(super) fn bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.word.to_le_bytes());
        bytes[24..].copy_from_slice(&self.client.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8; HEAD]) -> Result<Head, Malformed> {
        let number = |from: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(eight)
        };
        let [w, r, version, kind, a, b, c, d, ..] = *bytes;
        if [w, r] != MAGIC {
            return Err(Malformed("it does not begin with wR"));
        }
        if version != VERSION {
            return Err(Malformed("it is of another version than 1"));
        }
        let kind = match kind {
            1 => Kind::Call,
            2 => Kind::Answer,
            3 => Kind::Error,
            4 => Kind::Cancel,
            5 => Kind::Hello,
            6 => Kind::Bye,
            _ => return Err(Malformed("its kind is none from 1 to 6")),
        };
        Ok(Head {
            kind,
            len: u32::from_le_bytes([a, b, c, d]),
            id: number(8),
            word: number(16),
            client: number(24),
        })
    }

    /// The whole frame.
    pub(super) fn with(mut self, body: &[u8]) -> Vec<u8> {
        // Who makes a frame has looked at the limit of its carrier, which is below this.
        self.len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(HEAD + body.len());
        frame.extend_from_slice(&self.bytes());
        frame.extend_from_slice(body);
        frame
    }
}

/// The head and the body of a frame that came as one message.
pub(super) fn split(message: &[u8]) -> Result<(Head, &[u8]), Malformed> {
    let Some((head, body)) = message.split_first_chunk::<HEAD>() else {
        return Err(Malformed("it is shorter than a head of 32 bytes"));
    };
    let head = Head::read(head)?;
    if head.len as usize != body.len() {
        return Err(Malformed("its length is not the one its head says"));
    }
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_documented_bytes() {
        let head = Head {
            kind: Kind::Call,
            len: 0,
            id: 0x0102_0304_0506_0708,
            word: 0x1112,
            client: 0x21,
        };
        let frame = head.with(b"hi");
        let documented = b"wR\x01\x01\x02\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x12\x11\0\0\0\0\0\0\x21\0\0\0\0\0\0\0hi";
        assert_eq!(frame, documented);
        let (read, body) = split(&frame).expect("a frame");
        assert_eq!((read, body), (Head { len: 2, ..head }, &b"hi"[..]));
    }

    #[test]
    fn what_is_no_frame_is_said_to_be_none() {
        let good = Head::bare(Kind::Cancel, 7).with(b"");
        assert!(split(&good).is_ok());
        assert!(split(&good[..31]).is_err());
        for (at, byte) in [(0, b'x'), (1, 0), (2, 2), (3, 0), (3, 7), (4, 1)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(split(&bad).is_err(), "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(0_u8.., 0..80)) {
            if let Ok((head, body)) = split(&bytes) {
                proptest::prop_assert_eq!(head.with(body), bytes);
            }
        }
    }
}
