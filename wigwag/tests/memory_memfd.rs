//! memfd: passed to a child, sealed, and refused when it is not.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use process::{part, play};
use wigwag::memory::memfd::{Memfd, Options, Seals};
use wigwag::memory::{Region, anonymous::Anonymous, huge};
use wigwag::{Endpoint, Kind, Opening, Role, Way};

/// A duplicate that a child inherits, and the address by which it opens it.
fn inheritable(memfd: &Memfd) -> (OwnedFd, String) {
    let fd = rustix::io::dup(memfd).unwrap();
    let address = format!("memfd:?fd={}", fd.as_raw_fd());
    (fd, address)
}

#[test]
fn a_child_uses_what_it_inherits_and_cannot_shrink_it() {
    if part().is_some() {
        let address = process::argument("ADDRESS").parse().unwrap();
        let opening = Opening {
            role: Role::Join,
            way: Way::Both,
            wait: wigwag::Wait::Forever,
        };
        let Endpoint::Region(region) = wigwag::open(&address, opening).unwrap() else {
            panic!()
        };
        let mut bytes = [0; 6];
        region.read_at(5000, &mut bytes).unwrap();
        assert_eq!(&bytes, b"parent");
        region.write_at(0, b"child").unwrap();
        let number: i32 = address.options().value("fd").unwrap().unwrap();
        let path = format!("/proc/self/fd/{number}");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        assert!(file.set_len(0).is_err());
        return;
    }
    let test = "a_child_uses_what_it_inherits_and_cannot_shrink_it";
    let region = Memfd::create("inherited", 8192).unwrap();
    region.write_at(5000, b"parent").unwrap();
    let (_fd, address) = inheritable(&region);
    play(test, "use", &[("ADDRESS", &address)])
        .start()
        .succeeds();
    let mut bytes = [0; 5];
    region.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"child");
}

#[test]
fn what_is_not_sealed_is_refused_unless_it_is_asked_for() {
    let open = Options::new()
        .seals(Seals::NONE)
        .create("open", 4096)
        .unwrap();
    let error = Memfd::from_fd(open.try_clone_fd().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(
        error.to_string().contains("not sealed against shrinking"),
        "{error}"
    );
    let taken = Memfd::from_unsealed_fd(open.try_clone_fd().unwrap()).unwrap();
    taken.write_at(0, b"both").unwrap();
    open.add_seals(Seals::SHRINK).unwrap();
    Memfd::from_fd(open.try_clone_fd().unwrap()).unwrap();
    // Things that cannot have seals, or cannot be mapped.
    let error = Memfd::from_fd(std::fs::File::open("/etc/passwd").unwrap().into()).unwrap_err();
    assert!(error.to_string().starts_with("cannot"), "{error}");
    assert!(Memfd::from_unsealed_fd(std::fs::File::open("/").unwrap().into()).is_err());
    assert!(Memfd::from_unsealed_fd(std::fs::File::open("/dev/null").unwrap().into()).is_err());
}

#[test]
fn seals_are_for_everybody_and_for_ever() {
    let mut region = Memfd::create("seals", 4096).unwrap();
    assert!(region.seals().unwrap().contains(Seals::RESIZE));
    assert_eq!(
        region.resize(8192).unwrap_err().kind(),
        Kind::PermissionDenied
    );
    let busy = region.add_seals(Seals::WRITE).unwrap_err();
    assert_eq!(busy.kind(), Kind::WouldBlock, "{busy}");
    region.add_seals(Seals::FUTURE_WRITE).unwrap();
    region.write_at(0, b"we may").unwrap();
    let theirs = Memfd::from_fd(region.try_clone_fd().unwrap()).unwrap();
    assert_eq!(
        theirs.write_at(0, b"they").unwrap_err().kind(),
        Kind::PermissionDenied
    );
    region.add_seals(Seals::SEAL).unwrap();
    assert_eq!(
        region.add_seals(Seals::WRITE).unwrap_err().kind(),
        Kind::PermissionDenied
    );

    let mut constant = Memfd::create("constant", 4096).unwrap();
    constant.write_at(0, b"for ever").unwrap();
    let writer = Memfd::from_fd(constant.try_clone_fd().unwrap()).unwrap();
    assert_eq!(
        constant.make_constant().unwrap_err().kind(),
        Kind::WouldBlock
    );
    constant.write_at(4, b"ever").unwrap();
    drop(writer);
    constant.make_constant().unwrap();
    assert_eq!(
        constant.write_at(0, b"no").unwrap_err().kind(),
        Kind::PermissionDenied
    );
    let theirs = Memfd::from_fd(constant.try_clone_fd().unwrap()).unwrap();
    let mut bytes = [0; 8];
    theirs.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"for ever");
}

#[test]
fn an_unsealed_one_grows_and_shrinks() {
    let mut region = Options::new()
        .seals(Seals::NONE)
        .create("size", 4096)
        .unwrap();
    region.write_at(4092, b"keep").unwrap();
    region.resize(1 << 20).unwrap();
    let mut bytes = [1; 4];
    region.read_at((1 << 20) - 4, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4]);
    region.resize(4096).unwrap();
    region.read_at(4092, &mut bytes).unwrap();
    assert_eq!(&bytes, b"keep");
    assert_eq!(
        region.read_at(4093, &mut bytes).unwrap_err().kind(),
        Kind::BadInput
    );
}

#[test]
fn people_see_its_label() {
    let region = Memfd::create("visible label", 4096).unwrap();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", region.as_fd().as_raw_fd())).unwrap();
    assert_eq!(link.to_str(), Some("/memfd:visible label (deleted)"));
    assert_eq!(
        Memfd::create(&"x".repeat(250), 4096).unwrap_err().kind(),
        Kind::BadName
    );
    assert_eq!(
        Memfd::create("nul\0", 4096).unwrap_err().kind(),
        Kind::BadName
    );
    assert_eq!(
        Memfd::create("empty", 0).unwrap_err().kind(),
        Kind::BadInput
    );
}

#[test]
fn huge_pages_are_used_where_they_are_and_missed_clearly() {
    for bytes in huge::sizes() {
        let pool = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", bytes / 1024);
        let number = |file: &str| -> u64 {
            let text = std::fs::read_to_string(format!("{pool}/{file}")).unwrap();
            text.trim().parse().unwrap()
        };
        let had = [
            Options::new()
                .huge(bytes)
                .create("huge", bytes)
                .map(|region| region.write_at(bytes as usize - 4, b"used")),
            Anonymous::create_huge(bytes, bytes).map(|region| region.write_at(0, b"used")),
        ];
        for had in had {
            match had {
                Ok(used) => used.unwrap(),
                Err(error) => {
                    assert_eq!(
                        number("free_hugepages") + number("nr_overcommit_hugepages"),
                        0,
                        "{error}"
                    );
                    assert_eq!(error.kind(), Kind::Limit);
                    assert!(
                        error.to_string().contains(&format!(
                            "0 of {} huge pages of {bytes} bytes are free",
                            number("nr_hugepages")
                        )),
                        "{error}"
                    );
                    assert!(
                        error.to_string().contains(&format!("{pool}/nr_hugepages")),
                        "{error}"
                    );
                }
            }
        }
        let odd = Options::new()
            .huge(bytes)
            .create("odd", bytes + 4096)
            .unwrap_err();
        assert!(odd.to_string().contains("not a multiple"), "{odd}");
    }
    let none = Options::new()
        .huge(3 << 20)
        .create("three", 3 << 20)
        .unwrap_err();
    assert_eq!(none.kind(), Kind::Unsupported);
    assert!(
        none.to_string().contains("no huge pages of 3145728 bytes"),
        "{none}"
    );
}

#[test]
fn anonymous_memory_is_shared_with_a_forked_child() {
    if part().is_some() {
        let region = Anonymous::create(8192).unwrap();
        region.write_at(0, b"before").unwrap();
        // SAFETY: the child copies bytes and ends by _exit; it allocates nothing and takes no lock.
        match unsafe { libc::fork() } {
            0 => {
                let mut bytes = [0; 6];
                let seen = region.read_at(0, &mut bytes).is_ok() && &bytes == b"before";
                let written = region.write_at(8000, b"after").is_ok();
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(if seen && written { 0 } else { 1 }) }
            }
            pid => {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
                assert_eq!(status, 0);
            }
        }
        let mut bytes = [0; 5];
        region.read_at(8000, &mut bytes).unwrap();
        assert_eq!(&bytes, b"after");
        return;
    }
    play(
        "anonymous_memory_is_shared_with_a_forked_child",
        "fork",
        &[],
    )
    .start()
    .succeeds();
}
