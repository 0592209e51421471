//! Gates by address: every kind is made, entered, left and removed from one line of text.
#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::time::Duration;

use process::{Directory, unique};
use wigwag::gate::{Gate, Mode};
use wigwag::{Address, Endpoint, Error, Kind, Opening, Role, Wait, Way, catalog};

const SERVE: Opening = Opening {
    role: Role::Serve,
    way: Way::Both,
    wait: Wait::Forever,
};
const JOIN: Opening = Opening {
    role: Role::Join,
    way: Way::Both,
    wait: Wait::Forever,
};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn gate(text: &str, opening: Opening) -> Result<Box<dyn Gate>, Error> {
    match wigwag::open(&address(text), opening)? {
        Endpoint::Gate(gate) => Ok(gate),
        _ => panic!("{text} is no gate"),
    }
}

fn refusal<T>(result: Result<T, Error>, kind: Kind, words: &str) {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

/// One goes in, the other is kept out, in time, until the first leaves.
fn excludes(here: &dyn Gate, there: &dyn Gate) {
    here.acquire_with(Mode::Exclusive, Wait::Forever).unwrap();
    refusal(
        there.acquire_with(Mode::Exclusive, Wait::Not),
        Kind::WouldBlock,
        "cannot",
    );
    let short = Wait::For(Duration::from_millis(5));
    refusal(
        there.acquire_with(Mode::Exclusive, short),
        Kind::TimedOut,
        "cannot",
    );
    here.release().unwrap();
    there
        .acquire_with(Mode::Exclusive, Wait::For(process::PATIENCE))
        .unwrap();
    there.release().unwrap();
}

#[test]
fn a_named_semaphore_is_made_found_and_removed() {
    let names = [
        format!("sem:/{}", unique("address")),
        format!("sysv-sem:{:#x}", 0x5900_0000 | std::process::id()),
    ];
    for name in &names {
        refusal(
            gate(name, JOIN),
            Kind::NotFound,
            "whoever serves or creates it comes first",
        );
        catalog::create(&address(name)).unwrap();
        let (here, there) = (gate(name, JOIN).unwrap(), gate(name, SERVE).unwrap());
        excludes(&*here, &*there);
        assert_eq!(here.available().unwrap(), Some(1));
        refusal(
            here.acquire_with(Mode::Shared, Wait::Not),
            Kind::BadInput,
            "no shared mode",
        );
        refusal(
            gate(&format!("{name}?exclusive"), SERVE),
            Kind::AlreadyExists,
            "exists",
        );
        refusal(
            catalog::create(&address(&format!("{name}?temporary"))),
            Kind::BadInput,
            "nothing would stay",
        );
        catalog::unlink(&address(name)).unwrap();
        refusal(catalog::unlink(&address(name)), Kind::NotFound, "cannot");
        let three = gate(&format!("{name}?value=3&temporary"), SERVE).unwrap();
        assert_eq!(three.available().unwrap(), Some(3));
        drop(three);
        refusal(gate(name, JOIN), Kind::NotFound, "cannot");
    }
}

#[test]
fn one_semaphore_of_a_set_is_meant() {
    let name = format!("sysv-sem:{:#x}", 0x5A00_0000 | std::process::id());
    let second = gate(
        &format!("{name}?count=3&index=1&value=2&temporary&undo=no"),
        SERVE,
    )
    .unwrap();
    second.acquire_with(Mode::Exclusive, Wait::Not).unwrap();
    let available = |index| {
        gate(&format!("{name}?index={index}"), JOIN)
            .unwrap()
            .available()
            .unwrap()
    };
    assert_eq!(
        (available(0), available(1), available(2)),
        (Some(2), Some(1), Some(2))
    );
    refusal(
        gate(&format!("{name}?index=3"), JOIN),
        Kind::BadInput,
        "it has 3 semaphores",
    );
    refusal(
        gate(&format!("{name}?index=-1"), JOIN),
        Kind::BadInput,
        "option index=-1",
    );
}

#[test]
fn file_locks_are_taken_on_files_that_are_made_for_it() {
    let directory = Directory::new();
    for scheme in ["flock", "ofd"] {
        let name = format!("{scheme}:{}", directory.file(scheme).display());
        refusal(
            gate(&format!("{name}?create=no"), SERVE),
            Kind::NotFound,
            "no such file",
        );
        let (here, there) = (gate(&name, SERVE).unwrap(), gate(&name, JOIN).unwrap());
        excludes(&*here, &*there);
        here.acquire_with(Mode::Shared, Wait::Not).unwrap();
        there.acquire_with(Mode::Shared, Wait::Not).unwrap();
        assert_eq!(here.available().unwrap(), None);
    }
    let name = format!("ofd:{}", directory.file("range").display());
    let first = gate(&format!("{name}?range=0..10"), SERVE).unwrap();
    first.acquire_with(Mode::Exclusive, Wait::Not).unwrap();
    gate(&format!("{name}?range=10.."), SERVE)
        .unwrap()
        .acquire_with(Mode::Exclusive, Wait::Not)
        .unwrap();
    refusal(
        gate(&format!("{name}?range=9..11"), SERVE)
            .unwrap()
            .acquire_with(Mode::Exclusive, Wait::Not),
        Kind::WouldBlock,
        "cannot lock OFD lock",
    );
    // A record lock belongs to the process, which is never in its own way; an OFD lock is.
    let record = gate(
        &format!("lockf:{}?range=0..10", directory.file("range").display()),
        SERVE,
    )
    .unwrap();
    refusal(
        record.acquire_with(Mode::Exclusive, Wait::Not),
        Kind::WouldBlock,
        "cannot lock record lock",
    );
    refusal(
        gate(
            &format!("flock:{}?range=0..1", directory.file("f").display()),
            SERVE,
        ),
        Kind::BadInput,
        "no such option",
    );
    refusal(
        gate(&format!("{name}?range=5..5"), SERVE),
        Kind::BadInput,
        "empty",
    );
}

#[test]
fn gates_without_a_name_are_made_or_inherited() {
    let event = gate("eventfd:?value=2&semaphore", SERVE).unwrap();
    event.acquire_with(Mode::Exclusive, Wait::Not).unwrap();
    assert_eq!(event.available().unwrap(), Some(1));
    refusal(
        gate("eventfd:?fd=0&value=1", SERVE),
        Kind::BadInput,
        "an inherited counter",
    );
    refusal(
        gate("sem-unnamed:", SERVE),
        Kind::BadInput,
        "sem-unnamed:?fd=5&offset=64",
    );

    use std::os::fd::{AsFd, AsRawFd};
    let memory = wigwag::memory::memfd::Memfd::create("gates", 4096).unwrap();
    let fd = memory.as_fd().as_raw_fd();
    let here = gate(
        &format!("sem-unnamed:?fd={fd}&offset=64&value=1&binary"),
        SERVE,
    )
    .unwrap();
    let there = gate(&format!("sem-unnamed:?fd={fd}&offset=64"), JOIN).unwrap();
    excludes(&*here, &*there);
    refusal(here.release(), Kind::Limit, "one permit is there");
    refusal(
        gate(&format!("sem-unnamed:?fd={fd}&offset=4090"), JOIN),
        Kind::BadInput,
        "multiple of",
    );
    refusal(
        gate(&format!("sem-unnamed:?fd={fd}&offset=4088"), JOIN),
        Kind::BadInput,
        "not inside",
    );
}
