//! Ask: one sleeping thread and its system call, put to the facility that knows such waits.

use super::abi::{Abi, Sys};
use super::machine::{Machine, Seen, SeenThread};
use super::{
    child, descriptor, file_lock, futex, halt, kernel, multiplex, opening, queue, signal, sysv,
    unix, uring,
};
use crate::graph::{Clause, GroupId, Outside, State, Tier, Wait, WaitGraph, Waker};
use crate::proc::{Call, Syscall, TaskState, memory};

/// The question: what does this thread wait for?
#[derive(Clone, Copy)]
pub(super) struct Ask<'m> {
    pub(super) machine: &'m Machine,
    pub(super) seen: &'m Seen,
    pub(super) thread: &'m SeenThread,
    pub(super) call: Call,
    pub(super) sys: Sys,
    pub(super) abi: Abi,
}

/// An answer that may be one of several alternatives: a descriptor needs somebody.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) facility: &'static str,
    pub(super) resource: String,
    pub(super) why: String,
    pub(super) clause: Clause,
    /// A signal handler of the same process could do it.
    pub(super) by_handler: bool,
    pub(super) limited: bool,
    /// It wakes by itself and goes on waiting.
    pub(super) naps: bool,
}

/// Groups with fewer members are written out at each waiter.
const SHARED_FROM: usize = 12;

impl<'m> Ask<'m> {
    pub(super) fn about(machine: &'m Machine, seen: &'m Seen, thread: &'m SeenThread) -> Ask<'m> {
        let call = match thread.syscall {
            Some(Syscall::In(call)) => call,
            Some(Syscall::Outside { sp, pc }) => Call {
                number: -1,
                args: [0; 6],
                sp,
                pc,
            },
            _ => Call {
                number: -1,
                args: [0; 6],
                sp: u64::MAX,
                pc: 0,
            },
        };
        // A 64-bit program may have a low stack, too, but only by its own arrangement: then its mappings decide.
        let abi = if call.sp < 1 << 32 {
            machine.layout(seen).abi
        } else {
            Abi::Native
        };
        Ask {
            machine,
            seen,
            thread,
            call,
            sys: abi.call(call.number),
            abi,
        }
    }

    /// What the thread does.
    pub(super) fn state(mut self, graph: &mut WaitGraph) -> State {
        if let Some(held) = halt::held(&self) {
            return held;
        }
        match self.thread.syscall {
            None => return live("may not be read"),
            Some(Syscall::Running) => return live("runs"),
            Some(Syscall::Outside { .. }) => return kernel::outside(&self),
            Some(Syscall::In(_)) => {}
        }
        if self.thread.state == TaskState::Running {
            return live("runs");
        }
        let futex = matches!(self.sys, Sys::Futex | Sys::FutexWait | Sys::FutexWaitv);
        let mut state = self.sleeping(graph);
        if let State::Waiting(wait) = &mut state {
            // The C library goes on waiting for a lock after a handler has run.
            if self.machine.detail && (!futex || wait.by_handler) {
                signal::limit(&self, wait);
            }
            for clause in &mut wait.clauses {
                if self.machine.hides() && !self.is_private() {
                    let hidden = Waker::process(0).tier(Tier::Possible);
                    clause.wakers.push(hidden.role("hidden; may have it, too"));
                }
                share(graph, clause);
            }
        }
        state
    }

    fn sleeping(&mut self, graph: &mut WaitGraph) -> State {
        if self.sys == Sys::Restart {
            self.sys = kernel::restarted(self);
        }
        if let Some(state) = kernel::uninterruptible(self) {
            return state;
        }
        self.sys = match self.sys {
            Sys::SocketMultiplexed => unix::demultiplex(self),
            Sys::IpcMultiplexed => sysv::demultiplex(self),
            other => other,
        };
        match self.sys {
            Sys::Read | Sys::Receive | Sys::ReceiveMany | Sys::Accept => {
                descriptor::reading(self, self.fd(0))
            }
            Sys::Write | Sys::Send => descriptor::writing(self, self.fd(0)),
            Sys::Vmsplice => descriptor::writing(self, self.fd(0)),
            Sys::Splice | Sys::Tee | Sys::SendFile | Sys::CopyRange => descriptor::moving(self),
            Sys::Connect => unix::connecting(self),
            Sys::Open | Sys::OpenAt => opening::opening(self),
            Sys::Futex => futex::waiting(self),
            Sys::FutexWaitv | Sys::FutexWait => futex::waiting_new(self),
            Sys::Flock | Sys::Fcntl => file_lock::waiting(self),
            Sys::SemOp | Sys::SemTimedOp => sysv::semaphores(self),
            Sys::MsgSend | Sys::MsgReceive => sysv::queue(self),
            Sys::MqSend | Sys::MqReceive => queue::waiting(self),
            Sys::Wait4 | Sys::WaitPid | Sys::WaitId => child::waiting(self),
            Sys::Vfork | Sys::Clone => child::vfork(self),
            Sys::Poll | Sys::Ppoll => multiplex::poll(self),
            Sys::Select | Sys::Pselect | Sys::OldSelect => multiplex::select(self),
            Sys::EpollWait | Sys::EpollPwait2 => multiplex::epoll(self),
            Sys::Pause | Sys::SigSuspend | Sys::SigWait => signal::waiting(self),
            Sys::UringEnter => uring::waiting(self),
            Sys::Sleep => live("sleeps for a time"),
            Sys::Ioctl => live("waits for a device (ioctl)"),
            Sys::Close
            | Sys::Other
            | Sys::Restart
            | Sys::SocketMultiplexed
            | Sys::IpcMultiplexed => {
                let _ = graph;
                kernel::other(self)
            }
        }
    }

    /// Whether it waits for whichever of several descriptors is ready first.
    pub(super) fn polls(&self) -> bool {
        matches!(
            self.sys,
            Sys::Poll
                | Sys::Ppoll
                | Sys::Select
                | Sys::Pselect
                | Sys::OldSelect
                | Sys::EpollWait
                | Sys::EpollPwait2
        )
    }

    /// Whether only threads of the same process can have to do with it.
    fn is_private(&self) -> bool {
        self.sys == Sys::Futex && futex::is_private(self)
    }

    /// Argument `at` as the word of the program's size.
    pub(super) fn arg(&self, at: usize) -> u64 {
        let word = self.call.args.get(at).copied().unwrap_or(0);
        if self.abi == Abi::Compat {
            word & 0xffff_ffff
        } else {
            word
        }
    }

    /// Argument `at` as an `int`.
    pub(super) fn int(&self, at: usize) -> i32 {
        self.arg(at) as u32 as i32
    }

    /// Argument `at` as a descriptor.
    pub(super) fn fd(&self, at: usize) -> i32 {
        self.int(at)
    }

    /// Words of 32 bits of its memory.
    pub(super) fn words<const N: usize>(&self, address: u64) -> Option<[u32; N]> {
        if address == 0 {
            return None;
        }
        memory::read_words(self.thread.tid, address).ok()
    }

    /// A pointer or `long` of its memory.
    pub(super) fn pointer(&self, address: u64) -> Option<u64> {
        let [low, high] = match self.abi {
            Abi::Native => self.words::<2>(address)?,
            Abi::Compat => [self.words::<1>(address)?[0], 0],
        };
        Some(u64::from(low) | u64::from(high) << 32)
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        if address == 0 || length > 1 << 20 {
            return None;
        }
        let mut bytes = vec![0; length];
        let count = memory::read(self.thread.tid, address, &mut bytes).ok()?;
        (count == length).then_some(bytes)
    }

    /// The kernel function it sleeps in; empty if we may not know.
    pub(super) fn wchan(&self) -> String {
        let process = self.machine.proc.process(self.seen.pid);
        let wchan = process.and_then(|process| {
            process
                .task(self.thread.tid)
                .wchan(&mut self.machine.scratch())
        });
        wchan.ok().flatten().unwrap_or_default()
    }
}

impl Need {
    pub(super) fn new(
        facility: &'static str,
        resource: impl Into<String>,
        why: impl Into<String>,
        clause: Clause,
    ) -> Need {
        Need {
            facility,
            resource: resource.into(),
            why: why.into(),
            clause,
            by_handler: false,
            limited: false,
            naps: false,
        }
    }

    /// Somebody we do not know.
    pub(super) fn world(
        facility: &'static str,
        resource: impl Into<String>,
        why: impl Into<String>,
        whom: impl Into<String>,
    ) -> Need {
        Need::new(
            facility,
            resource,
            why,
            Clause::default().outside(Outside::World(whom.into())),
        )
    }

    pub(super) fn by_handler(mut self) -> Need {
        self.by_handler = true;
        self
    }

    pub(super) fn limited(mut self, limited: bool) -> Need {
        self.limited |= limited;
        self
    }

    /// As the only thing waited for.
    pub(super) fn wait(self) -> State {
        let mut wait = Wait::new(self.facility, self.resource, self.why)
            .clause(self.clause)
            .limited(self.limited);
        wait.by_handler = self.by_handler;
        wait.naps = self.naps;
        State::Waiting(wait)
    }
}

/// A thread that needs nobody.
pub(super) fn live(why: impl Into<String>) -> State {
    State::Live(why.into())
}

/// Adds a waker unless the same is there already.
pub(super) fn add(wakers: &mut Vec<Waker>, waker: Waker) {
    match wakers.iter_mut().find(|known| known.who == waker.who) {
        None => wakers.push(waker),
        Some(known) => {
            if known.tier < waker.tier {
                known.tier = waker.tier;
            }
            if known.role != waker.role && !waker.role.is_empty() {
                known.role = format!("{}, {}", known.role, waker.role);
            }
        }
    }
}

/// Long lists of wakers become groups, the same list the same group: n waiters with m wakers are n + m edges.
fn share(graph: &mut WaitGraph, clause: &mut Clause) {
    let evident = clause
        .wakers
        .iter()
        .filter(|waker| waker.tier == Tier::Evident)
        .count();
    if evident < SHARED_FROM {
        return;
    }
    let (mut shared, rest): (Vec<Waker>, Vec<Waker>) = std::mem::take(&mut clause.wakers)
        .into_iter()
        .partition(|waker| waker.tier == Tier::Evident);
    shared.sort_by_key(|waker| format!("{:?}", waker.who));
    let group: GroupId = graph.shared_group(shared);
    clause.wakers = rest;
    clause.wakers.insert(0, Waker::group(group));
}
