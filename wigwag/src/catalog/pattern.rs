//! Pattern: entries of what is built from the others.

use super::options::{BACKLOG, EXCLUSIVE, MODE, TEMPORARY};
use super::{Entry, Open, OptionFact, opt};
use crate::pattern::{channel, mailbox, rpc};
use crate::stream;

const MAX_REQUEST: OptionFact = opt(
    "max_request",
    "BYTES",
    "server: how long a request may be (4M)",
);
const MAX_ANSWER: OptionFact = opt(
    "max_answer",
    "BYTES",
    "client: how long an answer may be (64M)",
);
const CLIENTS: OptionFact = opt("clients", "NUMBER", "server: how many there may be (1000)");
const WAITING: OptionFact = opt(
    "waiting",
    "CALLS",
    "server: how many of one client may wait to be begun (64)",
);

pub(super) const CHANNEL: Entry = Entry {
    facility: &channel::FACILITY,
    options: &[
        opt(
            "flavour",
            "NAME",
            "one-to-one, many-to-many, broadcast or latest; of a new one (one-to-one), else that of the one that exists",
        ),
        opt(
            "capacity",
            "BYTES",
            "how much a new one holds, rounded up to a power of two (64K)",
        ),
        opt(
            "full",
            "POLICY",
            "what becomes of a message without room: wait, fail, drop-newest, overwrite-oldest (wait)",
        ),
        opt(
            "trust",
            "WHOM",
            "whether a new one is for programs that trust each other: peers or nobody (peers)",
        ),
        opt(
            "last",
            "MESSAGES",
            "broadcast: how many of the newest messages a new receiver gets first (0)",
        ),
        opt(
            "seats",
            "NUMBER",
            "how many senders and receivers a new one can have, where there may be many",
        ),
        MODE,
        EXCLUSIVE,
        TEMPORARY,
    ],
    open: Some(Open::Messages(channel::address::open)),
    create: Some(channel::address::create),
    unlink: Some(channel::address::unlink),
    probe: channel::address::probe,
};

pub(super) const MAILBOX: Entry = Entry {
    facility: &mailbox::FACILITY,
    options: &[
        opt("max_len", "BYTES", "how long a letter may be (3968)"),
        MODE,
        EXCLUSIVE,
        TEMPORARY,
    ],
    open: Some(Open::Messages(mailbox::address::open)),
    create: Some(mailbox::address::create),
    unlink: Some(mailbox::address::unlink),
    probe: mailbox::address::probe,
};

pub(super) const RPC_UNIX: Entry = Entry {
    facility: &rpc::UNIX,
    options: &[
        MAX_REQUEST,
        MAX_ANSWER,
        CLIENTS,
        WAITING,
        opt(
            "mode",
            "OCTAL",
            "who may connect: those with write permission (0777 less the umask)",
        ),
        BACKLOG,
    ],
    open: Some(Open::Calls),
    create: None,
    unlink: Some(stream::unix::unlink_name),
    probe: rpc::probe_unix,
};

pub(super) const RPC_TCP: Entry = Entry {
    facility: &rpc::TCP,
    options: &[MAX_REQUEST, MAX_ANSWER, CLIENTS, WAITING, BACKLOG],
    open: Some(Open::Calls),
    create: None,
    unlink: None,
    probe: rpc::probe_tcp,
};

pub(super) const RPC_CHANNEL: Entry = Entry {
    facility: &rpc::CHANNEL,
    options: &[
        CLIENTS,
        WAITING,
        opt(
            "capacity",
            "BYTES",
            "server: how much of one client may be under way each way (256K)",
        ),
    ],
    open: Some(Open::Calls),
    create: None,
    unlink: Some(rpc::unlink_channel),
    probe: rpc::probe_channel,
};

pub(super) const RPC_MQ: Entry = Entry {
    facility: &rpc::MQ,
    options: &[
        CLIENTS,
        WAITING,
        opt(
            "depth",
            "REQUESTS",
            "server: how many the queue holds (fs.mqueue.msg_default)",
        ),
        opt(
            "max_len",
            "BYTES",
            "server: how long a request or answer may be, with a head of 32 (fs.mqueue.msgsize_default)",
        ),
        opt(
            "mode",
            "OCTAL",
            "who may call: those with write permission, whatever the umask (0600)",
        ),
    ],
    open: Some(Open::Calls),
    create: None,
    unlink: Some(rpc::unlink_queue),
    probe: rpc::probe_mq,
};
