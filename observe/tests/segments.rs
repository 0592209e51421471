//! Segments: shared memory that another process made with `wigwag::memory::Segment` is known by its type, state and creator.

mod peer;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::sync::atomic::AtomicU64;

use peer::{Peer, unique};
use wigwag::gate::{Condvar, Mutex, Semaphore};
use wigwag::memory::segment::{Options, Segment};
use wigwag_observe::object::Value;
use wigwag_observe::{Object, Snapshot};

wigwag::shared! {
    struct Ledger {
        entries: [AtomicU64; 1000],
    }
}

fn ledger() -> Ledger {
    Ledger {
        entries: [const { AtomicU64::new(0) }; 1000],
    }
}

/// The object with this name, whoever has it.
fn object(facility: &str, name: &str) -> Object {
    let snapshot = Snapshot::builder()
        .facilities([facility])
        .capture()
        .expect("a snapshot");
    let found = snapshot
        .objects
        .into_iter()
        .find(|object| object.name.to_string() == name);
    found.unwrap_or_else(|| panic!("{facility}:{name} is not listed"))
}

fn text<'o>(object: &'o Object, detail: &str) -> &'o str {
    match object.get(detail) {
        Some(Value::Text(text)) => text,
        other => panic!("{detail} is {other:?} in {object:#?}"),
    }
}

#[track_caller]
fn is_ledger(object: &Object, state: &str, creator: u32, alive: bool) {
    assert!(text(object, "segment").ends_with("::Ledger"), "{object:#?}");
    assert_eq!(text(object, "segment_state"), state);
    assert_eq!(
        object.get("segment_creator"),
        Some(&Value::Number(creator.into()))
    );
    assert_eq!(
        object.get("segment_creator_alive"),
        Some(&Value::Flag(alive)),
        "{object:#?}"
    );
    assert_eq!(
        object.get("segment_value_bytes"),
        Some(&Value::Number(size_of::<Ledger>() as i64))
    );
}

/// Makes the segment `PLACE`, says so, and keeps it until it is told to end.
fn creator() {
    let place = process::argument("PLACE");
    let segment = match &place[..] {
        "anonymous" => Segment::anonymous(ledger()),
        place => Segment::create(place, ledger()),
    }
    .expect("create");
    process::say("made");
    process::hear();
    drop(segment);
}

fn start(test: &str, place: &str) -> process::Child {
    let mut child = process::play(test, "creator", &[("PLACE", place)]).start();
    assert_eq!(child.line(), "made");
    child
}

#[test]
fn a_named_segment_is_known_while_its_creator_lives_and_after() {
    if process::part().is_some() {
        return creator();
    }
    let name = format!("/{}", unique("segment"));
    let _clean = peer::Cleanup(|| drop(Segment::<Ledger>::unlink(&name)));
    let child = start(
        "a_named_segment_is_known_while_its_creator_lives_and_after",
        &name,
    );
    let pid = child.pid().cast_unsigned();
    is_ledger(&object("shm", &name), "ready", pid, true);
    child.succeeds();
    let before = object("shm", &name);
    is_ledger(&before, "ready", pid, false);
    assert!(before.leak.is_some(), "nobody has it: {before:#?}");
    assert_eq!(before.last_used, object("shm", &name).last_used);
}

#[test]
fn segments_in_files_keys_and_anonymous_memory_are_known_through_those_who_map_them() {
    const TEST: &str =
        "segments_in_files_keys_and_anonymous_memory_are_known_through_those_who_map_them";
    if process::part().is_some() {
        return creator();
    }
    let directory = peer::Directory::new();
    let path = directory.file("ledger");
    let key = format!("{:#x}", 0x4000_0000 | std::process::id());
    let sysv = format!("sysv-shm:{key}");
    let _clean = peer::Cleanup(|| drop(Segment::<Ledger>::unlink(&sysv)));
    for (place, facility) in [
        (&*format!("file:{path}"), "file"),
        (&sysv, "sysv-shm"),
        ("anonymous", "memfd"),
    ] {
        let child = start(TEST, place);
        let ours: Vec<Object> = peer::of(facility, child.pid().cast_unsigned())
            .into_iter()
            .filter(|object| object.get("segment").is_some())
            .collect();
        assert_eq!(ours.len(), 1, "{place}: {ours:#?}");
        is_ledger(&ours[0], "ready", child.pid().cast_unsigned(), true);
        child.succeeds();
    }
}

#[test]
fn a_segment_is_being_made_until_its_value_is_there_and_for_ever_when_its_creator_is_killed() {
    const TEST: &str =
        "a_segment_is_being_made_until_its_value_is_there_and_for_ever_when_its_creator_is_killed";
    if process::part().is_some() {
        let slow = || {
            process::say("making");
            process::hear();
            ledger()
        };
        drop(Segment::open_or_create(process::argument("PLACE"), slow));
        return;
    }
    let name = format!("/{}", unique("half"));
    let _clean = peer::Cleanup(|| drop(std::fs::remove_file(format!("/dev/shm{name}"))));
    let mut child = process::play(TEST, "creator", &[("PLACE", &name)]).start();
    assert_eq!(child.line(), "making");
    let pid = child.pid().cast_unsigned();
    is_ledger(&object("shm", &name), "making", pid, true);
    child.kill();
    is_ledger(&object("shm", &name), "making", pid, false);
}

#[test]
fn other_memory_is_no_segment_and_looking_leaves_no_trace() {
    let name = unique("plain");
    let path = format!("/dev/shm/{name}");
    std::fs::write(&path, [b"wigwag\r\n".as_slice(), &[0xff; 5000]].concat()).expect("write");
    let _clean = peer::Cleanup(|| drop(std::fs::remove_file(&path)));
    // The access was before the change, so that any read would be noted.
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = std::fs::File::open(&path).expect("open");
    file.set_times(std::fs::FileTimes::new().set_accessed(old))
        .expect("set the times");
    let object = object("shm", &format!("/{name}"));
    assert_eq!(object.get("segment"), None, "{object:#?}");
    let accessed = file.metadata().and_then(|facts| facts.accessed());
    assert_eq!(accessed.expect("the time"), old);
}

#[test]
fn the_lease_on_a_mapped_file_is_not_broken_by_a_look() {
    let directory = peer::Directory::new();
    let path = directory.file("leased");
    let segment = Options::new()
        .create(format!("file:{path}"), ledger())
        .expect("create");
    drop(segment);
    let script = "f = os.open(sys.argv[1], os.O_RDWR)\n\
                  m = mmap.mmap(f, 0)\n\
                  signal.signal(signal.SIGIO, lambda *_: (print('broken', flush=True), os._exit(1)))\n\
                  fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                  ready()\nsys.stdin.readline()\n\
                  print(fcntl.fcntl(f, fcntl.F_GETLEASE) == fcntl.F_WRLCK, flush=True)";
    let mut peer = Peer::python(script, &[&path]);
    let seen = peer::of("file", peer.pid());
    is_ledger(
        seen.iter()
            .find(|object| object.get("segment").is_some())
            .unwrap_or_else(|| panic!("{seen:#?}")),
        "ready",
        std::process::id(),
        true,
    );
    peer.tell("");
    assert_eq!(peer.line(), "True", "the lease is as it was");
}

#[test]
fn memory_that_a_program_must_fill_in_is_not_touched() {
    assert!(unseen_of_memory_on_demand(false).is_empty());
}

#[test]
fn a_look_gives_up_memory_that_nobody_fills_in_and_keeps_the_rest() {
    // Faults of the kernel are served for root only; for others they fail at once, and nothing is lost.
    let unseen = unseen_of_memory_on_demand(true);
    assert!(
        unseen == ["memory"] || !rustix::process::geteuid().is_root(),
        "{unseen:?}"
    );
}

/// What could not be seen of a process with such memory; the descriptor that serves it is its own, or only a child's.
fn unseen_of_memory_on_demand(elsewhere: bool) -> Vec<String> {
    // Whoever reads the first page waits for a program that never answers: reading it would hang the look.
    let source = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <linux/userfaultfd.h>
        #include <signal.h>
        #include <sys/prctl.h>
        #include <stdio.h>
        #include <sys/ioctl.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(int count, char **arguments) {
            int file = memfd_create("filled-on-demand", 0);
            if (ftruncate(file, 65536) != 0) return 1;
            void *memory = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            /* Also for faults of the kernel, which only root may have. */
            int fault = syscall(SYS_userfaultfd, O_CLOEXEC);
            if (fault < 0) fault = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
            struct uffdio_api api = { .api = UFFD_API };
            struct uffdio_register all = { .range = { (unsigned long)memory, 65536 },
                                           .mode = UFFDIO_REGISTER_MODE_MISSING };
            if (ioctl(fault, UFFDIO_API, &api) != 0 || ioctl(fault, UFFDIO_REGISTER, &all) != 0) {
                perror("userfaultfd");
                return 1;
            }
            /* A child keeps the descriptor and dies with its parent; nothing shows that the memory is the parent's. */
            if (count > 1) {
                if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); munmap(memory, 65536); pause(); }
                close(fault);
            }
            puts("ready");
            fflush(stdout);
            getchar();
        }"#;
    let peer = if elsewhere {
        Peer::c("on-demand", source, &["elsewhere"])
    } else {
        Peer::c("on-demand", source, &[])
    };
    let snapshot = Snapshot::builder()
        .patience(std::time::Duration::from_secs(1))
        .capture()
        .expect("a snapshot");
    assert!(
        snapshot.process(peer.pid()).is_some(),
        "{:?}",
        snapshot.unseen
    );
    let unseen: Vec<String> = snapshot
        .unseen
        .iter()
        .filter(|unseen| unseen.pid == Some(peer.pid()))
        .map(|unseen| unseen.what.clone())
        .collect();
    let memory = snapshot
        .objects
        .iter()
        .find(|object| object.name.to_string() == "filled-on-demand")
        .expect("the memory");
    assert_eq!(memory.get("segment"), None);
    assert!(
        memory
            .holders
            .iter()
            .any(|holder| holder.mapped_at.is_some())
    );
    unseen
}

wigwag::shared! {
    struct Account { pence: Mutex<i64> }
    struct Bank { accounts: [Account; 3], tellers: Semaphore, open: Condvar, visits: AtomicU64 }
}

/// Holds the mutex of the second account until it is told to end.
fn holder() {
    let bank = Segment::<Bank>::open(process::argument("PLACE")).expect("open");
    let held = bank.accounts[1].pence.lock();
    process::say("held");
    process::hear();
    drop(held);
}

/// Wants the same.
fn wanter() {
    let bank = Segment::<Bank>::open(process::argument("PLACE")).expect("open");
    process::say("wants");
    drop(bank.accounts[1].pence.lock());
}

#[test]
fn the_gates_in_a_segment_are_told_with_owner_and_waiter() {
    match process::part().as_deref() {
        Some("holder") => return holder(),
        Some(_) => return wanter(),
        None => {}
    }
    let name = format!("/{}", unique("bank"));
    let account = || Account {
        pence: Mutex::new(0),
    };
    let bank = Bank {
        accounts: [account(), account(), account()],
        tellers: Semaphore::new(7),
        open: Condvar::new(),
        visits: AtomicU64::new(0),
    };
    let _bank = Options::new()
        .temporary(true)
        .create(&name, bank)
        .expect("create");
    let gates = || match object("shm", &name).get("segment_gates") {
        Some(Value::Gates(gates)) => gates.clone(),
        other => panic!("{other:?}"),
    };
    let test = "the_gates_in_a_segment_are_told_with_owner_and_waiter";
    let all = gates();
    let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "mutex accounts[0].pence: free",
            "mutex accounts[1].pence: free",
            "mutex accounts[2].pence: free",
            "semaphore tellers: 7 left",
            "condition variable open",
        ]
    );
    let mut holder = process::play(test, "holder", &[("PLACE", &name)]).start();
    holder.says("held");
    let owner = gates()[1].owner.expect("an owner");
    let thread = format!("/proc/{}/task/{owner}", holder.pid());
    assert!(std::path::Path::new(&thread).exists(), "{thread}");
    let mut wanter = process::play(test, "wanter", &[("PLACE", &name)]).start();
    wanter.says("wants");
    process::eventually("somebody waits", || gates()[1].waited_for == Some(true));
    assert_eq!(gates()[0].owner, None);
    holder.kill();
    wanter.succeeds();
    let after = &gates()[1];
    assert!(after.orphaned && after.owner.is_none(), "{after:?}");
}
