//! Every facility: a real object in the hands of another program is listed with its holders, direction, fill and waiters.

mod peer;

use peer::{Directory, Peer, of, only, unique};
use wigwag_observe::object::{Fill, Role, Unit, Value};

fn level(object: &wigwag_observe::Object, unit: Unit) -> Fill {
    *object
        .fill
        .iter()
        .find(|fill| fill.unit == unit)
        .unwrap_or_else(|| panic!("no {unit:?} in {object:#?}"))
}

/// Whether the process has both ends, and nobody else has any.
fn own(pipe: &wigwag_observe::Object, pid: u32) -> bool {
    pipe.holders.len() == 2 && pipe.holders.iter().all(|holder| holder.pid == pid)
}

#[test]
fn a_pipe_shows_both_ends_and_how_full_it_is() {
    let peer = Peer::python("r, w = os.pipe()\nos.write(w, b'x' * 1000)\nstay()", &[]);
    let pipe = only("pipe", peer.pid(), |pipe| {
        pipe.fill.first().is_some_and(|fill| fill.level == 1000)
    });
    assert_eq!(
        pipe.fill[0],
        Fill {
            level: 1000,
            capacity: Some(65536),
            unit: Unit::Bytes
        }
    );
    let mut roles: Vec<_> = pipe
        .holders
        .iter()
        .map(|holder| (holder.pid, holder.role))
        .collect();
    roles.sort();
    assert_eq!(
        roles,
        [(peer.pid(), Role::Reads), (peer.pid(), Role::Writes)]
    );
    assert!(pipe.leak.is_none(), "a pipe to oneself is a usual thing");
    assert!(pipe.name.to_string().starts_with("pipe:["));
    assert!(pipe.address.is_none());
}

#[test]
fn a_reader_of_an_empty_pipe_is_a_waiter_with_its_thread() {
    let peer = Peer::python(
        "r, w = os.pipe()\nthreading.Thread(target=lambda: os.read(r, 1), daemon=True).start()\nstay()",
        &[],
    );
    peer::eventually("the thread sleeps in read", || {
        of("pipe", peer.pid()).iter().any(|pipe| {
            own(pipe, peer.pid())
                && pipe
                    .waiters
                    .iter()
                    .any(|waiter| waiter.tid != Some(peer.pid()))
        })
    });
    let pipe = only("pipe", peer.pid(), |pipe| own(pipe, peer.pid()));
    assert_eq!(pipe.waiters.len(), 1);
    assert_eq!(
        (pipe.waiters[0].pid, pipe.waiters[0].wants),
        (peer.pid(), "read")
    );
    assert!(pipe.waiters[0].since_ms.is_some());
    assert!(pipe.leak.is_none(), "another thread can still write");
}

#[test]
fn a_fifo_is_listed_by_its_path() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    let peer = Peer::python(
        "os.mkfifo(sys.argv[1])\nf = os.open(sys.argv[1], os.O_RDWR)\nos.write(f, b'abc')\nstay()",
        &[&path],
    );
    let fifo = only("fifo", peer.pid(), |_| true);
    assert_eq!(
        fifo.address.as_deref(),
        Some(format!("fifo:{path}").as_str())
    );
    assert_eq!(fifo.fill[0].level, 3);
    assert_eq!(fifo.holders[0].role, Role::Both);
    assert_eq!(fifo.mode, Some(0o644));
}

#[test]
fn unix_sockets_of_every_kind_name_their_peers() {
    for (kind, facility) in [
        ("STREAM", "unix"),
        ("DGRAM", "unix-dgram"),
        ("SEQPACKET", "unix-seqpacket"),
    ] {
        let peer = Peer::python(
            &format!(
                "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_{kind})\na.send(b'12345')\nstay()"
            ),
            &[],
        );
        let pair = of(facility, peer.pid());
        assert_eq!(pair.len(), 2, "{pair:#?}");
        let (full, empty) = if pair[0].fill[0].level > 0 {
            (&pair[0], &pair[1])
        } else {
            (&pair[1], &pair[0])
        };
        assert_eq!(full.fill[0].level, 5, "{facility}");
        assert_eq!(full.peers[0].id, empty.id);
        assert_eq!(empty.peers[0].id, full.id);
        assert_eq!(empty.peers[0].holders[0].pid, peer.pid());
    }
}

#[test]
fn a_listener_shows_its_backlog_and_the_clients_it_has_not_accepted() {
    let name = unique("abstract");
    let script = "s = socket.socket(socket.AF_UNIX)\ns.bind('\\0' + sys.argv[1])\ns.listen(3)\nc = [socket.socket(socket.AF_UNIX) for _ in range(2)]\n[x.connect('\\0' + sys.argv[1]) for x in c]\nstay()";
    let peer = Peer::python(script, &[&name]);
    let listener = only("unix", peer.pid(), |socket| {
        socket.state.as_deref() == Some("listening")
    });
    assert_eq!(listener.name.to_string(), format!("@{name}"));
    assert_eq!(listener.address, Some(format!("unix:@{name}")));
    assert_eq!(
        listener.fill[0],
        Fill {
            level: 2,
            capacity: Some(4),
            unit: Unit::Connections
        }
    );
    assert_eq!(listener.peers.len(), 2);
    assert!(
        listener
            .peers
            .iter()
            .all(|client| client.unaccepted && client.holders[0].pid == peer.pid())
    );
}

#[test]
fn the_two_ends_of_a_tcp_connection_name_each_other() {
    let script = "s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nc = socket.create_connection(s.getsockname())\nd, _ = s.accept()\nd.send(b'hello')\nstay()";
    let peer = Peer::python(script, &[]);
    let all = of("tcp", peer.pid());
    assert_eq!(all.len(), 3, "{all:#?}");
    let listener = all
        .iter()
        .find(|socket| socket.state.as_deref() == Some("listening"))
        .expect("the listener");
    assert!(
        listener
            .address
            .as_deref()
            .is_some_and(|address| address.starts_with("tcp:127.0.0.1:"))
    );
    let client = all
        .iter()
        .find(|socket| socket.fill[0].level == 5)
        .expect("the client has something to read");
    let server = all
        .iter()
        .find(|socket| socket.name == client.peers[0].name && socket.id != listener.id)
        .expect("its peer");
    assert_eq!(client.peers[0].id, server.id);
    assert_eq!(server.peers[0].id, client.id);
    let script = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 0))\ns.sendto(b'x', s.getsockname())\nstay()";
    let udp = Peer::python(script, &[]);
    let socket = only("udp", udp.pid(), |_| true);
    assert!(socket.fill[0].level > 0);
}

#[test]
fn a_terminal_has_a_master_and_a_slave() {
    let peer = Peer::python(
        "import pty\nm, s = pty.openpty()\nthreading.Thread(target=lambda: os.read(s, 1), daemon=True).start()\ntime.sleep(0.1)\nstay()",
        &[],
    );
    let pty = only("pty", peer.pid(), |pty| {
        pty.holders
            .iter()
            .any(|holder| holder.pid == peer.pid() && holder.role == Role::Master)
    });
    assert!(
        pty.holders
            .iter()
            .any(|holder| holder.pid == peer.pid() && holder.role == Role::Slave),
        "{pty:#?}"
    );
    assert_eq!(
        pty.name.to_string(),
        format!("/dev/pts/{}", pty.id.expect("its number"))
    );
    assert_eq!(
        pty.waiters
            .iter()
            .map(|waiter| waiter.wants)
            .collect::<Vec<_>>(),
        ["read"]
    );
}

#[test]
fn a_posix_queue_shows_messages_limit_and_receiver() {
    let name = format!("/{}", unique("mq"));
    let script = "import posix_ipc\nq = posix_ipc.MessageQueue(sys.argv[1], posix_ipc.O_CREX, max_messages=4, max_message_size=64, mode=0o640)\nq.send('12345')\nq.send('67')\nready()\nsys.stdin.readline()\nq.receive(); q.receive()\nq.receive()";
    let mut peer = Peer::python(script, &[&name]);
    let _cleanup = peer::Cleanup(|| unlink_queue(&name));
    let queue = only("mq", peer.pid(), |_| true);
    assert_eq!(queue.address, Some(format!("mq:{name}")));
    assert_eq!(queue.mode, Some(0o640));
    assert_eq!(
        queue.fill[0],
        Fill {
            level: 2,
            capacity: Some(4),
            unit: Unit::Messages
        }
    );
    assert_eq!(level(&queue, Unit::Bytes).level, 7);
    assert_eq!(queue.get("message_size"), Some(&Value::Number(64)));
    assert_eq!(queue.holders[0].pid, peer.pid());
    peer.tell("go");
    peer.sleeps_in(&[libc::SYS_mq_timedreceive]);
    let queue = only("mq", peer.pid(), |_| true);
    assert_eq!(
        queue
            .waiters
            .iter()
            .map(|waiter| (waiter.pid, waiter.wants))
            .collect::<Vec<_>>(),
        [(peer.pid(), "receive")]
    );
    peer.kill();
    let left = peer::list("mq");
    let queue = left.find(&format!("mq:{name}"))[0];
    assert!(
        queue
            .leak
            .as_ref()
            .is_some_and(|leak| leak.reason.contains("no process has it open")),
        "{queue:#?}"
    );
}

fn unlink_queue(name: &str) {
    let name = std::ffi::CString::new(name).expect("no NUL");
    // SAFETY: a C string that lives through the call.
    unsafe { libc::mq_unlink(name.as_ptr()) };
}

#[test]
fn system_v_objects_show_who_waits() {
    let script = "import sysv_ipc\nq = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)\ns = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=0)\nm = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=8192)\nprint('ready', flush=True)\nprint(q.id, s.id, m.id, flush=True)\nthreading.Thread(target=lambda: q.receive(), daemon=True).start()\nthreading.Thread(target=lambda: s.acquire(), daemon=True).start()\nsys.stdin.readline()\nq.remove(); s.remove(); m.detach(); m.remove()";
    let mut peer = Peer::python(script, &[]);
    let ids: Vec<u64> = peer
        .line()
        .split(' ')
        .map(|id| id.parse().expect("a number"))
        .collect();
    peer::eventually("both threads wait", || {
        of("sysv-mq", peer.pid())
            .iter()
            .any(|queue| !queue.waiters.is_empty())
            && of("sysv-sem", peer.pid())
                .iter()
                .any(|set| set.waiting == Some(1))
    });
    let queue = only("sysv-mq", peer.pid(), |_| true);
    assert_eq!(
        (queue.id, queue.waiters[0].wants),
        (Some(ids[0]), "receive")
    );
    assert_eq!(
        queue.address,
        Some(queue.name.to_string()).map(|name| format!("sysv-mq:{name}"))
    );
    assert!(
        level(&queue, Unit::Bytes)
            .capacity
            .is_some_and(|capacity| capacity >= 1024)
    );
    let set = only("sysv-sem", peer.pid(), |_| true);
    assert_eq!(
        (set.id, set.waiters[0].wants, set.waiting),
        (Some(ids[1]), "acquire", Some(1))
    );
    let Some(Value::Semaphores(values)) = set.get("values") else {
        panic!("no values in {set:#?}")
    };
    assert_eq!(
        (
            values[0].value,
            values[0].waiting_for_more,
            values[0].waiting_for_zero
        ),
        (0, 1, 0)
    );
    let segment = only("sysv-shm", peer.pid(), |_| true);
    assert_eq!(
        (segment.id, level(&segment, Unit::Attachments).level),
        (Some(ids[2]), 1)
    );
    assert_eq!(level(&segment, Unit::Bytes).capacity, Some(8192));
    assert_eq!(
        (segment.holders[0].pid, segment.holders[0].role),
        (peer.pid(), Role::MapsWrite)
    );
    assert_eq!(
        segment.get("creator"),
        Some(&Value::Number(i64::from(peer.pid())))
    );
    peer.tell("go");
    assert!(peer.end().success());
}

#[test]
fn shared_memory_is_held_by_descriptor_and_by_mapping() {
    let name = unique("shm");
    let script = "import posix_ipc\nm = posix_ipc.SharedMemory('/' + sys.argv[1], posix_ipc.O_CREX, size=12288)\na = mmap.mmap(m.fd, 12288)\na[0:5] = b'hello'\nstay()";
    let mut peer = Peer::python(script, &[&name]);
    let _cleanup = peer::Cleanup(|| drop(std::fs::remove_file(format!("/dev/shm/{name}"))));
    let memory = only("shm", peer.pid(), |_| true);
    assert_eq!(memory.address, Some(format!("shm:/{name}")));
    assert_eq!(
        memory.fill[0],
        Fill {
            level: 4096,
            capacity: Some(12288),
            unit: Unit::Bytes
        }
    );
    let mut roles: Vec<_> = memory
        .holders
        .iter()
        .map(|holder| (holder.role, holder.fd.is_some()))
        .collect();
    roles.sort();
    // Python's mmap keeps a duplicate of the descriptor.
    assert_eq!(
        roles,
        [
            (Role::Both, true),
            (Role::Both, true),
            (Role::MapsWrite, false)
        ]
    );
    assert!(memory.leak.is_none());
    // Unlinked, but still in use: listed, without an address.
    std::fs::remove_file(format!("/dev/shm/{name}")).expect("unlink");
    let memory = only("shm", peer.pid(), |_| true);
    assert_eq!(
        (
            memory.address,
            memory.state.as_deref(),
            memory.holders.len()
        ),
        (None, Some("unlinked"), 3)
    );
    peer.kill();
    assert!(of("shm", peer.pid()).is_empty());
}

#[test]
fn a_named_semaphore_shows_value_and_waiters_even_under_a_temporary_name() {
    let name = unique("sem");
    let script = "import posix_ipc\ns = posix_ipc.Semaphore('/' + sys.argv[1], posix_ipc.O_CREX, initial_value=2)\nready()\nsys.stdin.readline()\ns.acquire(); s.acquire(); s.acquire()";
    let mut peer = Peer::python(script, &[&name]);
    let _cleanup = peer::Cleanup(|| drop(std::fs::remove_file(format!("/dev/shm/sem.{name}"))));
    let semaphore = only("sem", peer.pid(), |_| true);
    assert_eq!(semaphore.address, Some(format!("sem:/{name}")));
    assert_eq!(level(&semaphore, Unit::Permits).level, 2);
    assert_eq!(semaphore.holders[0].role, Role::MapsWrite);
    peer.tell("go");
    peer.sleeps_in(&[libc::SYS_futex]);
    let semaphore = only("sem", peer.pid(), |_| true);
    assert_eq!(
        (level(&semaphore, Unit::Permits).level, semaphore.waiting),
        (0, Some(1))
    );
    assert_eq!(
        semaphore
            .waiters
            .iter()
            .map(|waiter| waiter.tid)
            .collect::<Vec<_>>(),
        [Some(peer.pid())]
    );
    peer.kill();
    let left = peer::list("sem");
    let semaphore = left.find(&format!("sem:/{name}"))[0];
    assert!(semaphore.leak.is_some(), "{semaphore:#?}");
}

#[test]
fn anonymous_memory_is_one_object_for_parent_and_child() {
    let directory = Directory::new();
    let file = directory.file("mapped");
    let script = "m = mmap.mmap(-1, 4096)\nfd = os.memfd_create('letters')\nos.ftruncate(fd, 8192)\nn = mmap.mmap(fd, 8192)\nf = open(sys.argv[1], 'wb+')\nf.truncate(4096)\nk = mmap.mmap(f.fileno(), 4096)\nif os.fork() == 0:\n    signal.alarm(60)\n    time.sleep(60)\nstay()";
    let peer = Peer::python(script, &[&file]);
    let all = of("memfd", peer.pid());
    let anonymous: Vec<_> = all
        .iter()
        .filter(|memory| memory.state.as_deref() == Some("anonymous"))
        .collect();
    assert_eq!(anonymous.len(), 1, "{all:#?}");
    assert_eq!(anonymous[0].holders.len(), 2);
    let memfd = all
        .iter()
        .find(|memory| memory.name.to_string() == "letters")
        .expect("the memfd");
    assert_eq!(memfd.fill[0].capacity, Some(8192));
    // Python's mmap keeps a duplicate of the descriptor.
    let count = |role| {
        memfd
            .holders
            .iter()
            .filter(|holder| holder.role == role)
            .count()
    };
    assert_eq!(
        (count(Role::Both), count(Role::MapsWrite)),
        (4, 2),
        "{memfd:#?}"
    );
    let mapped = only("file", peer.pid(), |_| true);
    assert_eq!(mapped.address, Some(format!("file:{file}")));
    let maps = |holder: &&wigwag_observe::object::Holder| holder.role == Role::MapsWrite;
    assert_eq!(mapped.holders.iter().filter(maps).count(), 2, "{mapped:#?}");
    let child = mapped
        .holders
        .iter()
        .find(|holder| holder.pid != peer.pid())
        .expect("the child")
        .pid;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.cast_signed()).expect("a pid"),
        rustix::process::Signal::KILL,
    )
    .expect("kill");
}

#[test]
fn every_kind_of_file_lock_has_its_holder_and_its_queue() {
    let directory = Directory::new();
    let file = directory.file("lock");
    std::fs::write(&file, "x").expect("write");
    let hold = "f = open(sys.argv[1], 'r+')\nof = lambda t: struct.pack('hhqqi4x', t, 0, 10, 20, 0)\n\
                {'flock': lambda: fcntl.flock(f, fcntl.LOCK_EX), 'lockf': lambda: fcntl.lockf(f, fcntl.LOCK_EX, 20, 10), 'ofd': lambda: fcntl.fcntl(f, 37, of(fcntl.F_WRLCK))}[sys.argv[2]]()\nstay()";
    let wait = "f = open(sys.argv[1], 'r+')\nof = lambda t: struct.pack('hhqqi4x', t, 0, 10, 20, 0)\nready()\n\
                {'flock': lambda: fcntl.flock(f, fcntl.LOCK_EX), 'lockf': lambda: fcntl.lockf(f, fcntl.LOCK_EX, 20, 10), 'ofd': lambda: fcntl.fcntl(f, 38, of(fcntl.F_WRLCK))}[sys.argv[2]]()";
    for scheme in ["flock", "lockf", "ofd"] {
        let holder = Peer::python(hold, &[&file, scheme]);
        let waiter = Peer::python(wait, &[&file, scheme]);
        waiter.sleeps_in(&[libc::SYS_flock, libc::SYS_fcntl]);
        let lock = only(scheme, holder.pid(), |_| true);
        let range = if scheme == "flock" {
            ""
        } else {
            "?range=10..30"
        };
        assert_eq!(lock.address, Some(format!("{scheme}:{file}{range}")));
        assert_eq!(
            lock.holders
                .iter()
                .map(|one| (one.pid, one.role, one.fd.is_some()))
                .collect::<Vec<_>>(),
            [(holder.pid(), Role::Owns, true)]
        );
        assert_eq!(
            lock.waiters
                .iter()
                .map(|one| (one.pid, one.tid))
                .collect::<Vec<_>>(),
            [(waiter.pid(), Some(waiter.pid()))],
            "{scheme}: {lock:#?}"
        );
        assert_eq!(lock.waiting, Some(1));
        assert_eq!(lock.state.as_deref(), Some("write"));
    }
}

#[test]
fn a_lock_left_to_a_child_is_held_by_the_child() {
    let directory = Directory::new();
    let file = directory.file("lock");
    let script = "f = open(sys.argv[1], 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\nif os.fork() == 0:\n    signal.alarm(60)\n    sys.stdin.close()\n    print('ready', flush=True)\n    print(os.getpid(), flush=True)\n    time.sleep(60)\nos._exit(0)";
    let mut peer = Peer::python(script, &[&file]);
    let child: u32 = peer.line().parse().expect("a pid");
    peer.end();
    let lock = only("flock", child, |_| true);
    assert_eq!(
        lock.holders
            .iter()
            .map(|holder| (holder.pid, holder.dead))
            .collect::<Vec<_>>(),
        [(child, false)]
    );
    assert_eq!(
        lock.get("taken_by"),
        Some(&Value::Number(i64::from(peer.pid())))
    );
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.cast_signed()).expect("a pid"),
        rustix::process::Signal::KILL,
    )
    .expect("kill");
}

#[test]
fn a_lease_that_is_being_broken_does_not_spoil_the_list() {
    let directory = Directory::new();
    let file = directory.file("leased");
    std::fs::write(&file, "x").expect("write");
    let holder = Peer::python(
        "signal.signal(signal.SIGIO, lambda *_: None)\nf = os.open(sys.argv[1], os.O_RDONLY)\nfcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)\nstay()",
        &[&file],
    );
    let other = directory.file("lock");
    let locker = Peer::python(
        "f = open(sys.argv[1], 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\nstay()",
        &[&other],
    );
    let lease = only("lease", holder.pid(), |_| true);
    assert_eq!(
        (lease.name.to_string(), lease.state.as_deref()),
        (file.clone(), Some("active"))
    );
    let breaker = Peer::python("ready()\nos.open(sys.argv[1], os.O_WRONLY)", &[&file]);
    peer::eventually("the lease is being broken", || {
        only("lease", holder.pid(), |_| true).state.as_deref() == Some("breaking")
    });
    let lease = only("lease", holder.pid(), |_| true);
    assert!(
        lease
            .waiters
            .iter()
            .any(|waiter| waiter.pid == breaker.pid()),
        "{lease:#?}"
    );
    assert_eq!(
        only("flock", locker.pid(), |_| true).holders[0].pid,
        locker.pid()
    );
}

#[test]
fn event_descriptors_are_told_apart_and_show_their_counts() {
    let source = r#"
#include <stdio.h>
#include <unistd.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
int main() {
    int a = eventfd(3, EFD_SEMAPHORE), b = eventfd(17, 0), e = epoll_create1(0), t = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event want = { .events = EPOLLIN };
    epoll_ctl(e, EPOLL_CTL_ADD, a, &want);
    struct itimerspec when = { .it_value = { 1000, 0 } };
    timerfd_settime(t, 0, &when, 0);
    sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, 0);
    signalfd(-1, &set, 0);
    int i = inotify_init1(0); inotify_add_watch(i, "/tmp", IN_CREATE);
    syscall(SYS_pidfd_open, getppid(), 0);
    dup(b);
    kill(getpid(), SIGUSR1);
    puts("ready"); fflush(stdout);
    char c; return read(0, &c, 1);
}
"#;
    let peer = Peer::c("events", source, &[]);
    let mut counts: Vec<_> = of("eventfd", peer.pid())
        .iter()
        .map(|event| (event.fill[0].level, event.holders.len()))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [(3, 1), (17, 2)]);
    let watched = of("eventfd", peer.pid())
        .iter()
        .find(|event| event.fill[0].level == 3)
        .and_then(|event| event.holders[0].fd)
        .expect("a descriptor");
    assert_eq!(
        only("epoll", peer.pid(), |_| true).get("watches"),
        Some(&Value::Numbers(vec![
            u64::try_from(watched).expect("positive")
        ]))
    );
    assert_eq!(
        only("timerfd", peer.pid(), |_| true).state.as_deref(),
        Some("armed")
    );
    assert_eq!(
        only("signalfd", peer.pid(), |_| true).get("signals"),
        Some(&Value::Numbers(vec![10]))
    );
    assert_eq!(
        only("inotify", peer.pid(), |_| true).get("watches"),
        Some(&Value::Number(1))
    );
    assert_eq!(
        only("pidfd", peer.pid(), |_| true).get("pid"),
        Some(&Value::Number(i64::from(std::process::id())))
    );
    let signals = only("signal", peer.pid(), |_| true);
    assert_eq!(signals.get("pending"), Some(&Value::Numbers(vec![10])));
    assert_eq!(signals.address, Some(format!("signal:{}", peer.pid())));
}

#[test]
fn a_poller_waits_for_everything_it_polls() {
    let peer = Peer::python(
        "r, w = os.pipe()\na, b = socket.socketpair()\np = select.poll()\np.register(r, select.POLLIN)\np.register(a, select.POLLIN)\nready()\np.poll()",
        &[],
    );
    peer.sleeps_in(&[libc::SYS_poll, libc::SYS_ppoll]);
    let pipe = only("pipe", peer.pid(), |pipe| {
        pipe.holders.len() == 2 && pipe.holders.iter().all(|holder| holder.pid == peer.pid())
    });
    assert_eq!(
        pipe.waiters
            .iter()
            .map(|waiter| waiter.wants)
            .collect::<Vec<_>>(),
        ["poll"]
    );
    assert!(
        of("unix", peer.pid())
            .iter()
            .any(|socket| socket.waiters.iter().any(|waiter| waiter.wants == "poll"))
    );
}

#[test]
fn a_snapshot_serializes_with_numbers_as_numbers() {
    let peer = Peer::python("r, w = os.pipe()\nos.write(w, b'x')\nstay()", &[]);
    let snapshot = wigwag_observe::Snapshot::builder()
        .pids([peer.pid()])
        .capture()
        .expect("a snapshot");
    let json = serde_json::to_value(&snapshot).expect("JSON");
    assert_eq!(json["version"], 1);
    let pipe = json["objects"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|object| object["fill"][0]["level"] == 1)
        .expect("the pipe");
    assert_eq!(pipe["facility"], "pipe");
    assert_eq!(pipe["holders"][0]["pid"], peer.pid());
    assert_eq!(pipe["persistence"], "process");
    assert!(
        json["processes"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|process| process["pid"] == peer.pid() && process["state"] == "sleeping")
    );
}
