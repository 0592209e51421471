//! System V shared memory between processes: ours, Python's, and as ipcs and lsipc see it.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::sync::atomic::{AtomicI32, Ordering};

use process::{Directory, eventually, foreign, hear, part, play, python, say};
use wigwag::memory::sysv::{Options, SharedMemory};
use wigwag::memory::{Access, Region};
use wigwag::{Key, Kind};

/// A key that no other test uses; removed whatever happens.
struct Keyed(i32);

impl Keyed {
    fn new() -> Self {
        static NEXT: AtomicI32 = AtomicI32::new(1);
        let own = std::process::id().cast_signed() & 0xFFFF;
        Keyed(0x5700_0000 | own << 8 | NEXT.fetch_add(1, Ordering::Relaxed) & 0xFF)
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        let _ = SharedMemory::unlink(self.0);
    }
}

fn key() -> i32 {
    process::argument("KEY").parse().unwrap()
}

#[test]
fn it_is_shared_counted_and_outlives_a_killed_process() {
    if part().is_some() {
        let region = SharedMemory::open(key()).unwrap();
        assert_eq!(region.len(), 10_000);
        region.write_at(9_996, b"kept").unwrap();
        say("written");
        hear();
        return;
    }
    let test = "it_is_shared_counted_and_outlives_a_killed_process";
    let keyed = Keyed::new();
    let region = SharedMemory::create(keyed.0, 10_000).unwrap();
    let mut child = play(test, "write", &[("KEY", &keyed.0.to_string())]).start();
    child.says("written");
    let stat = region.stat().unwrap();
    assert_eq!(
        (stat.attached, stat.len, stat.mode, stat.removed),
        (2, 10_000, 0o600, false)
    );
    assert_eq!(stat.creator, std::process::id().cast_signed());
    assert_eq!(stat.last, child.pid());
    child.kill();
    eventually("the kernel detaches the killed", || {
        region.stat().unwrap().attached == 1
    });
    let mut bytes = [0; 4];
    region.read_at(9_996, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    drop(region);
    SharedMemory::open(keyed.0)
        .unwrap()
        .read_at(9_996, &mut bytes)
        .unwrap();
    assert_eq!(&bytes, b"kept");
}

#[test]
fn removal_takes_the_key_at_once_and_the_memory_with_the_last_user() {
    let keyed = Keyed::new();
    let region = SharedMemory::create(keyed.0, 4096).unwrap();
    let id = region.id();
    region.remove().unwrap();
    assert!(region.stat().unwrap().removed);
    region.write_at(0, b"still ours").unwrap();
    assert_eq!(
        SharedMemory::open(keyed.0).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(
        SharedMemory::unlink(keyed.0).unwrap_err().kind(),
        Kind::NotFound
    );
    drop(region);
    let error = SharedMemory::open(Key::Id(id)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(error.to_string().contains(&format!("#{id}")), "{error}");
}

#[test]
fn create_is_exclusive_and_private_ones_have_identifiers_only() {
    let keyed = Keyed::new();
    assert_eq!(
        SharedMemory::open(keyed.0).unwrap_err().kind(),
        Kind::NotFound
    );
    let first = SharedMemory::create(keyed.0, 100).unwrap();
    assert_eq!(
        SharedMemory::create(keyed.0, 100).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(
        SharedMemory::open_or_create(keyed.0, 50).unwrap().id(),
        first.id()
    );
    assert_eq!(
        SharedMemory::open_or_create(keyed.0, 101)
            .unwrap_err()
            .kind(),
        Kind::BadInput
    );
    let private = Options::new()
        .temporary(true)
        .create(Key::Private, 100)
        .unwrap();
    SharedMemory::open(Key::Id(private.id())).unwrap();
    assert_eq!(
        SharedMemory::open(Key::Private).unwrap_err().kind(),
        Kind::BadName
    );
    assert_eq!(
        SharedMemory::create(Key::Id(5), 100).unwrap_err().kind(),
        Kind::BadName
    );
    let id = private.id();
    drop(private);
    assert_eq!(
        SharedMemory::open(Key::Id(id)).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn a_file_stands_for_a_key_as_for_pythons_ftok() {
    let directory = Directory::new();
    let path = directory.file("key");
    std::fs::write(&path, b"").unwrap();
    let by_file = Key::file(&path, 7);
    let region = Options::new()
        .temporary(true)
        .create(by_file.clone(), 64)
        .unwrap();
    region.write_at(0, b"by path").unwrap();
    let script = "import sysv_ipc, sys\n\
        memory = sysv_ipc.SharedMemory(sysv_ipc.ftok(sys.argv[1], 7, True))\n\
        assert memory.read(7) == b'by path'\n";
    let run = python("sysv_ipc", script).arg(&path).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(SharedMemory::open(by_file).unwrap().id(), region.id());
    assert_eq!(
        SharedMemory::open(Key::file(directory.file("none"), 7))
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
}

#[test]
fn others_may_what_the_mode_says() {
    if part().is_some() {
        process::become_nobody();
        let error = SharedMemory::open(key()).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        let reader = Options::new().access(Access::ReadOnly).open(key());
        if process::argument("MAY") == "read" {
            let reader = reader.unwrap();
            let mut bytes = [0; 4];
            reader.read_at(0, &mut bytes).unwrap();
            assert_eq!(&bytes, b"seen");
            assert_eq!(
                reader.write_at(0, b"no").unwrap_err().kind(),
                Kind::PermissionDenied
            );
        } else {
            assert_eq!(reader.unwrap_err().kind(), Kind::PermissionDenied);
        }
        if rustix::process::geteuid().as_raw() == 65534 {
            assert_eq!(
                SharedMemory::unlink(key()).unwrap_err().kind(),
                Kind::PermissionDenied
            );
        }
        return;
    }
    let test = "others_may_what_the_mode_says";
    for (mode, may) in [(0o444, "read"), (0o000, "nothing")] {
        let keyed = Keyed::new();
        let region = Options::new().mode(0o600).create(keyed.0, 4);
        region.unwrap().write_at(0, b"seen").unwrap();
        // Set afterwards, so that an owner who is not root could write before.
        let set = foreign("python3", "python3")
            .args([
                "-c",
                &format!(
                    "import sysv_ipc; m = sysv_ipc.SharedMemory({}); m.mode = {mode}",
                    keyed.0
                ),
            ])
            .status()
            .unwrap();
        assert!(set.success());
        let arguments = [("KEY", &keyed.0.to_string()[..]), ("MAY", may)];
        play(test, "nobody", &arguments).start().succeeds();
    }
}

#[test]
fn limits_that_are_reached_are_named() {
    if part().is_some() {
        std::fs::write("/proc/sys/kernel/shmmni", "2").unwrap();
        std::fs::write("/proc/sys/kernel/shmmax", "8192").unwrap();
        let error = SharedMemory::create(Key::Private, 8193).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit, "{error}");
        assert!(
            error.to_string().contains("kernel.shmmax is 8192"),
            "{error}"
        );
        let _two = [1, 2].map(|key| SharedMemory::create(key, 4096).unwrap());
        let error = SharedMemory::create(3, 4096).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        assert!(error.to_string().contains("kernel.shmmni is 2"), "{error}");
        return;
    }
    let child = play("limits_that_are_reached_are_named", "reach", &[]);
    child
        .through("util-linux", &process::unshared("-i"))
        .start()
        .succeeds();
}

#[test]
fn ipcs_and_lsipc_agree_with_us() {
    let keyed = Keyed::new();
    let region = Options::new().mode(0o640).create(keyed.0, 12_345).unwrap();
    let listed = |program: &str, arguments: &[&str]| {
        let output = foreign(program, "util-linux")
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let id = region.id().to_string();
    let key = format!("{:#010x}", keyed.0);
    let ipcs = listed("ipcs", &["-m"]);
    let line = ipcs
        .lines()
        .find(|line| line.starts_with(&key))
        .expect("a line of ipcs");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        (fields[1], fields[3], fields[4], fields[5]),
        (&id[..], "640", "12345", "1")
    );
    let lsipc = listed(
        "lsipc",
        &["-m", "--raw", "--bytes", "-o", "ID,SIZE,NATTCH,PERMS"],
    );
    let expected = format!("{id} 12345 1 rw-r-----");
    assert!(lsipc.lines().any(|line| line == expected), "{lsipc}");
}

#[test]
fn pythons_sysv_ipc_and_we_see_the_same_bytes() {
    let (ours, theirs) = (Keyed::new(), Keyed::new());
    let region = SharedMemory::create(ours.0, 4096).unwrap();
    region.write_at(0, b"Rust").unwrap();
    let script = "import sysv_ipc, sys\n\
        memory = sysv_ipc.SharedMemory(int(sys.argv[1]))\n\
        assert memory.size == 4096 and memory.read(4) == b'Rust'\n\
        memory.write(b'Python', offset=100)\n\
        made = sysv_ipc.SharedMemory(int(sys.argv[2]), sysv_ipc.IPC_CREX, size=777)\n\
        made.write(b'made by Python', offset=700)\n";
    let keys = [ours.0.to_string(), theirs.0.to_string()];
    let run = python("sysv_ipc", script).args(&keys).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let mut bytes = [0; 6];
    region.read_at(100, &mut bytes).unwrap();
    assert_eq!(&bytes, b"Python");
    let made = SharedMemory::open(theirs.0).unwrap();
    let mut bytes = [0; 14];
    made.read_at(700, &mut bytes).unwrap();
    assert_eq!((made.len(), &bytes), (777, b"made by Python"));
}
