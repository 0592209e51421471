//! Message: entries of the facilities that carry messages, signals among them.

use super::options::{EXCLUSIVE, PROJECT, TAKE_OVER, TEMPORARY};
use super::{Entry, Open, opt};
use crate::{message, signal};

pub(super) const POSIX: Entry = Entry {
    facility: &message::posix::FACILITY,
    options: &[
        opt(
            "depth",
            "MESSAGES",
            "how many messages it may hold (fs.mqueue.msg_default)",
        ),
        opt(
            "max_len",
            "BYTES",
            "how long a message may be (fs.mqueue.msgsize_default)",
        ),
        opt(
            "mode",
            "OCTAL",
            "who may open it, whatever the umask (0600)",
        ),
        EXCLUSIVE,
        TEMPORARY,
    ],
    open: Some(Open::Messages(message::posix::address::open)),
    create: Some(message::posix::address::create),
    unlink: Some(message::posix::unlink),
    probe: message::posix::address::probe,
};

pub(super) const SYSV: Entry = Entry {
    facility: &message::sysv::FACILITY,
    options: &[
        opt(
            "mode",
            "OCTAL",
            "who may receive (read) and send (write) (0600)",
        ),
        opt(
            "capacity",
            "BYTES",
            "how much a new queue may hold (kernel.msgmnb)",
        ),
        PROJECT,
        EXCLUSIVE,
        opt(
            "temporary",
            "",
            "remove it when the one that opened it so is done",
        ),
    ],
    open: Some(Open::Messages(message::sysv::address::open)),
    create: Some(message::sysv::address::create),
    unlink: Some(message::sysv::address::unlink),
    probe: message::sysv::address::probe,
};

pub(super) const DATAGRAM: Entry = Entry {
    facility: &message::datagram::FACILITY,
    options: &[
        TAKE_OVER,
        opt(
            "mode",
            "OCTAL",
            "who may send: those with write permission (0777 less the umask)",
        ),
    ],
    open: Some(Open::Messages(message::datagram::open)),
    create: None,
    unlink: Some(message::datagram::unlink_name),
    probe: message::datagram::probe,
};

pub(super) const SEQPACKET: Entry = Entry {
    facility: &message::seqpacket::FACILITY,
    options: &[
        TAKE_OVER,
        opt(
            "mode",
            "OCTAL",
            "who may connect: those with write permission (0777 less the umask)",
        ),
    ],
    open: Some(Open::Messages(message::seqpacket::open)),
    create: None,
    unlink: Some(message::seqpacket::unlink_name),
    probe: message::seqpacket::probe,
};

pub(super) const UDP: Entry = Entry {
    facility: &message::udp::FACILITY,
    options: &[
        opt(
            "group",
            "ADDRESS",
            "join this multicast group to receive (the host, if it is one)",
        ),
        opt(
            "interface",
            "ADDRESS or INDEX",
            "for multicast: the IPv4 address or the index of the interface (the system chooses)",
        ),
        opt("ttl", "HOPS", "how far multicast goes (1)"),
        opt(
            "loop",
            "YES or NO",
            "whether receivers of this machine get our multicast (yes)",
        ),
        opt("broadcast", "", "allow sending to all hosts of a network"),
        opt("reuse", "", "several receivers of a group on one port"),
    ],
    open: Some(Open::Messages(message::udp::open)),
    create: None,
    unlink: None,
    probe: message::udp::probe,
};

pub(super) const SIGNAL: Entry = Entry {
    facility: &signal::FACILITY,
    options: &[opt(
        "signal",
        "NAMES",
        "which to send (one), or to receive: USR1,RTMIN+1",
    )],
    open: Some(Open::Messages(signal::address::open)),
    create: None,
    unlink: None,
    probe: signal::address::probe,
};
