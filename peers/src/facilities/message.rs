//! Messages: one sent and received, 64 bytes.

use wigwag::message::{posix, sysv};

use super::{Case, MUST, bare, c_name, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("mq: send and receive 64 B", mq),
    ("sysv-mq: send and receive 64 B", sysv_mq),
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
