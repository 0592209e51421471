//! Memory: written and read by the command, and by Python at the other end.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, every_byte, key, wigwag};
use process::{Directory, unique};

const SIZE: usize = 300_000;

fn regions(directory: &Directory) -> Vec<Object> {
    vec![
        Object::new(format!("shm:/{}?size={SIZE}", unique("mem"))),
        Object::new(format!("sysv-shm:{}?size={SIZE}", key())),
        Object::new(format!(
            "file:{}?size={SIZE}",
            directory.file("mapped").display()
        )),
    ]
}

#[test]
fn what_is_written_is_read_byte_for_byte() {
    let directory = Directory::new();
    for region in regions(&directory) {
        let body = every_byte(SIZE);
        wigwag(["send", &region]).input(&body).ends().code(0);
        assert_eq!(wigwag(["recv", "--raw", &region]).prints(), body);
        wigwag(["send", "--offset", "1000", &region, "here", "and there"])
            .ends()
            .code(0);
        let part = wigwag(["recv", "--offset", "999", "--length", "15", &region]).prints();
        let right = [&body[999..1000], b"hereand there", &body[1013..1014], b"\n"].concat();
        assert_eq!(part, right);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let directory = Directory::new();
    for region in regions(&directory) {
        wigwag(["send", &region])
            .input(every_byte(SIZE + 1))
            .ends()
            .code(2)
            .one_line(&["there is more to write"]);
        wigwag(["send", "--offset", &(SIZE - 1).to_string(), &region, "xy"])
            .ends()
            .code(2)
            .one_line(&["1 bytes are left"]);
        wigwag(["recv", "--offset", &(SIZE + 1).to_string(), &region])
            .ends()
            .code(2)
            .one_line(&["bytes"]);
        wigwag([
            "recv",
            "--offset",
            "1",
            "--length",
            &SIZE.to_string(),
            &region,
        ])
        .ends()
        .code(2)
        .one_line(&["bytes"]);
        assert!(
            wigwag(["recv", "--raw", &region])
                .prints()
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}

#[test]
fn python_sees_the_same_memory() {
    let posix = Object::new(format!("shm:/{}?size=4096", unique("py")));
    wigwag(["send", &posix, "from wigwag"]).ends().code(0);
    let script = format!(
        "import posix_ipc, mmap\ns = posix_ipc.SharedMemory({:?})\nm = mmap.mmap(s.fd, s.size)\n\
         assert m[:11] == b'from wigwag', m[:11]\nm[100:104] = b'\\xff\\x00\\xfe\\x01'",
        posix.strip_prefix("shm:").unwrap()
    );
    let done = process::python("posix_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let bytes = wigwag(["recv", "--raw", "--offset", "100", "--length", "4", &posix]).prints();
    assert_eq!(bytes, b"\xff\0\xfe\x01");

    let sysv = Object::new(format!("sysv-shm:{}?size=4096", key()));
    wigwag(["send", &sysv, "from wigwag"]).ends().code(0);
    let script = format!(
        "import sysv_ipc\ns = sysv_ipc.SharedMemory({})\nassert s.read(11) == b'from wigwag'\ns.write(b'\\xffback')",
        sysv.strip_prefix("sysv-shm:").unwrap()
    );
    let done = process::python("sysv_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(
        wigwag(["recv", "--raw", "--length", "5", &sysv]).prints(),
        b"\xffback"
    );
}
