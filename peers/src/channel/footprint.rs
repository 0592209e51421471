//! Footprint: what a named channel takes: memory beside its ring, and files.

use std::any::Any;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wigwag::pattern::channel::Options;
use wigwag::pattern::channel::one_to_one::Channel;

use super::contestants::iceoryx2;
use crate::row::{Must, Row};

/// What a channel may take beside its ring, whatever the ring's size: sixteen pages.
const BESIDE_KIB: f64 = 64.0;

/// Rings whose memory is looked at.
const RINGS: [(&str, u64); 2] = [
    ("memory beside a ring of 64 KiB, filled", 64 << 10),
    ("memory beside a ring of 16 MiB, filled", 16 << 20),
];

const FILES: &str = "files of a named channel, in use";

/// Those of the rows that are wanted.
pub fn rows(wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, ring) in RINGS {
        if wanted(name) {
            let beside = beside(ring)?;
            rows.push(row(name, "at most 16 pages", beside, BESIDE_KIB, "KiB"));
        }
    }
    if wanted(FILES) {
        let ours = in_use(ours)?;
        rows.push(row(FILES, "the segment alone", ours, 1.0, "files"));
        let theirs = in_use(iceoryx2::ends)?;
        rows.push(Row {
            must: Must::Shown,
            ..row(FILES, "iceoryx2", ours, theirs, "files")
        });
    }
    Ok(rows)
}

fn row(name: &str, peer: &str, ours: f64, theirs: f64, unit: &'static str) -> Row {
    Row {
        name: name.into(),
        peer: peer.into(),
        ours,
        theirs,
        unit,
        ratio: ours / theirs,
        must: Must::AtMost(1.0),
    }
}

/// Both ends of a channel, alive.
fn ours(name: &str) -> io::Result<Box<dyn Any>> {
    let options = Options::new().temporary(true);
    let channel: Channel<u64> = options.create(format!("/{name}"))?;
    Ok(Box::new((channel.sender()?, channel.receiver()?)))
}

/// KiB that the kernel has given to the file of a channel, less its ring, when every byte of that has been used.
fn beside(ring: u64) -> io::Result<f64> {
    let name = format!("{}-ring", super::stem());
    let options = Options::new().capacity(ring / 8).temporary(true);
    let channel: Channel<u64> = options.create(format!("/{name}"))?;
    let (mut to, mut from) = (channel.sender()?, channel.receiver()?);
    for number in 0..ring / 8 {
        to.send(number)?;
    }
    for number in 0..ring / 8 {
        super::sport::expect(*from.recv()?, number)?;
    }
    let blocks = std::fs::metadata(Path::new("/dev/shm").join(name))?.blocks();
    Ok((blocks as f64 * 512.0 - ring as f64) / 1024.0)
}

/// How many files there are because of this, while it lives.
fn in_use(create: impl FnOnce(&str) -> io::Result<Box<dyn Any>>) -> io::Result<f64> {
    let before = files();
    let alive = create(&format!("{}-files", super::stem()))?;
    let count = files() - before;
    drop(alive);
    Ok(count as f64)
}

/// Files of this run where names are kept.
fn files() -> i64 {
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&super::stem())
    };
    let tops = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let mut found: Vec<PathBuf> = tops
        .iter()
        .flat_map(|top| entries(top))
        .filter(own)
        .collect();
    let mut count = 0;
    while let Some(path) = found.pop() {
        if path.is_dir() {
            found.extend(entries(&path));
        } else {
            count += 1;
        }
    }
    count
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
