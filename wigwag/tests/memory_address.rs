//! Memory by address: every kind of region is made, found, used and removed from one line of text.
#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use process::{Directory, unique};
use wigwag::memory::Region;
use wigwag::{Address, Endpoint, Error, Kind, Opening, Role, Way, catalog};

const SERVE: Opening = Opening {
    role: Role::Serve,
    way: Way::Both,
    wait: wigwag::Wait::Forever,
};
const JOIN: Opening = Opening {
    role: Role::Join,
    way: Way::Both,
    wait: wigwag::Wait::Forever,
};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn region(text: &str, opening: Opening) -> Result<Box<dyn Region>, Error> {
    match wigwag::open(&address(text), opening)? {
        Endpoint::Region(region) => Ok(region),
        _ => panic!("{text} is no region"),
    }
}

/// What cannot be opened or made, and why.
fn refusal<T>(result: Result<T, Error>, kind: Kind, words: &str) {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

/// The addresses of a name of each named kind; removed whatever happens.
struct Named(Vec<String>, #[expect(dead_code)] Directory);

impl Named {
    fn new() -> Self {
        let directory = Directory::new();
        let key = 0x5800_0000 | std::process::id();
        let unique = unique("address");
        let file = directory.file("table").display().to_string();
        Named(
            vec![
                format!("shm:/{unique}"),
                format!("sysv-shm:{key:#x}"),
                format!("file:{file}"),
            ],
            directory,
        )
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = catalog::unlink(&address(name));
        }
    }
}

#[test]
fn a_named_region_is_made_found_and_removed() {
    let named = Named::new();
    for name in &named.0 {
        refusal(
            region(name, JOIN),
            Kind::NotFound,
            "whoever serves or creates it comes first",
        );
        refusal(region(name, SERVE), Kind::NotFound, "size=64K");
        catalog::create(&address(name)).unwrap();
        assert_eq!(region(name, JOIN).unwrap().len(), 4096, "{name}");
        refusal(
            catalog::create(&address(name)),
            Kind::AlreadyExists,
            "exists",
        );
        catalog::unlink(&address(name)).unwrap();
        refusal(catalog::unlink(&address(name)), Kind::NotFound, "cannot");

        let ours = region(&format!("{name}?size=3K&mode=0644"), SERVE).unwrap();
        ours.write_at(3000, b"by address").unwrap();
        let theirs = region(
            name,
            Opening {
                way: Way::In,
                ..JOIN
            },
        )
        .unwrap();
        let mut bytes = [0; 10];
        theirs.read_at(3000, &mut bytes).unwrap();
        assert_eq!((theirs.len(), &bytes), (3072, b"by address"), "{name}");
        refusal(
            theirs.write_at(0, b"no"),
            Kind::PermissionDenied,
            "for reading only",
        );
        ours.flush().unwrap();
        refusal(
            region(&format!("{name}?size=4K"), SERVE),
            Kind::BadInput,
            "fewer than 4096",
        );
        refusal(
            region(&format!("{name}?size=1K&exclusive"), SERVE),
            Kind::AlreadyExists,
            "exists",
        );
        refusal(
            catalog::create(&address(&format!("{name}?temporary"))),
            Kind::BadInput,
            "nothing would stay",
        );
        catalog::unlink(&address(name)).unwrap();

        drop(region(&format!("{name}?size=1K&temporary"), SERVE).unwrap());
        refusal(region(name, JOIN), Kind::NotFound, "cannot");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let named = Named::new();
    for name in &named.0 {
        refusal(
            region(&format!("{name}?size=0"), SERVE),
            Kind::BadInput,
            "no bytes",
        );
        refusal(
            region(&format!("{name}?size=large"), SERVE),
            Kind::BadInput,
            "option size=large",
        );
        refusal(
            region(&format!("{name}?mode=rw&size=1"), SERVE),
            Kind::BadInput,
            "octal",
        );
        refusal(
            region(&format!("{name}?colour=red"), SERVE),
            Kind::BadInput,
            "no such option",
        );
    }
    refusal(
        region("sysv-shm:0x77?project=3", JOIN),
        Kind::BadInput,
        "a key is complete",
    );
    refusal(
        region("sysv-shm:/etc/passwd?project=0", JOIN),
        Kind::BadInput,
        "1 to 255",
    );
    refusal(region("memfd:", SERVE), Kind::BadInput, "memfd:?fd=5");
    refusal(
        region("memfd:?fd=9999", SERVE),
        Kind::Other,
        "cannot inherit memfd 9999",
    );
    refusal(
        region("memfd:?fd=1&size=1K", SERVE),
        Kind::BadInput,
        "has its size",
    );
    refusal(region("anon:", SERVE), Kind::BadInput, "anon:?size=64K");
    refusal(
        catalog::create(&address("memfd:?size=1K")),
        Kind::Unsupported,
        "stay",
    );
}

#[test]
fn a_path_and_a_project_find_one_segment() {
    let directory = Directory::new();
    let path = directory.file("key");
    std::fs::write(&path, b"").unwrap();
    let name = format!("sysv-shm:{}?size=2K&temporary&project=9", path.display());
    let _kept = region(&name, SERVE).unwrap();
    assert_eq!(
        region(&name, JOIN).map(|region| region.len()).unwrap(),
        2048
    );
    refusal(
        region(&name.replace("=9", "=8"), JOIN),
        Kind::NotFound,
        "cannot",
    );
}

#[test]
fn regions_without_a_name_have_a_size() {
    for (text, len) in [
        ("memfd:?size=10K", 10240),
        ("memfd:?size=1&unsealed", 1),
        ("anon:?size=64K", 65536),
    ] {
        let region = region(text, SERVE).unwrap();
        region.write_at(len - 1, &[7]).unwrap();
        assert_eq!(region.len(), len);
    }
}
