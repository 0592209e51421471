//! Mapped files between processes: what is flushed is there for whoever comes later.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use process::{Directory, foreign, hear, part, play, python, say};
use wigwag::Kind;
use wigwag::memory::file::{MappedFile, Options};
use wigwag::memory::{Access, Region};

#[test]
fn what_a_killed_process_has_written_is_in_the_file() {
    if part().is_some() {
        let region = MappedFile::create(process::argument("PATH"), 10_000).unwrap();
        region.write_at(9_990, b"0123456789").unwrap();
        region.flush().unwrap();
        region.flush_range(9_990, 10).unwrap();
        say("flushed");
        hear();
        return;
    }
    let directory = Directory::new();
    let path = directory.file("table");
    let path = path.to_str().unwrap();
    let test = "what_a_killed_process_has_written_is_in_the_file";
    let mut child = play(test, "write", &[("PATH", path)]).start();
    child.says("flushed");
    child.kill();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!((bytes.len(), &bytes[9_990..]), (10_000, &b"0123456789"[..]));
    let region = MappedFile::open(path).unwrap();
    let mut end = [0; 10];
    region.read_at(9_990, &mut end).unwrap();
    assert_eq!(&end, b"0123456789");
}

#[test]
fn a_flushed_file_survives_its_file_system_being_unmounted() {
    if part().is_some() {
        let run = |command: &str| {
            let done = std::process::Command::new("sh")
                .args(["-c", command])
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&done.stderr)
                .trim()
                .replace('\n', " ");
            if done.status.success() {
                Ok(())
            } else {
                Err(format!("{command}: {words}"))
            }
        };
        let directory = process::argument("DIRECTORY");
        let mount = format!("mount -o loop {directory}/disk {directory}/on");
        if let Err(why) = run(&mount) {
            return say(&why);
        }
        let path = format!("{directory}/on/table");
        let region = MappedFile::create(&path, 5000).unwrap();
        region.write_at(4990, b"persistent").unwrap();
        region.flush().unwrap();
        let full = MappedFile::create(format!("{directory}/on/large"), 100 << 20).unwrap_err();
        assert_eq!(full.kind(), Kind::Limit, "{full}");
        assert!(full.to_string().contains("bytes free"), "{full}");
        assert!(!std::path::Path::new(&format!("{directory}/on/large")).exists());
        drop(region);
        run(&format!("umount {directory}/on && {mount}")).unwrap();
        let region = MappedFile::open(&path).unwrap();
        let mut bytes = [0; 10];
        region.read_at(4990, &mut bytes).unwrap();
        assert_eq!(&bytes, b"persistent");
        drop(region);
        run(&format!("umount {directory}/on")).unwrap();
        return say("survived");
    }
    let directory = Directory::new();
    let disk = directory.file("disk");
    std::fs::File::create(&disk)
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    std::fs::create_dir(directory.file("on")).unwrap();
    let made = foreign("mkfs.ext4", "e2fsprogs")
        .arg("-q")
        .arg(&disk)
        .status()
        .unwrap();
    assert!(made.success());
    let path = directory.file("");
    let path = path.to_str().unwrap().trim_end_matches('/');
    let test = "a_flushed_file_survives_its_file_system_being_unmounted";
    let child = play(test, "mount", &[("DIRECTORY", path)]);
    let mut child = child
        .through("util-linux", &process::unshared("-m"))
        .start();
    let outcome = child.line();
    child.succeeds();
    if outcome == "survived" {
        return;
    }
    // Not allowed to mount: at least the flushed bytes are there when the kernel has been told to forget its copy.
    println!("{outcome}");
    let path = directory.file("table");
    let region = MappedFile::create(&path, 5000).unwrap();
    region.write_at(4990, b"persistent").unwrap();
    region.flush().unwrap();
    drop(region);
    let file = std::fs::File::open(&path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert_eq!(&std::fs::read(&path).unwrap()[4990..], b"persistent");
}

#[test]
fn create_is_exclusive_and_open_needs_a_regular_file_with_bytes() {
    let directory = Directory::new();
    let path = directory.file("table");
    assert_eq!(MappedFile::open(&path).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        MappedFile::create(directory.file("no/table"), 1)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    MappedFile::create(&path, 100).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(
        MappedFile::create(&path, 100).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(MappedFile::open_or_create(&path, 50).unwrap().len(), 100);
    assert_eq!(
        MappedFile::open_or_create(&path, 101).unwrap_err().kind(),
        Kind::BadInput
    );
    MappedFile::unlink(&path).unwrap();
    assert_eq!(
        MappedFile::unlink(&path).unwrap_err().kind(),
        Kind::NotFound
    );
    let shared = Options::new()
        .mode(0o664)
        .temporary(true)
        .open_or_create(&path, 7)
        .unwrap();
    assert_eq!(shared.stat().unwrap().mode, 0o664);
    drop(shared);
    assert!(!path.exists());

    let fifo = directory.file("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    std::fs::write(directory.file("empty"), b"").unwrap();
    for (path, why) in [
        (fifo, "FIFO"),
        (directory.file(""), "directory"),
        (directory.file("empty"), "no bytes"),
        ("/dev/null".into(), "device"),
    ] {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let error = Options::new().access(access).open(&path).unwrap_err();
            assert_eq!(error.kind(), Kind::BadInput, "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}

#[test]
fn a_file_that_others_may_only_read_is_mapped_for_reading() {
    if part().is_some() {
        process::become_nobody();
        let path = process::argument("PATH");
        assert_eq!(
            MappedFile::open(&path).unwrap_err().kind(),
            Kind::PermissionDenied
        );
        let region = Options::new().access(Access::ReadOnly).open(&path).unwrap();
        let mut bytes = [0; 4];
        region.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"seen");
        let error = region.write_at(0, b"no").unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied);
        assert!(error.to_string().contains("for reading only"), "{error}");
        return;
    }
    let directory = Directory::new();
    let path = directory.file("table");
    std::fs::write(&path, b"seen").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let test = "a_file_that_others_may_only_read_is_mapped_for_reading";
    play(test, "read", &[("PATH", path.to_str().unwrap())])
        .start()
        .succeeds();
}

#[test]
fn pythons_mmap_and_we_see_the_same_file() {
    let directory = Directory::new();
    let path = directory.file("table");
    let mut region = MappedFile::create(&path, 8192).unwrap();
    region.write_at(0, b"Rust").unwrap();
    let script = "import mmap, sys\n\
        file = open(sys.argv[1], 'r+b')\n\
        pages = mmap.mmap(file.fileno(), 0)\n\
        assert pages[:4] == b'Rust' and len(pages) == 8192\n\
        pages[8000:8006] = b'Python'\n";
    let run = python("mmap", script).arg(&path).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let mut bytes = [0; 6];
    region.read_at(8000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"Python");
    region.resize(100_000).unwrap();
    region.write_at(99_999, b"!").unwrap();
    assert_eq!(std::fs::read(&path).unwrap().last(), Some(&b'!'));
    region.resize(4).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"Rust");
}
