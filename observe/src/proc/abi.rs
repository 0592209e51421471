//! Abi: which system call a number means; the same number is another call in a 32-bit program.
//!
//! Only calls that can wait for somebody are named. Numbers: the kernel's `syscall_64.tbl`, `syscall_32.tbl` and
//! `asm-generic/unistd.h`.

/// How a program talks to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abi {
    /// The machine's own, 64-bit; also where this program has 32 bits itself.
    Native,
    /// A 32-bit program on a 64-bit machine (i386).
    Compat,
}

/// A system call that can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sys {
    Read,
    Write,
    Accept,
    Connect,
    Receive,
    ReceiveMany,
    Send,
    Splice,
    Tee,
    SendFile,
    Vmsplice,
    CopyRange,
    Open,
    OpenAt,
    Futex,
    FutexWaitv,
    FutexWait,
    Flock,
    Fcntl,
    SemOp,
    SemTimedOp,
    MsgSend,
    MsgReceive,
    MqSend,
    MqReceive,
    Wait4,
    WaitPid,
    WaitId,
    Vfork,
    Clone,
    Poll,
    Ppoll,
    Select,
    OldSelect,
    Pselect,
    EpollWait,
    EpollPwait2,
    Pause,
    SigSuspend,
    SigWait,
    Sleep,
    Restart,
    UringEnter,
    Ioctl,
    Close,
    IpcMultiplexed,
    SocketMultiplexed,
    Other,
}

impl Abi {
    /// Size of a pointer, and of `long`.
    pub(crate) fn word(self) -> usize {
        match self {
            Abi::Native => 8,
            Abi::Compat => 4,
        }
    }

    /// What the number means.
    pub(crate) fn call(self, number: i64) -> Sys {
        match self {
            Abi::Native => native(number),
            Abi::Compat => i386(number),
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn native(number: i64) -> Sys {
    match number {
        0 | 17 | 19 | 295 | 327 => Sys::Read,
        1 | 18 | 20 | 296 | 328 => Sys::Write,
        2 | 85 => Sys::Open,
        3 => Sys::Close,
        7 => Sys::Poll,
        16 => Sys::Ioctl,
        23 => Sys::Select,
        34 => Sys::Pause,
        35 | 230 => Sys::Sleep,
        40 => Sys::SendFile,
        42 => Sys::Connect,
        43 | 288 => Sys::Accept,
        44 | 46 | 307 => Sys::Send,
        45 | 47 => Sys::Receive,
        299 => Sys::ReceiveMany,
        56 | 435 => Sys::Clone,
        58 => Sys::Vfork,
        61 => Sys::Wait4,
        65 => Sys::SemOp,
        69 => Sys::MsgSend,
        70 => Sys::MsgReceive,
        72 => Sys::Fcntl,
        73 => Sys::Flock,
        128 => Sys::SigWait,
        130 => Sys::SigSuspend,
        202 => Sys::Futex,
        219 => Sys::Restart,
        220 => Sys::SemTimedOp,
        232 | 281 => Sys::EpollWait,
        242 => Sys::MqSend,
        243 => Sys::MqReceive,
        247 => Sys::WaitId,
        257 | 437 => Sys::OpenAt,
        270 => Sys::Pselect,
        271 => Sys::Ppoll,
        275 => Sys::Splice,
        276 => Sys::Tee,
        278 => Sys::Vmsplice,
        326 => Sys::CopyRange,
        426 => Sys::UringEnter,
        441 => Sys::EpollPwait2,
        449 => Sys::FutexWaitv,
        455 => Sys::FutexWait,
        _ => Sys::Other,
    }
}

/// The numbers that all newer 64-bit architectures share.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
fn native(number: i64) -> Sys {
    match number {
        63 | 65 | 67 | 69 | 286 => Sys::Read,
        64 | 66 | 68 | 70 | 287 => Sys::Write,
        57 => Sys::Close,
        56 | 437 => Sys::OpenAt,
        29 => Sys::Ioctl,
        73 => Sys::Ppoll,
        72 => Sys::Pselect,
        101 | 115 => Sys::Sleep,
        71 => Sys::SendFile,
        203 => Sys::Connect,
        202 | 242 => Sys::Accept,
        206 | 211 | 269 => Sys::Send,
        207 | 212 => Sys::Receive,
        243 => Sys::ReceiveMany,
        220 | 435 => Sys::Clone,
        260 => Sys::Wait4,
        193 => Sys::SemOp,
        189 => Sys::MsgSend,
        188 => Sys::MsgReceive,
        25 => Sys::Fcntl,
        32 => Sys::Flock,
        137 => Sys::SigWait,
        133 => Sys::SigSuspend,
        98 => Sys::Futex,
        128 => Sys::Restart,
        192 => Sys::SemTimedOp,
        22 => Sys::EpollWait,
        182 => Sys::MqSend,
        183 => Sys::MqReceive,
        95 => Sys::WaitId,
        76 => Sys::Splice,
        77 => Sys::Tee,
        75 => Sys::Vmsplice,
        285 => Sys::CopyRange,
        426 => Sys::UringEnter,
        441 => Sys::EpollPwait2,
        449 => Sys::FutexWaitv,
        455 => Sys::FutexWait,
        _ => Sys::Other,
    }
}

fn i386(number: i64) -> Sys {
    match number {
        3 | 145 | 180 | 333 | 378 => Sys::Read,
        4 | 146 | 181 | 334 | 379 => Sys::Write,
        5 | 8 => Sys::Open,
        6 => Sys::Close,
        7 => Sys::WaitPid,
        29 => Sys::Pause,
        54 => Sys::Ioctl,
        55 | 221 => Sys::Fcntl,
        72 | 179 => Sys::SigSuspend,
        82 => Sys::OldSelect,
        102 => Sys::SocketMultiplexed,
        114 => Sys::Wait4,
        117 => Sys::IpcMultiplexed,
        120 | 435 => Sys::Clone,
        142 => Sys::Select,
        143 => Sys::Flock,
        162 | 267 | 407 => Sys::Sleep,
        168 => Sys::Poll,
        177 | 421 => Sys::SigWait,
        187 | 239 => Sys::SendFile,
        190 => Sys::Vfork,
        0 => Sys::Restart,
        240 | 422 => Sys::Futex,
        256 | 319 => Sys::EpollWait,
        279 | 418 => Sys::MqSend,
        280 | 419 => Sys::MqReceive,
        284 => Sys::WaitId,
        295 | 437 => Sys::OpenAt,
        308 | 413 => Sys::Pselect,
        309 | 414 => Sys::Ppoll,
        313 => Sys::Splice,
        315 => Sys::Tee,
        316 => Sys::Vmsplice,
        362 => Sys::Connect,
        364 => Sys::Accept,
        369 | 370 | 345 => Sys::Send,
        371 | 372 => Sys::Receive,
        337 | 417 => Sys::ReceiveMany,
        377 => Sys::CopyRange,
        400 => Sys::MsgSend,
        401 => Sys::MsgReceive,
        420 => Sys::SemTimedOp,
        426 => Sys::UringEnter,
        441 => Sys::EpollPwait2,
        449 => Sys::FutexWaitv,
        455 => Sys::FutexWait,
        _ => Sys::Other,
    }
}
