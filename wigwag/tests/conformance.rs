//! Conformance: every facility of the catalog keeps what its `guarantees` claim, shown by killing and counting.
//!
//! Nothing here names a facility's own types: all goes by address through the catalog, between two processes. A
//! new entry of the catalog is tested unasked.

mod process;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use process::{Child, PATIENCE, argument, eventually, hear, part, play, say, unique};
use wigwag::catalog::{self, CATALOG, Entry, Open};
use wigwag::facility::{Boundary, Family, Naming};
use wigwag::gate::{Gate, Mode};
use wigwag::guarantees::{Delivery, Durability, Guarantees, Order, Overflow, PeerDeath};
use wigwag::message::{Messages, Note};
use wigwag::pattern::channel::FLAVOURS;
use wigwag::stream::Stream;
use wigwag::{Address, Endpoint, Kind, Opening, Role, Wait, Way};

/// Things sent to count what arrives: more than any default queue holds.
const COUNT: u32 = 300;
/// Long enough that whoever could have gone on would have; short, because it is waited for in full.
const A_WHILE: Duration = Duration::from_millis(150);

/// One object of a facility for one test, removed at its end.
struct Object {
    entry: &'static Entry,
    address: String,
    /// For facilities without a name: what the child inherits as its descriptor 0, and ours.
    ours: Option<OwnedFd>,
    theirs: Option<OwnedFd>,
}

/// Which end of a thing without a name the child gets.
#[derive(Clone, Copy, PartialEq)]
enum ChildIs {
    Sender,
    Receiver,
}

impl Object {
    fn new(entry: &'static Entry, child: ChildIs) -> Self {
        Object::with(entry, "", child)
    }

    /// With options of its address.
    fn with(entry: &'static Entry, options: &str, child: ChildIs) -> Self {
        let id = entry.facility.id;
        let name = unique("conform");
        let (mut ours, mut theirs) = (None, None);
        let address = match entry.facility.naming {
            Naming::Path => format!("{id}:{}", std::env::temp_dir().join(&name).display()),
            Naming::Slash | Naming::SlashOrPath => format!("{id}:/{name}"),
            Naming::Socket => format!("{id}:@{name}"),
            Naming::Key => {
                let start = 2_166_136_261_u32;
                let hash = name.bytes().fold(start, |hash, byte| {
                    (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
                });
                format!("{id}:{:#x}", hash | 1)
            }
            Naming::HostPort => format!("{id}:127.0.0.1:{}", process::port()),
            Naming::Unnamed => {
                let (receiver, sender) = unnamed(id);
                (ours, theirs) = match child {
                    ChildIs::Sender => (Some(receiver), Some(sender)),
                    ChildIs::Receiver => (Some(sender), Some(receiver)),
                };
                format!("{id}:?fd=0")
            }
            naming => unreachable!("{naming}: not for these tests"),
        };
        let object = Object {
            entry,
            address: address + options,
            ours,
            theirs,
        };
        if entry.create.is_some() {
            catalog::create(&object.address()).unwrap_or_else(|error| panic!("{error}"));
        }
        object
    }

    fn address(&self) -> Address {
        self.address.parse().expect("an address")
    }

    /// Starts the other process of this test, playing `role`.
    fn child(&mut self, test: &str, role: &str) -> Child {
        let theirs = self.theirs.take();
        play(test, role, &[("ADDRESS", &self.address)])
            .with(|command| {
                if let Some(theirs) = theirs {
                    command.stdin(Stdio::from(theirs));
                }
            })
            .start()
    }

    /// Our end, by address or kept from the pair.
    fn open(&self, opening: Opening) -> Endpoint {
        use std::os::fd::AsRawFd;
        let address = match &self.ours {
            Some(fd) => format!("{}:?fd={}", self.entry.facility.id, fd.as_raw_fd()),
            None => self.address.clone(),
        };
        open(&address, opening)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.entry.unlink.is_some() {
            let _ = catalog::unlink(&self.address());
        } else if self.entry.facility.naming == Naming::Path {
            // A file to lock is a file like any other: nobody removes it but us.
            let address = self.address();
            let _ = std::fs::remove_file(OsStr::from_bytes(address.name()));
        }
    }
}

/// The end to receive at and the end to send to.
fn unnamed(id: &str) -> (OwnedFd, OwnedFd) {
    match id {
        "pipe" => {
            let (reader, writer) = wigwag::stream::pipe::pair().expect("a pipe");
            (reader.into(), writer.into())
        }
        "memfd" => {
            let region = wigwag::memory::memfd::Memfd::create("conform", 4096).expect("a memfd");
            (
                region.try_clone_fd().expect("its descriptor"),
                region.try_clone_fd().expect("its descriptor"),
            )
        }
        "eventfd" => {
            let flags = rustix::event::EventfdFlags::CLOEXEC;
            let counter = rustix::event::eventfd(0, flags).expect("an eventfd");
            (counter.try_clone().expect("a copy"), counter)
        }
        other => unreachable!("{other}: say how one is made"),
    }
}

/// Opens, waiting until the other process has made the name.
fn open(address: &str, opening: Opening) -> Endpoint {
    let parsed: Address = address.parse().expect("an address");
    let start = Instant::now();
    loop {
        match catalog::open(&parsed, opening.within(PATIENCE)) {
            Ok(endpoint) => return endpoint,
            Err(error) if opening.role == Role::Join && start.elapsed() < PATIENCE => {
                assert!(
                    matches!(error.kind(), Kind::NotFound | Kind::Disconnected),
                    "{error}"
                );
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn stream(endpoint: Endpoint) -> Box<dyn Stream> {
    match endpoint {
        Endpoint::Stream(stream) => stream,
        _ => panic!("not a stream"),
    }
}

fn messages(endpoint: Endpoint) -> Box<dyn Messages> {
    match endpoint {
        Endpoint::Messages(messages) => messages,
        _ => panic!("not messages"),
    }
}

fn gate(endpoint: Endpoint) -> Box<dyn Gate> {
    match endpoint {
        Endpoint::Gate(gate) => gate,
        _ => panic!("not a gate"),
    }
}

/// The child's own endpoint.
fn mine(opening: Opening) -> Endpoint {
    open(&argument("ADDRESS"), opening)
}

const BOTH: Opening = Opening {
    role: Role::Join,
    way: Way::Both,
    wait: Wait::Forever,
};

/// The facilities of a family that are opened by an address.
fn of(family: Family) -> impl Iterator<Item = &'static Entry> {
    let addressed = |entry: &&Entry| {
        // A terminal's name is the kernel's choice and a semaphore in memory has none; their own tests cover them.
        let facility = entry.facility;
        let unaddressed = facility.naming == Naming::Unnamed && entry.open.is_none();
        // The pages of the last go from a process to its children by fork alone.
        !(matches!(facility.naming, Naming::Terminal | Naming::InMemory)
            || unaddressed
            || facility.id == "anon")
    };
    CATALOG
        .iter()
        .filter(move |entry| entry.facility.family == family)
        .filter(addressed)
}

#[test]
fn a_stream_brings_every_byte_in_order_and_then_ends() {
    const TEST: &str = "a_stream_brings_every_byte_in_order_and_then_ends";
    let pattern = |len: usize| (0..len).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    const LEN: usize = 3_000_001;
    if part().is_some() {
        let mut stream = stream(mine(Opening::SEND));
        stream.write_all(&pattern(LEN)).expect("write");
        stream.finish().expect("finish");
        return;
    }
    for entry in of(Family::Stream) {
        let mut object = Object::new(entry, ChildIs::Sender);
        let child = object.child(TEST, "sender");
        let mut ours = stream(object.open(Opening::RECEIVE));
        drop(object.ours.take());
        let mut bytes = Vec::new();
        ours.read_to_end(&mut bytes).expect("read");
        assert!(
            bytes == pattern(LEN),
            "{}: {} bytes came",
            entry.facility.id,
            bytes.len()
        );
        assert_eq!(entry.facility.boundary, Some(Boundary::Byte));
        child.succeeds();
    }
}

#[test]
fn a_stream_notices_at_once_that_its_peer_was_killed() {
    const TEST: &str = "a_stream_notices_at_once_that_its_peer_was_killed";
    if let Some(part) = part() {
        let opening = if part == "sender" {
            Opening::SEND
        } else {
            Opening::RECEIVE
        };
        let _stream = stream(mine(opening));
        say("open");
        loop {
            std::thread::park();
        }
    }
    for entry in of(Family::Stream) {
        assert_eq!(entry.facility.guarantees.peer_death, PeerDeath::Noticed);
        let mut object = Object::new(entry, ChildIs::Sender);
        let mut child = object.child(TEST, "sender");
        let mut ours = stream(object.open(Opening::RECEIVE));
        drop(object.ours.take());
        child.says("open");
        child.kill();
        // An end of file, or an error: never a wait.
        let _ = ours
            .read(&mut [0; 10])
            .map(|count| assert_eq!(count, 0, "{}", entry.facility.id));

        let mut object = Object::new(entry, ChildIs::Receiver);
        let mut child = object.child(TEST, "receiver");
        let mut ours = stream(object.open(Opening::SEND));
        drop(object.ours.take());
        child.says("open");
        child.kill();
        // What TCP has sent may be accepted before the answer comes that nobody is there.
        eventually("writing to a dead reader fails", || {
            ours.write_all(b"is anybody there?").is_err()
        });
    }
}

/// What is opened as messages and carries any bytes: queues, sockets, patterns; of channels, each flavour.
struct Carrier {
    entry: &'static Entry,
    /// `broadcast`, or the facility.
    name: &'static str,
    options: String,
    guarantees: Guarantees,
}

impl Carrier {
    fn object(&self, child: ChildIs) -> Object {
        Object::with(self.entry, &self.options, child)
    }
}

fn carriers() -> Vec<Carrier> {
    let patterns = of(Family::Pattern);
    let entries = of(Family::Message)
        .chain(patterns.filter(|entry| matches!(entry.open, Some(Open::Messages(_)))));
    let plain = |entry: &'static Entry| Carrier {
        entry,
        name: entry.facility.id,
        options: String::new(),
        guarantees: entry.facility.guarantees,
    };
    let flavoured = |entry: &'static Entry| {
        FLAVOURS.map(|(name, guarantees)| Carrier {
            entry,
            name,
            // Who joins a broadcast late gets what was sent before only if it asks.
            options: format!("?flavour={name}&last=1"),
            guarantees,
        })
    };
    entries
        .flat_map(|entry| match entry.facility.id {
            "channel" => flavoured(entry).into(),
            _ => vec![plain(entry)],
        })
        .collect()
}

/// Whether everything from 0 up is there once, in order.
fn in_order(numbers: &[u32]) -> bool {
    numbers.iter().copied().eq(0..numbers.len() as u32)
}

#[test]
fn messages_arrive_whole_and_as_often_and_in_the_order_promised() {
    const TEST: &str = "messages_arrive_whole_and_as_often_and_in_the_order_promised";
    let body = |number: u32| {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(4 + number as usize % 60, number as u8);
        body
    };
    if part().is_some() {
        let sender = messages(mine(Opening::SEND));
        for number in 0..COUNT {
            sender
                .send_with(&body(number), Note::default(), Wait::For(PATIENCE))
                .expect("send");
        }
        return;
    }
    for carrier in carriers() {
        let (name, promised) = (carrier.name, &carrier.guarantees);
        let mut object = carrier.object(ChildIs::Sender);
        // A datagram needs its receiver first; a connection is made while the child is running.
        let connects = name == "unix-seqpacket";
        let early = (!connects).then(|| messages(object.open(Opening::RECEIVE)));
        let child = object.child(TEST, "sender");
        let ours = early.unwrap_or_else(|| messages(object.open(Opening::RECEIVE)));
        let (mut numbers, mut buffer) = (Vec::new(), Vec::new());
        let patience = if promised.delivery == Delivery::BestEffort {
            A_WHILE * 4
        } else {
            PATIENCE
        };
        while numbers.len() < COUNT as usize {
            match ours.recv_with(&mut buffer, None, Wait::For(patience)) {
                Ok(Some(_)) => {
                    let number = u32::from_le_bytes(buffer[..4].try_into().expect("four bytes"));
                    assert_eq!(buffer, body(number), "{}", name);
                    numbers.push(number);
                }
                Ok(None) => break,
                Err(error) if promised.delivery == Delivery::BestEffort => {
                    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if promised.delivery >= Delivery::AtMostOnce {
            assert_eq!(numbers.len(), COUNT as usize, "{}: lost some", name);
        }
        if promised.overflow == Overflow::Overwrites {
            // Some are missing, never the last.
            assert_eq!(numbers.last(), Some(&(COUNT - 1)), "{name}");
            assert!(numbers.is_sorted(), "{name}: {numbers:?}");
        } else if promised.order != Order::None {
            assert!(in_order(&numbers), "{name}: {numbers:?}");
        }
        if !promised.duplicates {
            let mut once = numbers.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), numbers.len(), "{}: some came twice", name);
        }
        child.succeeds();
    }
}

#[test]
fn a_full_message_facility_does_what_it_says() {
    const TEST: &str = "a_full_message_facility_does_what_it_says";
    if part().is_some() {
        let _ours = messages(mine(Opening::SEND));
        say("open");
        hear();
        return;
    }
    for carrier in carriers() {
        let (name, promised) = (carrier.name, &carrier.guarantees);
        let mut object = carrier.object(ChildIs::Sender);
        let connects = name == "unix-seqpacket";
        let mut child = connects.then(|| object.child(TEST, "idle"));
        let receiver = messages(object.open(Opening::RECEIVE));
        if let Some(child) = &mut child {
            child.says("open");
        }
        // A connection goes both ways: the end that accepted sends to a child that reads nothing.
        let other;
        let sender = if connects {
            &receiver
        } else {
            other = messages(object.open(Opening::SEND));
            &other
        };
        let mut sent = 0;
        let full = loop {
            match sender.send_with(&[1; 60], Note::default(), Wait::Not) {
                Ok(()) if sent == 200_000 => break None,
                Ok(()) => sent += 1,
                Err(error) => break Some(error),
            }
        };
        match promised.overflow {
            Overflow::Waits => {
                let full = full.unwrap_or_else(|| panic!("{}: never full", name));
                assert_eq!(full.kind(), Kind::WouldBlock, "{full}");
                let timed = sender
                    .send_with(&[1; 60], Note::default(), Wait::For(A_WHILE))
                    .expect_err("full");
                assert_eq!(timed.kind(), Kind::TimedOut, "{timed}");
            }
            Overflow::DropsNewest | Overflow::Overwrites => {
                assert!(full.is_none(), "{}: {full:?}", name)
            }
            other => panic!("{}: no test for {other}", name),
        }
        if let Some(mut child) = child {
            child.tell("enough");
        }
    }
}

#[test]
fn a_receiver_learns_of_a_killed_sender_what_is_promised() {
    const TEST: &str = "a_receiver_learns_of_a_killed_sender_what_is_promised";
    if part().is_some() {
        let sender = messages(mine(Opening::SEND));
        sender
            .send_with(b"alive", Note::default(), Wait::For(PATIENCE))
            .expect("send");
        say("open");
        loop {
            std::thread::park();
        }
    }
    for carrier in carriers() {
        let (name, promised) = (carrier.name, &carrier.guarantees);
        let promised = promised.peer_death;
        let mut object = carrier.object(ChildIs::Sender);
        let connects = name == "unix-seqpacket";
        let early = (!connects).then(|| messages(object.open(Opening::RECEIVE)));
        let mut child = object.child(TEST, "sender");
        let ours = early.unwrap_or_else(|| messages(object.open(Opening::RECEIVE)));
        let mut buffer = Vec::new();
        ours.recv_with(&mut buffer, None, Wait::For(PATIENCE))
            .expect("the sender is alive");
        child.says("open");
        let patience = match promised {
            PeerDeath::Noticed => PATIENCE,
            _ => 2 * A_WHILE,
        };
        let told = std::thread::scope(|scope| {
            let waits = scope.spawn(|| ours.recv_with(&mut buffer, None, Wait::For(patience)));
            std::thread::sleep(A_WHILE / 2);
            assert!(!waits.is_finished(), "{}", name);
            child.kill();
            waits.join().expect("no panic")
        });
        match (promised, told) {
            (PeerDeath::Noticed, Ok(None)) => {}
            (PeerDeath::Noticed, Err(error)) if error.kind() == Kind::Disconnected => {}
            (PeerDeath::Unnoticed, Err(error)) if error.kind() == Kind::TimedOut => {}
            (promised, told) => panic!("{}: {promised}, and it was {told:?}", name),
        }
    }
}

#[test]
fn what_is_kept_by_the_kernel_outlives_its_sender_and_the_rest_does_not() {
    const TEST: &str = "what_is_kept_by_the_kernel_outlives_its_sender_and_the_rest_does_not";
    if part().is_some() {
        messages(mine(Opening::SEND))
            .send_with(b"a letter", Note::default(), Wait::Not)
            .expect("send");
        return;
    }
    for carrier in carriers() {
        let (name, promised) = (carrier.name, &carrier.guarantees);
        if promised.durability < Durability::Kernel {
            assert!(carrier.entry.create.is_none(), "{}", name);
            continue;
        }
        let mut object = carrier.object(ChildIs::Sender);
        object.child(TEST, "sender").succeeds();
        let mut buffer = Vec::new();
        let ours = messages(object.open(Opening::RECEIVE));
        ours.recv_with(&mut buffer, None, Wait::Not)
            .expect("it is still there");
        assert_eq!(buffer, b"a letter");
    }
}

#[test]
fn memory_keeps_what_a_dead_process_wrote_as_long_as_it_says() {
    const TEST: &str = "memory_keeps_what_a_dead_process_wrote_as_long_as_it_says";
    if part().is_some() {
        let Endpoint::Region(region) = mine(BOTH) else {
            panic!("not memory")
        };
        region.write_at(100, b"remember").expect("write");
        region.flush().expect("flush");
        say("written");
        loop {
            std::thread::park();
        }
    }
    for entry in of(Family::Memory) {
        let mut object = Object::new(entry, ChildIs::Sender);
        let mut child = object.child(TEST, "writer");
        child.says("written");
        child.kill();
        let Endpoint::Region(region) = object.open(BOTH) else {
            panic!("not memory")
        };
        let mut bytes = [0; 8];
        region.read_at(100, &mut bytes).expect("read");
        assert_eq!(&bytes, b"remember", "{}", entry.facility.id);
        let outside = region
            .read_at(region.len(), &mut bytes)
            .expect_err("outside");
        assert_eq!(outside.kind(), Kind::BadInput);
        drop(region);
        if entry.unlink.is_some() {
            catalog::unlink(&object.address()).expect("remove");
            let gone = catalog::open(&object.address(), BOTH)
                .err()
                .expect("it is gone");
            assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
        }
    }
}

#[test]
fn a_gate_lets_one_in_and_after_a_death_does_what_it_says() {
    const TEST: &str = "a_gate_lets_one_in_and_after_a_death_does_what_it_says";
    if part().is_some() {
        let gate = gate(mine(BOTH));
        gate.acquire_with(Mode::Exclusive, Wait::Forever)
            .expect("acquire");
        say("inside");
        loop {
            std::thread::park();
        }
    }
    for entry in of(Family::Gate) {
        let facility = entry.facility;
        if facility.id == "eventfd" {
            // It counts events and holds nobody out.
            assert_eq!(facility.guarantees.peer_death, PeerDeath::Unnoticed);
            continue;
        }
        let mut object = Object::new(entry, ChildIs::Sender);
        let mut child = object.child(TEST, "holder");
        child.says("inside");
        let ours = gate(object.open(BOTH));
        let busy = ours
            .acquire_with(Mode::Exclusive, Wait::Not)
            .expect_err("somebody is inside");
        assert_eq!(busy.kind(), Kind::WouldBlock, "{busy}");
        let late = ours
            .acquire_with(Mode::Exclusive, Wait::For(A_WHILE))
            .expect_err("somebody is inside");
        assert_eq!(late.kind(), Kind::TimedOut, "{late}");
        child.kill();
        match facility.guarantees.peer_death {
            PeerDeath::Released => {
                ours.acquire_with(Mode::Exclusive, Wait::For(PATIENCE))
                    .unwrap_or_else(|error| panic!("{error}"));
                ours.release().expect("release");
            }
            PeerDeath::StaysHeld => {
                let held = ours
                    .acquire_with(Mode::Exclusive, Wait::For(A_WHILE))
                    .expect_err("still held");
                assert_eq!(held.kind(), Kind::TimedOut, "{held}");
                ours.release().expect("release on behalf of the dead");
                ours.acquire_with(Mode::Exclusive, Wait::Not)
                    .expect("now it is free");
            }
            other => panic!("{}: no test for {other}", facility.id),
        }
    }
}

#[test]
fn what_is_missing_is_not_found_and_what_exists_is_not_made_again() {
    for entry in CATALOG {
        let (Some(create), true) = (entry.create, entry.unlink.is_some()) else {
            continue;
        };
        let object = Object::new(entry, ChildIs::Sender);
        let target = catalog::resolve(&object.address())
            .expect("it resolves")
            .target;
        let Err(exists) = create(&target) else {
            panic!("{} was made a second time", object.address);
        };
        assert_eq!(exists.kind(), Kind::AlreadyExists, "{exists}");
        catalog::unlink(&object.address()).expect("remove");
        let missing = catalog::unlink(&object.address()).expect_err("it is gone");
        assert_eq!(missing.kind(), Kind::NotFound, "{missing}");
        for error in [exists, missing] {
            assert_eq!(error.to_string().lines().count(), 1);
            assert!(
                error.to_string().contains(error.object()) && !error.object().is_empty(),
                "{error}"
            );
        }
    }
}

#[test]
fn calls_are_carried_out_once_and_a_killed_server_is_noticed() {
    const TEST: &str = "calls_are_carried_out_once_and_a_killed_server_is_noticed";
    if part().is_some() {
        let Endpoint::Server(server) = mine(Opening::RECEIVE) else {
            panic!("not a server");
        };
        let mut handled = 0_u32;
        let counting = |request: wigwag::pattern::rpc::Request| {
            handled += 1;
            Ok([request.bytes(), &handled.to_le_bytes()].concat())
        };
        server.serve(counting).expect("serve");
        return;
    }
    let served = CATALOG
        .iter()
        .filter(|entry| matches!(entry.open, Some(catalog::Open::Calls)));
    for entry in served {
        let mut object = Object::new(entry, ChildIs::Receiver);
        let guarantees = entry.facility.guarantees;
        assert_eq!(guarantees.delivery, Delivery::AtMostOnce);
        assert_eq!(guarantees.peer_death, PeerDeath::Noticed);
        let mut child = object.child(TEST, "server");
        let Endpoint::Client(client) = object.open(BOTH) else {
            panic!("not a client");
        };
        let pending: Vec<_> = (1..=COUNT)
            .map(|number| client.start(&number.to_le_bytes()).expect("start"))
            .collect();
        // One client, one worker: in the order sent, none left out and none twice.
        for (number, pending) in (1..=COUNT).zip(pending) {
            let answer = pending.wait().expect("an answer");
            assert_eq!(
                answer,
                [number.to_le_bytes(); 2].concat(),
                "{}",
                entry.facility.id
            );
        }
        child.kill();
        let start = Instant::now();
        let error = client.call(b"").expect_err("the server is gone");
        assert_eq!(error.kind(), Kind::Disconnected, "{error}");
        assert!(start.elapsed() < PATIENCE);
    }
}
