//! Agreement with the tools of the field: over a machine full of objects, each sees what `lsipc`, `lslocks`, `lsfd`, `ss` and `lsof` see.

mod peer;

use std::collections::BTreeSet;
use std::process::Command;

use peer::{Directory, Peer, tool, unique};
use wigwag_observe::Snapshot;
use wigwag_observe::object::{Role, Unit, Value};

/// Something of everything.
struct Crowd {
    _directory: Directory,
    peers: Vec<Peer>,
    _cleanup: peer::Cleanup<Box<dyn FnMut()>>,
}

fn crowd() -> Crowd {
    let directory = Directory::new();
    let (fifo, lock, socket) = (
        directory.file("fifo"),
        directory.file("lock"),
        directory.file("socket"),
    );
    let name = unique("crowd");
    let script = "import posix_ipc, sysv_ipc\n\
        os.mkfifo(sys.argv[1])\nf = os.open(sys.argv[1], os.O_RDWR)\n\
        pipes = [os.pipe() for _ in range(20)]\n\
        l = open(sys.argv[2], 'w')\nfcntl.flock(l, fcntl.LOCK_EX)\nfcntl.lockf(l, fcntl.LOCK_EX, 5, 7)\n\
        s = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[3])\ns.listen(5)\n\
        pairs = [socket.socketpair() for _ in range(5)]\n\
        t = socket.socket()\nt.bind(('127.0.0.1', 0))\nt.listen()\nc = socket.create_connection(t.getsockname())\nd, _ = t.accept()\n\
        q = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)\nq.send(b'1234')\n\
        e = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=3)\n\
        m = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=4096)\n\
        p = posix_ipc.SharedMemory('/' + sys.argv[4], posix_ipc.O_CREX, size=4096)\n\
        ready()\nsys.stdin.read()\nq.remove(); e.remove(); m.detach(); m.remove()";
    let peer = Peer::python(script, &[&fifo, &lock, &socket, &name]);
    let wait = Peer::python(
        "f = open(sys.argv[1], 'r+')\nready()\nfcntl.flock(f, fcntl.LOCK_EX)",
        &[&lock],
    );
    wait.sleeps_in(&[libc::SYS_flock]);
    let cleanup = move || drop(std::fs::remove_file(format!("/dev/shm/{name}")));
    Crowd {
        _directory: directory,
        peers: vec![peer, wait],
        _cleanup: peer::Cleanup(Box::new(cleanup)),
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It removes its System V objects when its input ends.
        self.peers.pop();
        self.peers[0].end();
    }
}

fn json(command: &mut Command, list: &str) -> Vec<serde_json::Value> {
    let text = tool(command);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value[list].as_array().cloned().unwrap_or_default()
}

fn number(value: &serde_json::Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_tools_of_the_field_see_the_same() {
    // What was left behind by a process that had the same number is not ours.
    let before = Snapshot::capture().expect("a snapshot");
    let crowd = crowd();
    let pid = crowd.peers[0].pid();
    let mut snapshot = Snapshot::capture().expect("a snapshot");
    snapshot.objects.retain(|object| {
        let is =
            |old: &wigwag_observe::Object| (old.facility, old.id) == (object.facility, object.id);
        !object.facility.starts_with("sysv-") || !before.objects.iter().any(is)
    });
    lsipc(&snapshot, pid);
    lslocks(&snapshot, pid, crowd.peers[1].pid());
    lsfd(&snapshot, pid);
    lsof(&snapshot, pid);
    ss(&snapshot, pid);
}

/// All objects, with what is in them, of the whole machine: other tests make and remove theirs meanwhile, so only ours must agree.
fn lsipc(snapshot: &Snapshot, pid: u32) {
    let ours = |facility: &str| -> Vec<_> {
        let mine = |object: &&wigwag_observe::Object| {
            ["creator", "last_sender"]
                .iter()
                .any(|name| object.get(name) == Some(&Value::Number(i64::from(pid))))
                || matches!(object.get("values"), Some(Value::Semaphores(all)) if all.iter().any(|one| one.last == pid))
        };
        snapshot
            .objects
            .iter()
            .filter(|object| object.facility == facility)
            .filter(mine)
            .collect()
    };
    let queues = json(
        Command::new("lsipc").args(["-q", "-J", "-b", "-o", "ID,USEDBYTES,MSGS"]),
        "messages",
    );
    let [queue] = ours("sysv-mq")[..] else {
        panic!("one queue of ours")
    };
    let theirs = queues
        .iter()
        .find(|row| Some(number(&row["id"])) == queue.id)
        .expect("lsipc lists it");
    let level = |unit| {
        queue
            .fill
            .iter()
            .find(|fill| fill.unit == unit)
            .map(|fill| fill.level)
    };
    assert_eq!(level(Unit::Messages), Some(number(&theirs["msgs"])));
    assert_eq!(level(Unit::Bytes), Some(number(&theirs["usedbytes"])));
    let segments = json(
        Command::new("lsipc").args(["-m", "-J", "-b", "-o", "ID,SIZE,NATTCH,CPID"]),
        "sharedmemory",
    );
    let [segment] = ours("sysv-shm")[..] else {
        panic!("one segment of ours")
    };
    let theirs = segments
        .iter()
        .find(|row| Some(number(&row["id"])) == segment.id)
        .expect("lsipc lists it");
    assert_eq!(segment.fill[0].capacity, Some(number(&theirs["size"])));
    assert_eq!(
        segment.get("attached"),
        Some(&Value::Number(number(&theirs["nattch"]).cast_signed()))
    );
    let sets = json(
        Command::new("lsipc").args(["-s", "-J", "-o", "ID,NSEMS"]),
        "semaphores",
    );
    let [set] = ours("sysv-sem")[..] else {
        panic!("one set of ours")
    };
    let theirs = sets
        .iter()
        .find(|row| Some(number(&row["id"])) == set.id)
        .expect("lsipc lists it");
    assert_eq!(
        set.get("semaphores"),
        Some(&Value::Number(number(&theirs["nsems"]).cast_signed()))
    );
}

fn lslocks(snapshot: &Snapshot, holder: u32, waiter: u32) {
    let rows = json(
        Command::new("lslocks").args(["-J", "-b", "-o", "PID,TYPE,MODE,START,END,PATH,BLOCKER"]),
        "locks",
    );
    let of = |pid: u32| {
        rows.iter()
            .filter(move |row| row["pid"].as_u64() == Some(u64::from(pid)))
    };
    assert_eq!(of(holder).count(), 2);
    for row in of(holder) {
        let facility = match row["type"].as_str() {
            Some("FLOCK") => "flock",
            Some("POSIX") => "lockf",
            other => panic!("{other:?}"),
        };
        let found = snapshot.objects.iter().find(|lock| {
            lock.facility == facility
                && lock.holders.iter().any(|one| one.pid == holder)
                && Some(lock.name.to_string().as_str()) == row["path"].as_str()
                && lock.get("start") == Some(&Value::Number(number(&row["start"]).cast_signed()))
        });
        let lock = found.unwrap_or_else(|| panic!("not listed: {row}"));
        assert_eq!(
            lock.state.as_deref().map(str::to_uppercase).as_deref(),
            row["mode"].as_str()
        );
        if facility == "flock" {
            let theirs: Vec<_> = of(waiter).map(|row| row["blocker"].as_u64()).collect();
            assert_eq!(theirs, [Some(u64::from(holder))]);
            assert_eq!(
                lock.waiters.iter().map(|one| one.pid).collect::<Vec<_>>(),
                [waiter]
            );
        }
    }
}

fn ends(snapshot: &Snapshot, facilities: &[&str], pid: u32) -> BTreeSet<i32> {
    let objects = snapshot
        .objects
        .iter()
        .filter(|object| facilities.contains(&object.facility));
    objects
        .flat_map(|object| &object.holders)
        .filter(|holder| holder.pid == pid && holder.role != Role::Owns)
        .filter_map(|holder| holder.fd)
        .collect()
}

fn lsfd(snapshot: &Snapshot, pid: u32) {
    let rows = json(
        Command::new("lsfd").args(["-J", "-p", &pid.to_string(), "-o", "FD,TYPE,MODE"]),
        "lsfd",
    );
    let theirs = |kinds: &[&str]| -> BTreeSet<i32> {
        let fits = |row: &&serde_json::Value| {
            row["type"]
                .as_str()
                .is_some_and(|kind| kinds.contains(&kind))
        };
        rows.iter()
            .filter(fits)
            .filter_map(|row| i32::try_from(row["fd"].as_u64()?).ok())
            .collect()
    };
    assert_eq!(ends(snapshot, &["pipe", "fifo"], pid), theirs(&["FIFO"]));
    assert_eq!(
        ends(
            snapshot,
            &["unix", "unix-dgram", "unix-seqpacket", "tcp", "udp"],
            pid
        ),
        theirs(&["SOCK"])
    );
}

fn lsof(snapshot: &Snapshot, pid: u32) {
    // -F: one field a line, f descriptor, t type.
    let text = tool(Command::new("lsof").args(["-nP", "-w", "-p", &pid.to_string(), "-F", "ft"]));
    let mut fd = None;
    let mut theirs = BTreeSet::new();
    for line in text.lines() {
        match line.split_at(1) {
            ("f", number) => fd = number.parse::<i32>().ok(),
            ("t", "FIFO" | "unix" | "IPv4") => theirs.extend(fd),
            _ => {}
        }
    }
    assert_eq!(
        ends(
            snapshot,
            &[
                "pipe",
                "fifo",
                "unix",
                "unix-dgram",
                "unix-seqpacket",
                "tcp",
                "udp"
            ],
            pid
        ),
        theirs
    );
}

fn ss(snapshot: &Snapshot, pid: u32) {
    // netid state recv-q send-q local port peer port users
    let text = tool(Command::new("ss").args(["-xHap"]));
    let mark = format!("pid={pid},");
    let mut count = 0;
    for line in text.lines().filter(|line| line.contains(&mark)) {
        let words: Vec<_> = line.split_whitespace().collect();
        let (state, receive, ino, peer) = (words[1], words[2], words[5], words[7]);
        let socket = snapshot.objects.iter().find(|object| {
            object.facility == "unix" && object.id.map(|id| id.to_string()).as_deref() == Some(ino)
        });
        let socket = socket.unwrap_or_else(|| panic!("not listed: {line}"));
        assert_eq!(
            socket.state.as_deref() == Some("listening"),
            state == "LISTEN",
            "{line}"
        );
        assert_eq!(socket.fill[0].level.to_string(), receive, "{line}");
        if state == "ESTAB" {
            assert_eq!(
                socket.peers[0].id.map(|id| id.to_string()).as_deref(),
                Some(peer),
                "{line}"
            );
        }
        count += 1;
    }
    assert_eq!(count, 11);
    let text = tool(Command::new("ss").args(["-tnHap"]));
    for line in text.lines().filter(|line| line.contains(&mark)) {
        let words: Vec<_> = line.split_whitespace().collect();
        let found = snapshot.objects.iter().any(|object| {
            object.facility == "tcp"
                && object.name.to_string() == words[3]
                && (words[0] == "LISTEN"
                    || object
                        .peers
                        .iter()
                        .any(|peer| peer.name.to_string() == words[4]))
        });
        assert!(found, "not listed: {line}");
        count += 1;
    }
    assert_eq!(count, 14);
}
