//! Interrupt: a wait goes on after a signal handler has run, and ends when the program says so, with nothing taken.

mod process;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use process::{Directory, PATIENCE, argument, notice, part, play, say};
use rustix::process::Signal;
use wigwag::gate::event::Event;
use wigwag::gate::file_lock::FileLock;
use wigwag::gate::{Semaphore, sysv};
use wigwag::pattern::channel::{Options, broadcast, latest, many_to_many, one_to_one, select};
use wigwag::pattern::mailbox;
use wigwag::stream::{Input, pipe};
use wigwag::{Key, Kind, Wait, message};

/// Whether the program wants its waits to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What waits for ever, each in its own way.
const WAITS: &[&str] = &[
    "semaphore",
    "sysv",
    "event",
    "flock",
    "pipe",
    "seqpacket",
    "mailbox",
    "one-to-one",
    "many-to-many",
    "broadcast",
    "latest",
    "select",
];

/// How the wait ended.
fn wait(how: &str) -> Kind {
    let of = |ended: Result<(), wigwag::Error>| ended.expect_err("nobody ends it").kind();
    match how {
        "semaphore" => of(Semaphore::new(0).acquire().map(drop)),
        "sysv" => {
            let set = sysv::Options::new()
                .temporary(true)
                .create(Key::Private, &[0])
                .expect("a set");
            of(set.acquire(0).map(drop))
        }
        "event" => of(Event::anonymous().expect("a counter").take().map(drop)),
        "flock" => {
            let [mut ours, mut theirs] =
                [(); 2].map(|()| FileLock::open(argument("FILE")).expect("a file"));
            let _held = theirs.lock().expect("free");
            of(ours.lock().map(drop))
        }
        "pipe" => {
            let (mut reader, _writer) = pipe::pair().expect("a pipe");
            let ended = reader.read_with(&mut [0], Wait::Forever);
            match ended.expect_err("nobody ends it").kind() {
                io::ErrorKind::Interrupted => Kind::Interrupted,
                _ => Kind::Other,
            }
        }
        "seqpacket" => {
            let (ours, _theirs) = message::seqpacket::pair().expect("sockets");
            of(ours.recv(&mut [0; 8]).map(drop))
        }
        "mailbox" => {
            let mailbox = mailbox::Options::new().anonymous().expect("a mailbox");
            of(mailbox
                .fetcher()
                .expect("a side")
                .fetch(&mut [0; 64])
                .map(drop))
        }
        "one-to-one" => {
            let (_sender, mut receiver) = one_to_one::pair::<u64>(8).expect("a channel");
            of(receiver.recv().map(drop))
        }
        "many-to-many" => {
            let (_sender, mut receiver) = many_to_many::pair::<u64>(8).expect("a channel");
            of(receiver.recv().map(drop))
        }
        "broadcast" => {
            let (_sender, mut receiver) = broadcast::pair::<u64>(8).expect("a channel");
            of(receiver.recv().map(drop))
        }
        "latest" => {
            let channel: latest::Channel<u64> = Options::new().anonymous().expect("a channel");
            let (_sender, receiver) = (channel.sender(), channel.receiver());
            let mut receiver = receiver.expect("a seat");
            of(receiver.recv().map(drop))
        }
        "select" => {
            let (reader, _writer) = pipe::pair().expect("a pipe");
            of(select(&[&reader], Wait::Forever).map(drop))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_wait_goes_on_until_the_program_wants_it_to_end() {
    const TEST: &str = "a_wait_goes_on_until_the_program_wants_it_to_end";
    if let Some(how) = part() {
        wigwag::interrupt::end_waits_if(|| ENDING.load(Ordering::SeqCst));
        notice(Signal::USR1);
        end_at(libc::SIGUSR2);
        // A signal to the process would go to the harness's thread.
        say(&rustix::thread::gettid().to_string());
        let ended = wait(&how);
        assert!(ENDING.load(Ordering::SeqCst), "{how}: it went on");
        say(&format!("{ended:?}"));
        return;
    }
    let directory = Directory::new();
    let file = directory.file("lock");
    std::fs::write(&file, "").expect("a file");
    for how in WAITS {
        let arguments = [("FILE", file.to_str().expect("text"))];
        let mut child = play(TEST, how, &arguments).start();
        let thread: libc::pid_t = child.line().parse().expect("its number");
        let signal = |signal: Signal, child: &process::Child| {
            // SAFETY: takes numbers.
            unsafe { libc::syscall(libc::SYS_tgkill, child.pid(), thread, signal.as_raw()) };
        };
        let start = Instant::now();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(10));
            signal(Signal::USR1, &child);
        }
        // It comes again, as one that comes just before the wait finds nothing to end.
        let ended = loop {
            signal(Signal::USR2, &child);
            std::thread::sleep(Duration::from_millis(10));
            if child.has_ended() {
                break child.line();
            }
            assert!(start.elapsed() < PATIENCE, "{how} never ended");
        };
        assert_eq!(ended, "Interrupted", "{how}");
        child.succeeds();
    }
}

/// This signal asks the program to end.
fn end_at(signal: libc::c_int) {
    extern "C" fn end(_: libc::c_int) {
        ENDING.store(true, Ordering::SeqCst);
    }
    // SAFETY: an all-zero sigaction is valid; the handler only stores. Without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}
