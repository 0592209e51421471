//! Streams: 64 bytes, and 64 KiB, written at one end and read at the other.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use wigwag::stream::fifo::{self, Fifo};
use wigwag::stream::{pipe, pty, tcp, unix};

use super::{Case, MUST, bare, stream_failed, unique};
use crate::duel::{Effort, duel};
use crate::row::Row;

/// The comparisons.
pub const CASES: &[Case] = &[
    ("pipe: write and read 64 B", |effort, name| {
        let (reader, writer) = pipe::pair()?;
        let (raw_reader, raw_writer) = pipe::pair()?;
        both::<64>(
            effort,
            name,
            (writer, reader),
            (raw_writer.into(), raw_reader.into()),
        )
    }),
    ("pipe: write and read 32 KiB", |effort, name| {
        let (reader, writer) = pipe::pair()?;
        let (raw_reader, raw_writer) = pipe::pair()?;
        both::<32_768>(
            effort,
            name,
            (writer, reader),
            (raw_writer.into(), raw_reader.into()),
        )
    }),
    ("fifo: write and read 64 B", |effort, name| {
        let ends = || {
            let path = std::env::temp_dir().join(unique("fifo"));
            let fifo: Fifo = fifo::Options::new().temporary(true).create(path)?;
            let reader = fifo.reader_for_many()?;
            wigwag::Result::Ok((fifo.writer()?, reader))
        };
        let (writer, reader) = ends()?;
        both::<64>(effort, name, ends()?, (writer.into(), reader.into()))
    }),
    ("unix: write and read 64 B", |effort, name| {
        let (raw_writer, raw_reader) = unix::pair()?;
        both::<64>(
            effort,
            name,
            unix::pair()?,
            (raw_writer.into(), raw_reader.into()),
        )
    }),
    ("tcp: write and read 64 B", |effort, name| {
        let listener = tcp::Listener::create("localhost:0")?;
        let connection = || {
            let client = tcp::Stream::connect(listener.name()?)?;
            let server = listener.accept()?;
            // Otherwise every other write waits for the peer to acknowledge.
            client.set_nodelay(true)?;
            wigwag::Result::Ok((client, server))
        };
        let (raw_writer, raw_reader) = connection()?;
        both::<64>(
            effort,
            name,
            connection()?,
            (raw_writer.into(), raw_reader.into()),
        )
    }),
    ("pty: write and read 64 B", |effort, name| {
        let ends = || {
            let (controller, terminal) = pty::pair()?;
            terminal.raw()?.keep();
            wigwag::Result::Ok((controller, terminal))
        };
        let (raw_writer, raw_reader) = ends()?;
        both::<64>(
            effort,
            name,
            ends()?,
            (raw_writer.into(), raw_reader.into()),
        )
    }),
];

fn both<const LEN: usize>(
    effort: Effort,
    name: &str,
    (mut writer, mut reader): (impl Write, impl Read),
    (raw_writer, raw_reader): (OwnedFd, OwnedFd),
) -> wigwag::Result<Row> {
    let (bytes, mut ours, mut theirs) = (vec![7_u8; LEN], vec![0_u8; LEN], vec![0_u8; LEN]);
    let (to, from) = (raw_writer.as_raw_fd(), raw_reader.as_raw_fd());
    duel(
        effort,
        name,
        "write(2), read(2)",
        MUST,
        || {
            writer.write_all(&bytes).map_err(stream_failed)?;
            reader.read_exact(&mut ours).map_err(stream_failed)
        },
        || {
            let (mut sent, mut received) = (0, 0);
            while sent < LEN {
                // SAFETY: the pointer and length are those of the rest of a live buffer.
                let count = unsafe { libc::write(to, bytes[sent..].as_ptr().cast(), LEN - sent) };
                sent += bare(count)?.cast_unsigned();
            }
            while received < LEN {
                let rest = &mut theirs[received..];
                // SAFETY: as above.
                let count = unsafe { libc::read(from, rest.as_mut_ptr().cast(), rest.len()) };
                received += bare(count)?.cast_unsigned();
            }
            Ok(())
        },
    )
}
