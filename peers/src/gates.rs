//! Gates: the gates in memory against those of POSIX threads, between two processes, alternating in one run.
//!
//! The second process is this program again; it asks [`partner`] what to do. Each side has its own
//! partner, asleep at its gate while the other side is timed.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wigwag::gate::{Condvar, Mutex, RwLock, Semaphore, watch};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;

use crate::duel::{Effort, duel, median};
use crate::row::{Must, Row};

wigwag::shared! {
    /// Our gates, and what the two processes tell each other.
    struct Ours {
        theirs: [AtomicU64; THEIRS],
        mutex: Mutex<u64>,
        inheriting: Mutex<u64>,
        ping: Semaphore,
        pong: Semaphore,
        turn: Mutex<u64>,
        pinged: Condvar,
        ponged: Condvar,
        rwlock: RwLock<u64>,
        /// Which contest the partner is to take part in; 0 none, `STOP` ends it.
        contest: AtomicU32,
        /// How often the partner was inside, and whether it is in the contest.
        partner: AtomicU64,
        there: AtomicU32,
    }
}

/// Begins on a cache line of its own, as our mutexes and locks do.
#[repr(C, align(64))]
struct Line<T>(T);

/// The gates of POSIX threads, each with what it guards; they lie in the words at the beginning of [`Ours`].
#[repr(C)]
struct Theirs {
    mutex: Line<(libc::pthread_mutex_t, u64)>,
    inheriting: Line<(libc::pthread_mutex_t, u64)>,
    ping: Line<libc::sem_t>,
    pong: Line<libc::sem_t>,
    lock: Line<(libc::pthread_mutex_t, u64)>,
    pinged: Line<libc::pthread_cond_t>,
    ponged: Line<libc::pthread_cond_t>,
    rwlock: Line<(libc::pthread_rwlock_t, u64)>,
}

const THEIRS: usize = size_of::<Theirs>().div_ceil(8);
const STOP: u32 = u32::MAX;
const PARTNER: &str = "PEERS_PARTNER";
/// How long both contend for a lock: long enough for many sleeps and wake-ups, so that fairness means something.
const CONTENTION: Duration = Duration::from_millis(20);
/// How long both read, where nobody sleeps: shorter than a time slice.
const READING: Duration = Duration::from_millis(2);
/// So many contests are held for each that counts: the others found the cores busy with something else.
const ATTEMPTS: u32 = 4;
/// How long a partner may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an owner's death may take to reach the next owner.
const DEATH_MICROSECONDS: f64 = 200.0;

/// Something that can be done with one side of the arena.
type Deed = fn(&Arena) -> io::Result<()>;

struct Arena {
    ours: Segment<Ours>,
    theirs: *mut Theirs,
    /// What threads of one process use.
    std: Line<std::sync::Mutex<u64>>,
}

impl Arena {
    fn of(ours: Segment<Ours>) -> Self {
        let theirs = ours.theirs.as_ptr().cast_mut().cast();
        let std = Line(std::sync::Mutex::new(0));
        Arena { ours, theirs, std }
    }

    fn create(name: &str) -> wigwag::Result<Self> {
        let value = Ours {
            mutex: Mutex::new(0),
            inheriting: Mutex::inheriting(0),
            ping: Semaphore::new(0),
            pong: Semaphore::new(0),
            turn: Mutex::new(0),
            pinged: Condvar::new(),
            ponged: Condvar::new(),
            rwlock: RwLock::new(0),
            contest: AtomicU32::new(0),
            partner: AtomicU64::new(0),
            there: AtomicU32::new(0),
            theirs: [const { AtomicU64::new(0) }; THEIRS],
        };
        let arena = Self::of(Options::new().temporary(true).create(name, value)?);
        arena.init_theirs();
        Ok(arena)
    }

    fn init_theirs(&self) {
        // SAFETY: the objects lie in words of the segment that nothing else uses, aligned for them, and nobody
        // knows them yet. The attributes are initialised before they are used.
        unsafe {
            let mut mutex = std::mem::zeroed();
            libc::pthread_mutexattr_init(&raw mut mutex);
            libc::pthread_mutexattr_setpshared(&raw mut mutex, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(&raw mut mutex, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutex_init(&raw mut (*self.theirs).mutex.0.0, &raw const mutex);
            libc::pthread_mutex_init(&raw mut (*self.theirs).lock.0.0, &raw const mutex);
            libc::pthread_mutexattr_setprotocol(&raw mut mutex, libc::PTHREAD_PRIO_INHERIT);
            libc::pthread_mutex_init(&raw mut (*self.theirs).inheriting.0.0, &raw const mutex);
            let mut cond = std::mem::zeroed();
            libc::pthread_condattr_init(&raw mut cond);
            libc::pthread_condattr_setpshared(&raw mut cond, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_cond_init(&raw mut (*self.theirs).pinged.0, &raw const cond);
            libc::pthread_cond_init(&raw mut (*self.theirs).ponged.0, &raw const cond);
            let mut rwlock = std::mem::zeroed();
            libc::pthread_rwlockattr_init(&raw mut rwlock);
            libc::pthread_rwlockattr_setpshared(&raw mut rwlock, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_rwlock_init(&raw mut (*self.theirs).rwlock.0.0, &raw const rwlock);
            libc::sem_init(&raw mut (*self.theirs).ping.0, 1, 0);
            libc::sem_init(&raw mut (*self.theirs).pong.0, 1, 0);
        }
    }
}

// The three that lock are inlined into the loops that time them, so that none pays for a call that is the benchmark's.
#[inline(always)]
fn ours_locks(arena: &Arena) -> io::Result<()> {
    *arena.ours.mutex.lock()?.or_repair(|_| ()) += 1;
    Ok(())
}

#[inline(always)]
fn std_locks(arena: &Arena) -> io::Result<()> {
    let poisoned = |_| io::Error::other("poisoned");
    *arena.std.0.lock().map_err(poisoned)? += 1;
    Ok(())
}

#[inline(always)]
fn theirs_locks(arena: &Arena) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: they are live in the segment.
    unsafe { pthread_locks(&raw mut (*theirs).mutex.0) }
}

#[inline(always)]
fn ours_inherits(arena: &Arena) -> io::Result<()> {
    *arena.ours.inheriting.lock()?.or_repair(|_| ()) += 1;
    Ok(())
}

#[inline(always)]
fn theirs_inherits(arena: &Arena) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: they are live in the segment.
    unsafe { pthread_locks(&raw mut (*theirs).inheriting.0) }
}

/// Locks, adds and unlocks.
///
/// # Safety
/// A live and initialised mutex of POSIX threads; the number is used by who has it.
#[inline(always)]
unsafe fn pthread_locks(mutex: *mut (libc::pthread_mutex_t, u64)) -> io::Result<()> {
    // SAFETY: as the caller says.
    unsafe {
        checked(libc::pthread_mutex_lock(&raw mut (*mutex).0))?;
        (*mutex).1 += 1;
        checked(libc::pthread_mutex_unlock(&raw mut (*mutex).0))
    }
}

fn ours_reads(arena: &Arena) -> io::Result<()> {
    std::hint::black_box(*arena.ours.rwlock.read()?.or_repair(|_| ()));
    Ok(())
}

fn theirs_reads(arena: &Arena) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: as above; nobody writes the value in this contest.
    unsafe {
        checked(libc::pthread_rwlock_rdlock(&raw mut (*theirs).rwlock.0.0))?;
        std::hint::black_box((*theirs).rwlock.0.1);
        checked(libc::pthread_rwlock_unlock(&raw mut (*theirs).rwlock.0.0))
    }
}

fn ours_pings(arena: &Arena) -> io::Result<()> {
    arena.ours.ping.release(1)?;
    arena.ours.pong.acquire()?.forget();
    Ok(())
}

fn ours_pongs(arena: &Arena) -> io::Result<()> {
    arena.ours.ping.acquire()?.forget();
    Ok(arena.ours.pong.release(1)?)
}

fn theirs_pings(arena: &Arena) -> io::Result<()> {
    // SAFETY: initialised semaphores.
    unsafe {
        libc::sem_post(&raw mut (*arena.theirs).ping.0);
        while libc::sem_wait(&raw mut (*arena.theirs).pong.0) != 0 {}
    }
    Ok(())
}

fn theirs_pongs(arena: &Arena) -> io::Result<()> {
    // SAFETY: initialised semaphores.
    unsafe {
        while libc::sem_wait(&raw mut (*arena.theirs).ping.0) != 0 {}
        libc::sem_post(&raw mut (*arena.theirs).pong.0);
    }
    Ok(())
}

/// Makes `turn` odd if `ping`, tells the other, and with `ping` waits until it is even again; else the other way about.
fn ours_take_turns(arena: &Arena, ping: bool) -> io::Result<()> {
    let Ours {
        turn,
        pinged,
        ponged,
        ..
    } = &*arena.ours;
    let (mine, other) = if ping {
        (ponged, pinged)
    } else {
        (pinged, ponged)
    };
    let is_mine = |turn: u64| turn.is_multiple_of(2) == ping;
    let guard = turn.lock()?.or_repair(|_| ());
    let mut guard = mine
        .wait_while(guard, |turn| !is_mine(*turn))?
        .or_repair(|_| ());
    *guard += 1;
    other.signal_unlock(guard);
    if ping {
        let guard = turn.lock()?.or_repair(|_| ());
        drop(mine.wait_while(guard, |turn| !is_mine(*turn))?);
    }
    Ok(())
}

/// The same with POSIX threads; it signals without the lock too, which is their faster way.
fn theirs_take_turns(arena: &Arena, ping: bool) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: initialised objects of POSIX threads; the turn belongs to who has the lock.
    unsafe {
        let (mine, other) = if ping {
            (&raw mut (*theirs).ponged.0, &raw mut (*theirs).pinged.0)
        } else {
            (&raw mut (*theirs).pinged.0, &raw mut (*theirs).ponged.0)
        };
        let lock = &raw mut (*theirs).lock.0.0;
        let turn = &raw mut (*theirs).lock.0.1;
        checked(libc::pthread_mutex_lock(lock))?;
        while turn.read_volatile().is_multiple_of(2) != ping {
            checked(libc::pthread_cond_wait(mine, lock))?;
        }
        *turn += 1;
        checked(libc::pthread_mutex_unlock(lock))?;
        checked(libc::pthread_cond_signal(other))?;
        if ping {
            checked(libc::pthread_mutex_lock(lock))?;
            while !turn.read_volatile().is_multiple_of(2) {
                checked(libc::pthread_cond_wait(mine, lock))?;
            }
            checked(libc::pthread_mutex_unlock(lock))?;
        }
    }
    Ok(())
}

fn checked(errno: i32) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Puts this process on core 0, or on all that it had.
fn pin(one_core: bool) -> io::Result<()> {
    run_on(one_core.then_some(0))?;
    // What a process that starts there would choose for itself.
    watch::set_spin(if one_core { 0 } else { watch::DEFAULT_SPIN });
    Ok(())
}

fn run_on(core: Option<usize>) -> io::Result<()> {
    // SAFETY: a set of numbers; the calls get its address and size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if let Some(core) = core {
            libc::CPU_SET(core, &mut set);
        } else {
            (0..libc::CPU_SETSIZE as usize).for_each(|core| libc::CPU_SET(core, &mut set));
        }
        if libc::sched_setaffinity(0, size_of_val(&set), &raw const set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Contests, by the number that the partner is told.
const CONTESTS: [Deed; 4] = [ours_locks, theirs_locks, ours_reads, theirs_reads];

/// In the second process: plays its part, and returns true when it is over. False in the first.
pub fn partner() -> bool {
    let Ok(part) = std::env::var(PARTNER) else {
        return false;
    };
    if let Err(error) = play(&part) {
        eprintln!("peers: the partner: {error}");
    }
    true
}

fn play(part: &str) -> io::Result<()> {
    let (part, name) = part.rsplit_once(' ').unwrap_or((part, ""));
    let arena = Arena::of(Segment::open(name)?);
    if part.ends_with("one core") {
        pin(true)?;
    }
    let ready = || {
        io::stdout()
            .write_all(b"r")
            .and_then(|()| io::stdout().flush())
    };
    // It ends when it is killed, or at the end of this input.
    let forever = |deed: &dyn Fn() -> io::Result<()>| -> io::Result<()> {
        loop {
            deed()?;
        }
    };
    match part.trim_end_matches("-one core") {
        "ours-semaphore" => ready().and_then(|()| forever(&|| ours_pongs(&arena))),
        "theirs-semaphore" => ready().and_then(|()| forever(&|| theirs_pongs(&arena))),
        "ours-condvar" => ready().and_then(|()| forever(&|| ours_take_turns(&arena, false))),
        "theirs-condvar" => ready().and_then(|()| forever(&|| theirs_take_turns(&arena, false))),
        "ours-owner" => {
            let _guard = arena.ours.mutex.lock()?.or_repair(|_| ());
            ready()?;
            io::stdin().read(&mut [0]).map(drop)
        }
        "contest" => {
            let cores = std::thread::available_parallelism()?.get();
            run_on(Some(1.min(cores - 1)))?;
            ready()?;
            contest(&arena)
        }
        _ => Err(io::Error::other(format!("no part {part}"))),
    }
}

/// The partner's side of all contests.
fn contest(arena: &Arena) -> io::Result<()> {
    let mut done = 0;
    loop {
        match arena.ours.contest.load(Relaxed) {
            STOP => return Ok(()),
            0 => {
                arena.ours.there.store(0, Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            }
            number => {
                arena.ours.there.store(number, Relaxed);
                CONTESTS[number as usize - 1](arena)?;
                done += 1;
                arena.ours.partner.store(done, Relaxed);
            }
        }
    }
}

/// A second process; killed when dropped.
struct Partner(Child);

impl Partner {
    fn start(part: &str, name: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(PARTNER, format!("{part} {name}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ready = child
            .stdout
            .as_mut()
            .map_or(Ok(0), |out| out.read(&mut [0]));
        let partner = Partner(child);
        match ready? {
            0 => Err(io::Error::other(format!(
                "the partner for {part} did not start"
            ))),
            _ => Ok(partner),
        }
    }
}

impl Partner {
    /// Spins until it has done what it was told; an error when it has ended instead, so that nobody waits for it for ever.
    fn until(&mut self, done: impl Fn() -> bool) -> io::Result<()> {
        let start = Instant::now();
        for turn in 0_u32.. {
            if done() {
                break;
            }
            std::hint::spin_loop();
            if turn % 4096 != 4095 {
                continue;
            }
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("the partner ended: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("the partner does not do what it is told"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every comparison whose name is wanted.
pub fn rows(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Row>> {
    let name = format!("/peers-{}", std::process::id());
    let arena = Arena::create(&name)?;
    let mut rows = Vec::new();
    uncontended(&arena, effort, wanted, &mut rows)?;
    if wanted("mutex: owner killed, to the next owner") {
        rows.push(death(&arena, &name)?);
    }
    contested(&arena, &name, effort, wanted, &mut rows)?;
    for one_core in [true, false] {
        hand_overs(&arena, &name, effort, one_core, wanted, &mut rows)?;
    }
    Ok(rows)
}

fn uncontended(
    arena: &Arena,
    effort: Effort,
    wanted: &dyn Fn(&str) -> bool,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    let name = "inheriting mutex: lock and unlock, alone";
    if wanted(name) {
        let (ours, theirs) = (|| ours_inherits(arena), || theirs_inherits(arena));
        let peer = "pthread, robust, inheriting, shared";
        rows.push(duel(effort, name, peer, Must::AtMost(1.2), ours, theirs)?);
    }
    let name = "mutex: lock and unlock, alone";
    if !wanted(name) {
        return Ok(());
    }
    let ours = || ours_locks(arena);
    rows.push(duel(
        effort,
        name,
        "pthread, robust, shared",
        Must::AtMost(0.85),
        ours,
        || theirs_locks(arena),
    )?);
    // Two threads have been there, so that no library takes its way for programs with one.
    let std = &arena.std.0;
    std::thread::scope(|scope| drop(scope.spawn(|| drop(std.lock()))));
    rows.push(duel(
        effort,
        name,
        "std::sync::Mutex",
        Must::AtMost(1.2),
        ours,
        || std_locks(arena),
    )?);
    Ok(())
}

/// How long the death of an owner takes to reach one who waits.
fn death(arena: &Arena, name: &str) -> io::Result<Row> {
    let mutex = &arena.ours.mutex;
    let mut times = Vec::new();
    for _ in 0..31 {
        let mut owner = Partner::start("ours-owner", name)?;
        let took = std::thread::scope(|scope| -> io::Result<f64> {
            let waiter = scope.spawn(move || {
                let orphaned = mutex.lock().map(|lock| {
                    let now = Instant::now();
                    let orphaned = lock.is_orphaned();
                    drop(lock.or_repair(|_| ()));
                    (orphaned, now)
                });
                orphaned.map_err(io::Error::from)
            });
            while mutex.waiters() == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(1));
            let start = Instant::now();
            owner.0.kill()?;
            match waiter.join() {
                Ok(Ok((true, now))) => Ok((now - start).as_nanos() as f64 / 1000.0),
                Ok(Ok((false, _))) => Err(io::Error::other("the owner's death was not told")),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::Error::other("the waiter panicked")),
            }
        })?;
        times.push(took);
    }
    let ours = median(&mut times);
    Ok(Row {
        name: "mutex: owner killed, to the next owner".into(),
        peer: "at most 200 µs".into(),
        ours,
        theirs: DEATH_MICROSECONDS,
        unit: "µs",
        ratio: ours / DEATH_MICROSECONDS,
        must: Must::AtMost(1.0),
    })
}

/// What was seen of one contest.
#[derive(Clone, Copy)]
struct Round {
    /// Millions of times a second that either was inside.
    rate: f64,
    /// The ratio of the one who was there less often to the other.
    fairness: f64,
    /// How long either wanted to run and could not, because the machine did something else: then the other had the gate
    /// for itself, which is fast and proves nothing.
    kept_away: Duration,
}

/// One contest.
fn round(arena: &Arena, partner: &mut Partner, number: u32, time: Duration) -> io::Result<Round> {
    arena.ours.contest.store(number, Relaxed);
    partner.until(|| arena.ours.there.load(Relaxed) == number)?;
    let before = arena.ours.partner.load(Relaxed);
    let delays =
        |partner: &Partner| Ok::<_, io::Error>(delay(std::process::id())? + delay(partner.0.id())?);
    let delays_before = delays(partner)?;
    let start = Instant::now();
    let mut mine = 0_u64;
    while start.elapsed() < time {
        for _ in 0..16 {
            CONTESTS[number as usize - 1](arena)?;
        }
        mine += 16;
    }
    let other = arena.ours.partner.load(Relaxed) - before;
    let seconds = start.elapsed().as_secs_f64();
    arena.ours.contest.store(0, Relaxed);
    partner.until(|| arena.ours.there.load(Relaxed) == 0)?;
    Ok(Round {
        rate: (mine + other) as f64 / seconds / 1e6,
        fairness: mine.min(other) as f64 / mine.max(other).max(1) as f64,
        kept_away: delays(partner)? - delays_before,
    })
}

/// How long the first thread of a process has been ready to run without running.
fn delay(pid: u32) -> io::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanoseconds = text
        .split(' ')
        .nth(1)
        .and_then(|number| number.parse().ok());
    let unknown =
        || io::Error::other("the kernel does not count how long a process waits for a core");
    Ok(Duration::from_nanos(nanoseconds.ok_or_else(unknown)?))
}

fn contested(
    arena: &Arena,
    name: &str,
    effort: Effort,
    wanted: &dyn Fn(&str) -> bool,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    let contests = [
        (
            "mutex: two processes at once",
            Some("mutex: fairness of two processes"),
            "pthread, robust, shared",
            1,
            CONTENTION,
        ),
        (
            "readers-writer lock: two processes read",
            None,
            "pthread_rwlock_t, shared",
            3,
            READING,
        ),
    ];
    // Each on a core of its own: on one they would take turns by the time slice, and meet in no cache line.
    let mut partner = Partner::start("contest", name)?;
    run_on(Some(0))?;
    for (speed, fair, peer, number, time) in contests {
        if !wanted(speed) && !fair.is_some_and(wanted) {
            continue;
        }
        let counting = (effort.rounds / 6).max(5);
        let mut held = Vec::new();
        for turn in 0..ATTEMPTS * counting {
            let first = round(arena, &mut partner, number + turn % 2, time)?;
            let second = round(arena, &mut partner, number + 1 - turn % 2, time)?;
            held.push(if turn % 2 == 0 {
                [first, second]
            } else {
                [second, first]
            });
        }
        held.sort_by_key(|sides| sides[0].kept_away.max(sides[1].kept_away));
        held.truncate(counting as usize);
        let all = |of: &dyn Fn(&[Round; 2]) -> f64| held.iter().map(of).collect::<Vec<_>>();
        let mut our_rates = all(&|sides| sides[0].rate);
        let mut their_rates = all(&|sides| sides[1].rate);
        let mut ratios = all(&|sides| sides[0].rate / sides[1].rate);
        let mut our_fair = all(&|sides| sides[0].fairness);
        let mut their_fair = all(&|sides| sides[1].fairness);
        let row = |name: &str, ours: &mut [f64], theirs: &mut [f64], unit, ratio| {
            let (ours, theirs) = (median(ours), median(theirs));
            let ratio = if ratio == 0.0 { ours / theirs } else { ratio };
            // Not worse, as far as that can be seen.
            let must = Must::AtLeast(if ratio == 0.0 { 0.97 } else { 1.0 });
            Row {
                name: name.into(),
                peer: peer.into(),
                ours,
                theirs,
                unit,
                ratio,
                must,
            }
        };
        rows.push(row(
            speed,
            &mut our_rates,
            &mut their_rates,
            "M/s",
            median(&mut ratios),
        ));
        if let Some(fair) = fair {
            rows.push(row(fair, &mut our_fair, &mut their_fair, "min/max", 0.0));
        }
    }
    arena.ours.contest.store(STOP, Relaxed);
    run_on(None)
}

fn hand_overs(
    arena: &Arena,
    name: &str,
    effort: Effort,
    one_core: bool,
    wanted: &dyn Fn(&str) -> bool,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    let (cores, suffix) = if one_core {
        ("one core", "-one core")
    } else {
        ("two cores", "")
    };
    let start = |part: &str| Partner::start(&format!("{part}{suffix}"), name);
    let row = format!("semaphore: there and back, {cores}");
    if wanted(&row) {
        pin(one_core)?;
        let _partners = (start("ours-semaphore")?, start("theirs-semaphore")?);
        // Not slower, as far as that can be seen.
        let must = Must::AtMost(1.03);
        rows.push(duel(
            effort,
            &row,
            "sem_t, shared",
            must,
            || ours_pings(arena),
            || theirs_pings(arena),
        )?);
    }
    let row = format!("condition variable: there and back, {cores}");
    if wanted(&row) {
        // A partner killed as it waits breaks pthread_cond_t for the next row: new ones.
        arena.init_theirs();
        pin(one_core)?;
        let _partners = (start("ours-condvar")?, start("theirs-condvar")?);
        let must = Must::AtMost(if one_core { 0.7 } else { 1.03 });
        let (ours, theirs) = (
            || ours_take_turns(arena, true),
            || theirs_take_turns(arena, true),
        );
        rows.push(duel(
            effort,
            &row,
            "pthread_cond_t, shared",
            must,
            ours,
            theirs,
        )?);
    }
    pin(false)
}
