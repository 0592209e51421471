//! Hall: one of every gate, and for each how it is held, how one passes it, and what a holder's death means to the next.
#![allow(dead_code)] // each test binary uses its share

use std::any::Any;
use std::time::Duration;

use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, OnceCell, RobustSemaphore, RwLock, Semaphore, SpinLock,
    TicketLock, WaryMutex,
};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;
use wigwag::{Kind, Wait};

use crate::process::{self, Child, DEATHS, PATIENCE};

/// Longer than a waiter sleeps before it looks around.
pub const A_WHILE: Duration = Duration::from_millis(700);

wigwag::shared! {
    pub struct Hall {
        pub mutex: Mutex<u64>,
        pub inheriting: Mutex<u64>,
        pub wary: WaryMutex<u64>,
        pub spin: SpinLock<u64>,
        pub ticket: TicketLock<u64, 32>,
        pub permits: Semaphore,
        pub robust: RobustSemaphore<1>,
        pub read: RwLock<u64, 2>,
        pub slots: RwLock<u64, 2>,
        pub write: RwLock<u64, 2>,
        pub monitor: Monitor<u64>,
        pub barrier: Barrier<2>,
        pub once: OnceCell<u64>,
        pub flag: Mutex<u64>,
        pub raised: Condvar,
        pub wary_flag: WaryMutex<u64>,
        pub wary_raised: Condvar,
        pub watched: Monitor<u64>,
    }
}

pub fn hall(name: &str, death: Death) -> Segment<Hall> {
    let hall = Hall {
        mutex: Mutex::new(0),
        inheriting: Mutex::inheriting(0),
        wary: WaryMutex::new(0),
        spin: SpinLock::new(0),
        ticket: TicketLock::new(0),
        permits: Semaphore::new(1),
        robust: RobustSemaphore::new(1),
        read: RwLock::new(0),
        slots: RwLock::new(0),
        write: RwLock::new(0),
        monitor: Monitor::new(0),
        barrier: Barrier::new(),
        once: OnceCell::new(),
        flag: Mutex::new(0),
        raised: Condvar::new(),
        wary_flag: WaryMutex::new(0),
        wary_raised: Condvar::new(),
        watched: Monitor::new(0),
    };
    let options = Options::new().temporary(true).death(death);
    options.create(name, hall).unwrap()
}

/// What a holder's death means to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Gets it and is told.
    Told,
    /// Gets it, and there is nothing to tell.
    Gets,
    /// Gets it, and is told, when the whole process has ended.
    ToldOfAProcess,
    /// Gets it never: nobody knows who had it.
    Never,
}

/// One kind of gate.
pub struct Gate {
    pub name: &'static str,
    pub next: Next,
    /// Whether the kernel takes it from who runs another program.
    pub listed: bool,
    /// Keeps others waiting until what it returns is dropped.
    pub hold: fn(&'static Hall) -> Box<dyn Any>,
    /// Goes through once, at most after that time; whether it was told of a death.
    pub pass: fn(&Hall, Duration) -> Result<bool, Kind>,
}

/// The end of a flag that keeps waiters of a condition waiting.
struct Raise<F: Fn()>(F);

impl<F: Fn()> Drop for Raise<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn kind(error: wigwag::Error) -> Kind {
    error.kind()
}

/// Tells whether it was an orphan, and repairs it.
macro_rules! told {
    ($lock:expr) => {{
        let lock = $lock.map_err(kind)?;
        let told = lock.is_orphaned();
        drop(lock.or_repair(|_| ()));
        Ok(told)
    }};
}

/// Those with a holder.
pub const HELD: &[Gate] = &[
    Gate {
        name: "mutex",
        next: Next::Told,
        listed: true,
        hold: |hall| Box::new(hall.mutex.lock().unwrap()),
        pass: |hall, limit| told!(hall.mutex.lock_timeout(limit)),
    },
    Gate {
        name: "inheriting mutex",
        next: Next::Told,
        listed: true,
        hold: |hall| Box::new(hall.inheriting.lock().unwrap()),
        pass: |hall, limit| told!(hall.inheriting.lock_timeout(limit)),
    },
    Gate {
        name: "wary mutex",
        next: Next::Told,
        listed: false,
        hold: |hall| Box::new(hall.wary.lock_timeout(PATIENCE).unwrap()),
        pass: |hall, limit| Ok(hall.wary.lock_timeout(limit).map_err(kind)?.1),
    },
    Gate {
        name: "spin lock",
        next: Next::Told,
        listed: false,
        hold: |hall| Box::new(hall.spin.lock().unwrap()),
        pass: |hall, limit| told!(hall.spin.lock_timeout(limit)),
    },
    Gate {
        name: "ticket lock",
        next: Next::Told,
        listed: false,
        hold: |hall| Box::new(hall.ticket.lock().unwrap()),
        pass: |hall, limit| told!(hall.ticket.lock_timeout(limit)),
    },
    Gate {
        name: "semaphore",
        next: Next::Never,
        listed: false,
        hold: |hall| Box::new(hall.permits.acquire().unwrap()),
        pass: |hall, limit| {
            drop(hall.permits.acquire_timeout(limit).map_err(kind)?);
            Ok(false)
        },
    },
    Gate {
        name: "robust semaphore",
        next: Next::ToldOfAProcess,
        listed: false,
        hold: |hall| Box::new(hall.robust.acquire().unwrap()),
        pass: |hall, limit| {
            let permit = hall.robust.acquire_timeout(limit).map_err(kind)?;
            Ok(permit.from_dead().is_some())
        },
    },
    Gate {
        name: "readers-writer lock that is read",
        next: Next::Gets,
        listed: false,
        hold: |hall| Box::new(hall.read.read().unwrap()),
        pass: |hall, limit| told!(hall.read.write_timeout(limit)),
    },
    Gate {
        name: "readers-writer lock without a free slot",
        next: Next::Gets,
        listed: false,
        hold: |hall| Box::new([hall.slots.read().unwrap(), hall.slots.read().unwrap()]),
        pass: |hall, limit| told!(hall.slots.read_timeout(limit)),
    },
    Gate {
        name: "readers-writer lock that is written",
        next: Next::Told,
        listed: true,
        hold: |hall| Box::new(hall.write.write().unwrap()),
        pass: |hall, limit| told!(hall.write.read_timeout(limit)),
    },
    Gate {
        name: "monitor",
        next: Next::Told,
        listed: true,
        hold: |hall| Box::new(hall.monitor.enter().unwrap()),
        pass: |hall, limit| told!(hall.monitor.enter_timeout(limit)),
    },
    Gate {
        name: "barrier",
        next: Next::Told,
        listed: false,
        hold: |hall| Box::new(hall.barrier.join().unwrap()),
        pass: |hall, limit| {
            let seat = hall.barrier.join().map_err(kind)?;
            Ok(seat.wait_timeout(limit).map_err(kind)?.lost() > 0)
        },
    },
];

/// Those without: what is waited for is a thread that makes something, or a change.
pub const AWAITED: &[Gate] = &[
    Gate {
        name: "once cell",
        next: Next::Gets,
        listed: false,
        hold: |hall| {
            let (done, waits) = std::sync::mpsc::channel::<()>();
            let (begins, begun) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let _ = hall.once.get_or_init(|| {
                    begins.send(()).unwrap();
                    let _ = waits.recv();
                    1
                });
            });
            begun.recv().unwrap();
            Box::new(done)
        },
        pass: |hall, limit| {
            hall.once
                .get_or_init_with(Wait::For(limit), || 2)
                .map_err(kind)?;
            Ok(false)
        },
    },
    Gate {
        name: "condition variable",
        next: Next::Never,
        listed: false,
        hold: |hall| {
            Box::new(Raise(|| {
                *hall.flag.lock().unwrap().or_repair(|_| ()) = 1;
                hall.raised.broadcast();
            }))
        },
        pass: |hall, limit| {
            let flag = hall.flag.lock_timeout(limit).map_err(kind)?;
            let waited = hall
                .raised
                .wait_while_timeout(flag.or_repair(|_| ()), limit, |flag| *flag == 0);
            match waited.map_err(kind)? {
                (_, true) => Err(Kind::TimedOut),
                (_, false) => Ok(false),
            }
        },
    },
    Gate {
        name: "condition variable of a wary mutex",
        next: Next::Never,
        listed: false,
        hold: |hall| {
            Box::new(Raise(|| {
                hall.wary_flag.lock_timeout(PATIENCE).unwrap().0.set(1);
                hall.wary_raised.broadcast();
            }))
        },
        pass: |hall, limit| {
            let (flag, _) = hall.wary_flag.lock_timeout(limit).map_err(kind)?;
            let waited = flag.wait_while(&hall.wary_raised, limit, |flag| flag == 0);
            waited.map(|_| false).map_err(kind)
        },
    },
    Gate {
        name: "monitor with a condition",
        next: Next::Never,
        listed: false,
        hold: |hall| {
            Box::new(Raise(|| {
                *hall.watched.enter().unwrap().or_repair(|_| ()) = 1;
            }))
        },
        pass: |hall, limit| {
            let inside = hall.watched.enter_timeout(limit).map_err(kind)?;
            let inside = inside.or_repair(|_| ());
            inside
                .when_timeout(limit, |flag| *flag == 1)
                .map(|_| false)
                .map_err(kind)
        },
    },
];

pub fn all() -> impl Iterator<Item = &'static Gate> {
    HELD.iter().chain(AWAITED)
}

/// All at once: what came of trying each for that long.
pub fn pass_each(
    hall: &Hall,
    gates: impl Iterator<Item = &'static Gate>,
    limit: Duration,
) -> Vec<(&'static Gate, Result<bool, Kind>)> {
    std::thread::scope(|scope| {
        let tries: Vec<_> = gates
            .map(|gate| (gate, scope.spawn(|| (gate.pass)(hall, limit))))
            .collect();
        let ended = tries.into_iter();
        ended
            .map(|(gate, tried)| (gate, tried.join().unwrap()))
            .collect()
    })
}

/// Nobody gets in, and nobody was told that the holder is dead.
pub fn none_passes(hall: &Hall, gates: impl Iterator<Item = &'static Gate>, when: &str) {
    for (gate, passed) in pass_each(hall, gates, A_WHILE) {
        assert_eq!(passed, Err(Kind::TimedOut), "{}: {when}", gate.name);
    }
}

pub fn opened() -> &'static Segment<Hall> {
    Box::leak(Box::new(
        Segment::<Hall>::open(process::argument("NAME")).unwrap(),
    ))
}

/// For each way to notice death: a hall, and a child that plays `part` with it and has said "holds".
pub fn with_each(test: &str, part: &str, then: impl Fn(&Segment<Hall>, Child, Death)) {
    for death in DEATHS {
        let name = format!("/{}", process::unique("circumstances"));
        let hall = hall(&name, *death);
        let mut child = process::play(test, part, &[("NAME", &name)]).start();
        child.says("holds");
        then(&hall, child, *death);
    }
}
