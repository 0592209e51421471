//! Messages: one sent and received, 64 bytes.

use std::os::fd::{AsRawFd, OwnedFd};

use wigwag::message::{datagram, posix, seqpacket, sysv, udp};

use super::{Case, MUST, bare, c_name, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("mq: send and receive 64 B", mq),
    ("sysv-mq: send and receive 64 B", sysv_mq),
    ("unix-dgram: send and receive 64 B", |effort, name| {
        let ((here, there), (to, from)) = (datagram::pair()?, datagram::pair()?);
        let mut buffer = [0; LEN];
        let ours = || {
            here.send(&[7; LEN])?;
            there.recv(&mut buffer).map(drop)
        };
        sockets(effort, name, ours, (to.into(), from.into()))
    }),
    ("unix-seqpacket: send and receive 64 B", |effort, name| {
        let ((here, there), (to, from)) = (seqpacket::pair()?, seqpacket::pair()?);
        let mut buffer = [0; LEN];
        let ours = || {
            here.send(&[7; LEN])?;
            there.recv(&mut buffer).map(drop)
        };
        sockets(effort, name, ours, (to.into(), from.into()))
    }),
    ("udp: send and receive 64 B", |effort, name| {
        let pair = || {
            let server = udp::Socket::bind("127.0.0.1:0")?;
            let client = udp::Socket::connect(server.local()?.to_string())?;
            wigwag::Result::Ok((client, server))
        };
        let ((here, there), (to, from)) = (pair()?, pair()?);
        let mut buffer = [0; LEN];
        let ours = || {
            here.send(&[7; LEN])?;
            there.recv(&mut buffer).map(drop)
        };
        sockets(effort, name, ours, (to.into(), from.into()))
    }),
];

const LEN: usize = 64;

fn mq(effort: Effort, name: &str) -> wigwag::Result<Row> {
    let path = format!("/{}", unique("mq"));
    let queue = posix::Options::new()
        .depth(4)
        .max_len(LEN)
        .temporary(true)
        .create(&path)?;
    // SAFETY: the name ends with NUL; without O_CREAT there are no further arguments.
    let raw = bare(unsafe { libc::mq_open(c_name(&path).as_ptr(), libc::O_RDWR) })?;
    let (message, mut ours, mut theirs) = ([7_u8; LEN], [0_u8; LEN], [0_u8; LEN]);
    let row = duel(
        effort,
        name,
        "mq_send(3), mq_receive(3)",
        MUST,
        || {
            queue.send(&message)?;
            queue.recv(&mut ours).map(drop)
        },
        || {
            // SAFETY: the pointers and lengths are those of live arrays.
            unsafe {
                bare(libc::mq_send(raw, message.as_ptr().cast(), LEN, 0))?;
                let mut priority = 0;
                bare(libc::mq_receive(
                    raw,
                    theirs.as_mut_ptr().cast(),
                    LEN,
                    &raw mut priority,
                ))?;
            }
            Ok(())
        },
    );
    // SAFETY: opened above, and used by nobody any more.
    unsafe { libc::mq_close(raw) };
    row
}

fn sysv_mq(effort: Effort, name: &str) -> wigwag::Result<Row> {
    #[repr(C)]
    struct Message {
        kind: libc::c_long,
        bytes: [u8; LEN],
    }
    let queue = sysv::Options::new().temporary(true).private()?;
    let id = queue.id();
    let (message, mut ours) = ([7_u8; LEN], [0_u8; LEN]);
    let mut theirs = Message {
        kind: 1,
        bytes: [7; LEN],
    };
    duel(
        effort,
        name,
        "msgsnd(2), msgrcv(2)",
        MUST,
        || {
            queue.send(1, &message)?;
            queue.recv(sysv::Select::Any, &mut ours).map(drop)
        },
        || {
            // A C program has its bytes elsewhere too, and the call wants them behind the type.
            theirs.bytes.copy_from_slice(std::hint::black_box(&message));
            // SAFETY: the structure begins with a long, and its length is that of its bytes.
            unsafe {
                bare(libc::msgsnd(id, (&raw const theirs).cast(), LEN, 0))?;
                bare(libc::msgrcv(id, (&raw mut theirs).cast(), LEN, 0, 0))?;
            }
            std::hint::black_box(&theirs.bytes);
            Ok(())
        },
    )
}

/// Our sockets against the same kind, from `to` to `from`, made bare.
fn sockets(
    effort: Effort,
    name: &str,
    ours: impl FnMut() -> wigwag::Result<()>,
    (to, from): (OwnedFd, OwnedFd),
) -> wigwag::Result<Row> {
    let (message, mut buffer) = ([7_u8; LEN], [0_u8; LEN]);
    duel(effort, name, "send(2), recv(2)", MUST, ours, || {
        let flags = libc::MSG_NOSIGNAL;
        // SAFETY: the pointers and lengths are those of live arrays.
        unsafe {
            bare(libc::send(
                to.as_raw_fd(),
                message.as_ptr().cast(),
                LEN,
                flags,
            ))?;
            let start = buffer.as_mut_ptr().cast();
            bare(libc::recv(from.as_raw_fd(), start, LEN, libc::MSG_TRUNC))?;
        }
        Ok(())
    })
}
