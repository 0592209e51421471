//! Nothing changes in the observed: no call returns early, no pipe gets another reader.

use super::victim::Victim;
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = "
import os, sys, threading, select, signal, ctypes, socket, time
def role(name):
    os.write(1, f'role {name} {os.getpid()} {threading.get_native_id()}\\n'.encode())
libc = ctypes.CDLL(None, use_errno=True)
# Calls that a stop, a continue or an attach would make return EINTR even with SA_RESTART; signal(7).
def epoll():
    role('epoll')
    p = libc.epoll_create1(0)
    event = (ctypes.c_byte * 12)()
    result = libc.epoll_wait(p, event, 1, -1)
    tell('epoll', result)
def semop():
    role('semop')
    operation = (ctypes.c_short * 3)(0, -1, 0)
    result = libc.semop(sem, operation, 1)
    tell('semop', result)
def sigwait():
    role('sigwait')
    mask = (ctypes.c_byte * 128)()
    libc.sigaddset(mask, signal.SIGUSR2)
    result = libc.sigwaitinfo(mask, None)
    tell('sigwait', result)
def poll():
    role('poll')
    result = libc.poll(None, 0, -1)
    tell('poll', result)
def tell(name, result):
    os.write(1, f'broken {name} returned {result} errno {ctypes.get_errno()}\\n'.encode())
sem = libc.semget(0, 1, 0o600)
os.write(1, f'semid {sem}\\n'.encode())
# A reader that is gone: the writer must get EPIPE at once, so nobody else may be a reader for a moment.
r, w = os.pipe()
os.close(r)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
def pipe():
    while True:
        try:
            os.write(w, b'x')
            os.write(1, b'broken pipe has a reader\\n')
        except BrokenPipeError:
            time.sleep(0.001)
for body in (epoll, semop, sigwait, poll, pipe):
    threading.Thread(target=body, daemon=True).start()
role('A')
time.sleep(10000)
";

#[test]
fn calls_that_any_stop_would_interrupt_are_not_interrupted() {
    let mut victim = Victim::spawn(Command::new("python3").args(["-c", SOURCE]))
        .settled(&["A", "epoll", "semop", "sigwait", "poll"]);
    let sets = victim.said("semid");
    let calls = |victim: &Victim| -> Vec<String> {
        ["epoll", "semop", "sigwait", "poll"]
            .iter()
            .map(|role| {
                let (pid, tid) = (victim.pid(role), victim.tid(role));
                let read = |file: &str| {
                    std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}"))
                        .expect("alive")
                };
                format!("{} {}", read("schedstat"), read("syscall"))
            })
            .collect()
    };
    let before = calls(&victim);
    for _ in 0..10 {
        drop(victim.look());
        let _ = wigwag_observe::why::why(&victim.leader().to_string(), &Default::default())
            .expect("alive");
    }
    std::thread::sleep(Duration::from_millis(100));
    // They have not so much as been put on a processor.
    assert_eq!(calls(&victim), before);
    // Panics if the victim has said that a call returned or that the pipe had a reader.
    let _ = victim.said("semid");
    for id in sets {
        // SAFETY: IPC_RMID takes no further argument and touches no memory of ours.
        unsafe { libc::semctl(id as i32, 0, libc::IPC_RMID) };
    }
}
