//! Under tokio: streams wait without blocking the thread, and the other end's flags stay as they were.
#![cfg(feature = "tokio")]

mod process;

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use process::{part, play};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wigwag::stream::{fifo::Fifo, pipe, pty, tcp, unix};
use wigwag::{Async, Kind};

fn nonblocking(end: &impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(end)
        .expect("the flags")
        .contains(rustix::fs::OFlags::NONBLOCK)
}

/// Echoes until the end, in another process, with blocking calls.
fn echo() {
    let mut stream =
        unix::Stream::from(std::io::stdin().as_fd().try_clone_to_owned().expect("echo"));
    std::io::copy(&mut &stream, &mut &stream).expect("echo");
    wigwag::stream::Output::finish(&mut stream).expect("echo");
}

#[tokio::test(flavor = "current_thread")]
async fn a_megabyte_goes_through_another_process_and_back() {
    if part().is_some() {
        return echo();
    }
    let (here, there) = unix::pair().unwrap();
    let there = OwnedFd::from(there);
    let name = "a_megabyte_goes_through_another_process_and_back";
    let child = play(name, "echo", &[]).with(|c| _ = c.stdin(there)).start();
    let stream = Async::new(here).unwrap();
    assert!(!nonblocking(&stream));
    let (mut from, mut to) = tokio::io::split(stream);
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| at as u8).collect();
    let sent = bytes.clone();
    let writing = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, bytes);
    writing.await.unwrap();
    child.succeeds();
}

#[tokio::test(flavor = "current_thread")]
async fn waiting_leaves_the_thread_to_others_and_can_be_given_up() {
    let (reader, writer) = pipe::pair().unwrap();
    let twin = reader.try_clone().unwrap();
    let (mut reader, mut writer) = (Async::new(reader).unwrap(), Async::new(writer).unwrap());
    let mut bytes = [0; 5];
    let late = tokio::time::timeout(Duration::from_millis(20), reader.read(&mut bytes)).await;
    assert!(late.is_err());
    assert!(
        !nonblocking(&twin) && !nonblocking(&reader),
        "the open file is others' too"
    );
    let (read, written) = tokio::join!(reader.read_exact(&mut bytes), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        writer.write_all(b"hello").await
    });
    assert_eq!((read.unwrap(), &bytes), (5, b"hello"));
    written.unwrap();
    drop(writer);
    assert_eq!(
        reader.read(&mut bytes).await.unwrap(),
        0,
        "the end of the file"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_pipe_is_waited_for_and_a_broken_one_is_an_error() {
    if !process::alone("a_full_pipe_is_waited_for_and_a_broken_one_is_an_error") {
        return;
    }
    let (reader, writer) = pipe::pair().unwrap();
    let mut writer = Async::new(writer).unwrap();
    let mut reader = Async::new(reader).unwrap();
    let (written, read) = tokio::join!(
        async {
            let written = writer.write_all(&[7; 500_000]).await;
            drop(writer);
            written
        },
        async {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all)
        }
    );
    written.unwrap();
    assert_eq!(read.unwrap(), vec![7; 500_000]);
    let (reader, writer) = pipe::pair().unwrap();
    drop(reader);
    let broken = Async::new(writer).unwrap().write(b"x").await.unwrap_err();
    assert_eq!(broken.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test(flavor = "current_thread")]
async fn every_stream_and_listener_has_the_form() {
    let directory = process::Directory::new();
    let fifo = Fifo::create(directory.file("fifo")).unwrap();
    let reader = fifo.reader_for_many().unwrap();
    let mut writer = Async::new(fifo.try_writer().unwrap()).unwrap();
    let mut reader = Async::new(reader).unwrap();
    let mut bytes = [0; 4];
    let (read, written) = tokio::join!(reader.read_exact(&mut bytes), writer.write_all(b"fifo"));
    assert!(read.is_ok() && written.is_ok() && bytes == *b"fifo");

    let (controller, terminal) = pty::pair().unwrap();
    terminal.raw().unwrap().keep();
    let (mut controller, mut terminal) = (
        Async::new(controller).unwrap(),
        Async::new(terminal).unwrap(),
    );
    let (read, written) = tokio::join!(
        terminal.read_exact(&mut bytes),
        controller.write_all(b"tty!")
    );
    assert!(read.is_ok() && written.is_ok() && bytes == *b"tty!");
    drop(terminal);
    assert_eq!(controller.read(&mut bytes).await.unwrap(), 0);

    let listener = Async::new(tcp::Listener::create("localhost:0").unwrap()).unwrap();
    let name = listener.get_ref().name().unwrap();
    let client = tokio::task::spawn_blocking(move || tcp::Stream::connect(name).unwrap());
    let server = listener
        .when_readable(tcp::Listener::try_accept)
        .await
        .unwrap();
    let (mut server, mut client) = (
        Async::new(server).unwrap(),
        Async::new(client.await.unwrap()).unwrap(),
    );
    let (read, written) = tokio::join!(server.read_exact(&mut bytes), client.write_all(b"tcp!"));
    assert!(read.is_ok() && written.is_ok() && bytes == *b"tcp!");

    let listener =
        Async::new(unix::Listener::create(format!("@{}", process::unique("async"))).unwrap())
            .unwrap();
    let none = tokio::time::timeout(
        Duration::from_millis(20),
        listener.when_readable(unix::Listener::try_accept),
    )
    .await;
    assert!(none.is_err());
    let client = unix::Stream::connect(listener.get_ref().name().to_string()).unwrap();
    let server = Async::new(
        listener
            .when_readable(unix::Listener::try_accept)
            .await
            .unwrap(),
    )
    .unwrap();
    client.send_descriptors(b"d", &[client.as_fd()]).unwrap();
    let received = server
        .when_readable(|server| server.recv_descriptors_with(&mut [0; 8], wigwag::Wait::Not))
        .await
        .unwrap();
    assert_eq!((received.len, received.descriptors.len()), (1, 1));
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_polled_is_refused() {
    let file = pipe::Reader::from(OwnedFd::from(
        std::fs::File::open("/proc/self/exe").unwrap(),
    ));
    let error = Async::new(file).unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
}
