//! Odd cases: names of any bytes, deleted files, other users, other namespaces, processes that come and go; and nothing is changed.

mod peer;

use std::os::unix::process::CommandExt;
use std::process::Command;

use peer::{Directory, Peer, list, of, only, unique};
use wigwag_observe::object::{LeakCertainty, LeakKind, Object, Role};
use wigwag_observe::{Snapshot, remove};

#[test]
fn names_of_any_bytes_are_kept_exactly_and_shown_on_one_line() {
    let directory = Directory::new();
    let script = "n = os.fsencode(sys.argv[1]) + b'/a\\n b\\xff?c (deleted)'\nos.mkfifo(n)\nf = os.open(n, os.O_RDWR)\nl = open(n + b'.lock', 'w')\nfcntl.flock(l, fcntl.LOCK_EX)\nstay()";
    let peer = Peer::python(script, &[directory.path().to_str().expect("UTF-8")]);
    let fifo = only("fifo", peer.pid(), |_| true);
    let shown = fifo.name.to_string();
    assert!(
        !shown.contains('\n') && shown.contains("a\\n b\\xff?c"),
        "{shown}"
    );
    assert!(
        fifo.name_bytes
            .as_ref()
            .is_some_and(|bytes| bytes.contains(&0xff))
    );
    let lock = only("flock", peer.pid(), |_| true);
    assert!(
        lock.name
            .as_bytes()
            .ends_with(b"/a\n b\xff?c (deleted).lock")
    );
}

#[test]
fn a_deleted_fifo_is_listed_without_an_address() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    let peer = Peer::python(
        "os.mkfifo(sys.argv[1])\nf = os.open(sys.argv[1], os.O_RDWR)\nos.unlink(sys.argv[1])\nstay()",
        &[&path],
    );
    let fifo = only("fifo", peer.pid(), |_| true);
    assert_eq!(
        (fifo.address, fifo.state.as_deref()),
        (None, Some("deleted"))
    );
}

#[test]
fn an_ordinary_user_sees_his_own_and_is_told_what_he_cannot_see() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test changes users: run it as root (CI does)"
    );
    // The system's own: one in somebody's home directory is not for other users.
    let mut command = Command::new("/usr/bin/python3");
    command.uid(65534).gid(65534).arg("-c").arg("import os, sys\nr, w = os.pipe()\nos.write(w, b'abc')\nprint('ready', flush=True)\nsys.stdin.read()");
    let theirs = Peer::start(&mut command);
    let directory = Directory::new();
    let example = example(&directory);
    let output = Command::new(&example)
        .args(["pipe", "fifo"])
        .uid(65534)
        .gid(65534)
        .output()
        .expect("run the example");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains(&format!("[{}] reads by descriptor", theirs.pid())),
        "{text}"
    );
    assert!(text.contains("3 of 65536 Bytes"), "{text}");
    assert!(
        text.contains("not seen: Unseen") && text.contains("not permitted"),
        "{text}"
    );
}

#[test]
fn hidden_processes_are_told_of_and_make_no_leak_certain() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test changes users: run it as root (CI does)"
    );
    let name = unique("hidden");
    let path = format!("/dev/shm/{name}");
    // Somebody else has it open.
    let script = format!(
        "import os, sys\nf = os.open('{path}', os.O_CREAT | os.O_RDWR, 0o666)\nprint('ready', flush=True)\nsys.stdin.read()"
    );
    let _theirs = Peer::start(Command::new("/usr/bin/python3").args(["-c", &script]));
    let directory = Directory::new();
    let example = example(&directory);
    let mount = "mount -t proc -o hidepid=invisible proc /proc; exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", mount, "sh"])
        .arg(&example)
        .arg("shm")
        .output()
        .expect("unshare (util-linux)");
    let _ = std::fs::remove_file(&path);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("they are hidden"), "{text}");
    let lines = text.split_once(&name).expect("the object is listed").1;
    let leak = lines.lines().find(|line| line.contains("LEAK"));
    assert!(leak.is_some_and(|leak| leak.contains("Likely")), "{text}");
}

/// The example `list`, where another user can run it.
fn example(directory: &Directory) -> String {
    let built = std::env::current_exe().expect("own path");
    let built = built
        .parent()
        .and_then(std::path::Path::parent)
        .expect("target directory")
        .join("examples/list");
    let copy = directory.file("list");
    std::fs::copy(&built, &copy).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    copy
}

#[test]
fn objects_of_other_namespaces_are_listed_without_an_address() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes namespaces: run it as root (CI does)"
    );
    let script = "import posix_ipc, sysv_ipc, socket, sys\nq = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)\nq.send(b'12345')\np = posix_ipc.MessageQueue('/inside', posix_ipc.O_CREX)\nl = socket.socket()\nl.bind(('0.0.0.0', 5555))\nl.listen()\nu = socket.socket(socket.AF_UNIX)\nu.bind('\\0inside')\nu.listen()\nprint('ready', flush=True)\nsys.stdin.read()";
    let mut command = Command::new("unshare");
    command
        .args(["--ipc", "--net", "--"])
        .arg(peer::python().get_program())
        .arg("-c")
        .arg(script);
    let peer = Peer::start(&mut command);
    let snapshot = Snapshot::capture().expect("a snapshot");
    let queue = snapshot.objects.iter().find(|object| {
        object.facility == "sysv-mq"
            && object.get("ipc_namespace").is_some()
            && object.fill[0].level == 5
    });
    assert!(
        queue.is_some_and(|queue| queue.address.is_none()),
        "{:?}",
        snapshot.unseen
    );
    let posix = snapshot
        .objects
        .iter()
        .find(|object| object.facility == "mq" && object.name.to_string() == "/inside")
        .expect("the queue");
    assert!(
        posix.address.is_none() && posix.holders.iter().any(|holder| holder.pid == peer.pid()),
        "{posix:#?}"
    );
    for (facility, name) in [("tcp", "0.0.0.0:5555"), ("unix", "@inside")] {
        let socket = snapshot
            .objects
            .iter()
            .find(|object| object.facility == facility && object.name.to_string() == name)
            .expect("the socket");
        assert!(
            socket.address.is_none()
                && socket.holders[0].pid == peer.pid()
                && socket.get("net_namespace").is_some(),
            "{socket:#?}"
        );
    }
}

#[test]
fn inside_a_pid_namespace_it_works_with_the_numbers_there() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes namespaces: run it as root (CI does)"
    );
    let directory = Directory::new();
    let example = example(&directory);
    let output = Command::new("unshare")
        .args([
            "-pf",
            "--mount-proc",
            "bash",
            "-c",
            "sleep 60 | sleep 60 & sleep 0.2; \"$0\" pipe; kill %1",
            &example,
        ])
        .output()
        .expect("unshare (util-linux)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("sleep [2]") || text.contains("sleep [3]"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn processes_that_come_and_go_do_no_harm() {
    let mut storm = Peer::start_only(
        Command::new("bash").args(["-c", "while true; do (true | true) & /bin/true; wait; done"]),
    );
    for _ in 0..50 {
        let snapshot = Snapshot::capture().expect("a snapshot");
        assert!(
            snapshot
                .processes
                .iter()
                .any(|process| process.pid == std::process::id())
        );
        let lost: Vec<_> = snapshot
            .unseen
            .iter()
            .filter(|unseen| unseen.reason != "not permitted")
            .collect();
        assert!(lost.iter().all(|unseen| unseen.pid.is_none()), "{lost:?}");
    }
    storm.kill();
}

#[test]
fn a_look_opens_no_end_of_a_pipe_and_interrupts_nobody() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    let blocked = Peer::python(
        "os.mkfifo(sys.argv[1])\nready()\nos.open(sys.argv[1], os.O_WRONLY)\nprint('opened', flush=True)",
        &[&path],
    );
    blocked.sleeps_in(&[libc::SYS_openat]);
    let script = "r, w = os.pipe()\np = select.epoll()\np.register(r, select.EPOLLIN)\nready()\nprint('woken', p.poll(), flush=True)";
    let mut poller = Peer::python(script, &[]);
    poller.sleeps_in(&[libc::SYS_epoll_pwait, 232]);
    // A writer whose reader is gone gets EPIPE, also while we look.
    let mut writer = Peer::python(
        "signal.signal(signal.SIGPIPE, signal.SIG_IGN)\nr, w = os.pipe()\nos.close(r)\nready()\nn = 0\nwhile n < 20000:\n    try: os.write(w, b'x'); print('written', flush=True); break\n    except BrokenPipeError: n += 1\nelse: print('always broken', flush=True)\nsys.stdin.read()",
        &[],
    );
    for _ in 0..100 {
        Snapshot::capture().expect("a snapshot");
    }
    blocked.sleeps_in(&[libc::SYS_openat]);
    poller.sleeps_in(&[libc::SYS_epoll_pwait, 232]);
    assert_eq!(writer.line(), "always broken");
    poller.kill();
}

#[test]
fn a_forgotten_write_end_is_a_leak_with_its_descriptor() {
    let peer = Peer::python("r, w = os.pipe()\nready()\nos.read(r, 1)", &[]);
    peer.sleeps_in(&[libc::SYS_read]);
    let pipe = only("pipe", peer.pid(), |pipe| {
        pipe.holders.iter().all(|holder| holder.pid == peer.pid()) && pipe.holders.len() == 2
    });
    let leak = pipe.leak.as_ref().expect("a leak");
    let end = pipe
        .holders
        .iter()
        .find(|holder| holder.role == Role::Writes)
        .and_then(|holder| holder.fd)
        .expect("the write end");
    assert_eq!(leak.kind, LeakKind::NeverEnds);
    assert!(
        leak.reason.contains(&format!("(descriptor {end})")),
        "{}",
        leak.reason
    );
}

#[test]
fn what_is_in_use_is_not_removed_without_force() {
    let name = unique("rm");
    let script = "import posix_ipc, sysv_ipc\nm = posix_ipc.SharedMemory('/' + sys.argv[1], posix_ipc.O_CREX, size=4096)\ns = posix_ipc.Semaphore('/' + sys.argv[1], posix_ipc.O_CREX)\nq = posix_ipc.MessageQueue('/' + sys.argv[1], posix_ipc.O_CREX)\nv = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=4096)\nready()\nprint(v.id, flush=True)\nsys.stdin.read()";
    let mut peer = Peer::python(script, &[&name]);
    let id = peer.line();
    let segment: u64 = id.parse().expect("a number");
    let key = list("sysv-shm")
        .objects
        .iter()
        .find(|object| object.id == Some(segment))
        .and_then(|object| object.address.clone())
        .expect("listed");
    let addresses = [
        format!("shm:/{name}"),
        format!("sem:/{name}"),
        format!("mq:/{name}"),
        key,
    ];
    for address in &addresses {
        let error = remove(&address.parse().expect("an address"), false).expect_err("in use");
        assert_eq!(error.kind(), wigwag::Kind::WouldBlock, "{error}");
        assert!(
            error.to_string().contains(&format!("[{}]", peer.pid())),
            "{error}"
        );
    }
    peer.kill();
    // A look of another test may have had one open for longer than a look waits for it.
    let leaked = (0..5)
        .map(|_| Snapshot::capture().expect("a snapshot"))
        .find(|leaked| {
            let leak = |address: &String| leaked.find(address)[0].leak.is_some();
            addresses.iter().all(leak)
        })
        .expect("four leaks");
    for address in &addresses {
        let object = leaked.find(address)[0];
        assert_eq!(
            object.remove(false).expect("nobody uses it").address,
            *address
        );
        let error = remove(&address.parse().expect("an address"), false).expect_err("gone");
        assert_eq!(error.kind(), wigwag::Kind::NotFound, "{error}");
    }
    let forced = Peer::python(
        "import posix_ipc\nq = posix_ipc.MessageQueue('/' + sys.argv[1], posix_ipc.O_CREX)\nstay()",
        &[&name],
    );
    let removed =
        remove(&format!("mq:/{name}").parse().expect("an address"), true).expect("by force");
    let users: Vec<u32> = removed.users.iter().map(|user| user.pid).collect();
    assert!(users.contains(&forced.pid()), "{users:?}");
    let pipe = of("pipe", forced.pid()).remove(0);
    assert_eq!(
        pipe.remove(true).expect_err("no name").kind(),
        wigwag::Kind::Unsupported
    );
}

#[test]
fn looks_of_other_threads_are_no_users() {
    let name = unique("looks");
    let script = "import posix_ipc\nm = posix_ipc.SharedMemory('/' + sys.argv[1], posix_ipc.O_CREX, size=4096)\ns = posix_ipc.Semaphore('/' + sys.argv[1], posix_ipc.O_CREX)\nq = posix_ipc.MessageQueue('/' + sys.argv[1], posix_ipc.O_CREX)\nos.mkfifo(sys.argv[2])\nf = os.open(sys.argv[2], os.O_RDWR)\nstay()";
    let directory = Directory::new();
    let fifo = directory.file("fifo");
    let mut peer = Peer::python(script, &[&name, &fifo]);
    let ended = std::sync::atomic::AtomicBool::new(false);
    let own = std::process::id();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    Snapshot::capture().expect("a snapshot");
                }
            });
        }
        let seen = std::panic::catch_unwind(|| {
            // A look waits a quarter of a second at most for those of others, which a busy machine may stop for longer.
            let mut mistaken = Vec::new();
            for _ in 0..20 {
                let facilities = ["shm", "sem", "mq", "fifo", "pidfd"];
                let snapshot = Snapshot::builder()
                    .facilities(facilities)
                    .capture()
                    .expect("a snapshot");
                // Other tests of this process use objects of their own.
                let theirs = |object: &Object| {
                    let address = object.address.as_deref().unwrap_or_default();
                    address.ends_with(&name) || address.ends_with(&fifo)
                };
                let used = |object: &Object| object.holders.iter().any(|holder| holder.pid == own);
                let mut objects = snapshot.objects.into_iter();
                mistaken.extend(objects.find(|object| theirs(object) && used(object)));
            }
            assert!(mistaken.len() < 3, "{mistaken:#?}");
        });
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        seen.expect("no look is a use");
    });
    peer.kill();
    for scheme in ["shm", "sem", "mq"] {
        let address = format!("{scheme}:/{name}").parse().expect("an address");
        let _ = remove(&address, false).expect("nobody uses it");
    }
}

#[test]
fn what_is_handed_on_by_processes_that_come_and_go_is_no_leak() {
    let name = unique("chain");
    let path = format!("/dev/shm/{name}");
    let _cleanup = peer::Cleanup(|| drop(std::fs::remove_file(&path)));
    // Each lives for 5 ms and leaves it to its child.
    let script = "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\nos.ftruncate(fd, 4096)\nm = mmap.mmap(fd, 4096)\nready()\nwhile not os.path.exists(sys.argv[1] + '.end'):\n    if os.fork(): os._exit(0)\n    time.sleep(.005)";
    let peer = Peer::python(script, &[&path]);
    let mut leaked = 0;
    for _ in 0..40 {
        let snapshot = list("shm");
        let object = snapshot.find(&format!("shm:/{name}"))[0];
        // What nobody could be found for in all the time is not certain.
        if let Some(leak) = &object.leak {
            assert_eq!(leak.certainty, LeakCertainty::Likely, "{object:#?}");
            leaked += 1;
        }
    }
    std::fs::write(format!("{path}.end"), "").expect("end it");
    drop(peer);
    peer::eventually("the chain ends", || {
        list("shm").find(&format!("shm:/{name}"))[0].leak.is_some()
    });
    let _ = std::fs::remove_file(format!("{path}.end"));
    assert!(leaked <= 4, "{leaked} of 40 looks took it for a leak");
}

#[test]
fn to_look_at_a_queue_is_no_use_of_it() {
    let name = unique("used");
    let script =
        "import posix_ipc\nq = posix_ipc.MessageQueue('/' + sys.argv[1], posix_ipc.O_CREX)\nstay()";
    let mut peer = Peer::python(script, &[&name]);
    let address = format!("mq:/{name}");
    let used = || list("mq").find(&address)[0].last_used.expect("a time");
    let first = used();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!((used(), used()), (first, first));
    peer.kill();
    let _ = remove(&address.parse().expect("an address"), true).expect("it is there");
}

#[test]
fn an_object_that_took_the_name_meanwhile_is_left_alone() {
    let name = unique("again");
    let path = format!("/dev/shm/{name}");
    let _cleanup = peer::Cleanup(|| drop(std::fs::remove_file(&path)));
    std::fs::write(&path, "old").expect("write");
    let snapshot = list("shm");
    let old = snapshot.find(&format!("shm:/{name}"))[0];
    std::fs::write(format!("{path}.new"), "new").expect("write");
    std::fs::rename(format!("{path}.new"), &path).expect("rename");
    old.remove(true).expect_err("another object");
    assert_eq!(std::fs::read(&path).expect("still there"), b"new");
}
