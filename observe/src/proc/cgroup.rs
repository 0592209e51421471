//! cgroup freezer: a frozen process looks asleep in every other table; only its control group says that it cannot wake.

use std::io;
use std::path::PathBuf;

use super::text::{Words, lines};
use super::{Process, Scratch};

/// Whether the process's control group is frozen: `None` when no cgroup file system is mounted that could say.
pub fn frozen(process: &Process, scratch: &mut Scratch) -> io::Result<Option<bool>> {
    let mut known = None;
    for line in lines(process.read("cgroup", scratch)?) {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = String::from_utf8_lossy(path);
        let answer = if controllers.is_empty() {
            version_2(&path)
        } else if controllers
            .split(|&byte| byte == b',')
            .any(|name| name == b"freezer")
        {
            version_1(&path)
        } else {
            continue;
        };
        match answer {
            Some(true) => return Ok(Some(true)),
            Some(false) => known = Some(false),
            None => {}
        }
    }
    Ok(known)
}

/// `frozen 1` in `cgroup.events`; the hierarchy is mounted in one of two usual places.
fn version_2(path: &str) -> Option<bool> {
    let text = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .find_map(|root| read(root, path, "cgroup.events"))?;
    lines(&text).find_map(|line| {
        let mut words = Words::new(line);
        (words.next()? == b"frozen").then(|| words.next() == Some(b"1"))
    })
}

/// `FROZEN` in `freezer.state`; `FREEZING` is not yet.
fn version_1(path: &str) -> Option<bool> {
    let text = read("/sys/fs/cgroup/freezer", path, "freezer.state")?;
    Some(text.trim_ascii() == b"FROZEN")
}

fn read(root: &str, path: &str, file: &str) -> Option<Vec<u8>> {
    std::fs::read(
        PathBuf::from(root)
            .join(path.trim_start_matches('/'))
            .join(file),
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use crate::proc::{ProcFs, Scratch};

    #[test]
    fn we_are_not_frozen() {
        let process = ProcFs::open()
            .expect("/proc")
            .process(std::process::id())
            .expect("ourselves");
        assert_ne!(
            super::frozen(&process, &mut Scratch::new()).expect("cgroup"),
            Some(true)
        );
    }
}
