//! Options of a semaphore set, and the making of one without a race.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::set::{Set, find};
use super::{FACILITY, Op};
use crate::error::{Error, Kind, Result};
use crate::key::Key;
use crate::sys::{sem, since_1970};

/// How long a set may have no values before its creator counts as dead.
const GRACE: Duration = Duration::from_secs(2);
/// How often to look whether it has got them.
const LOOK: Duration = Duration::from_millis(1);

/// How a set is made or opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: u32,
    temporary: bool,
    undo: bool,
    unset: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: 0o600,
            temporary: false,
            undo: true,
            unset: false,
        }
    }
}

impl Options {
    /// The defaults: for this user only, kept, permits undone at exit.
    pub fn new() -> Self {
        Options::default()
    }

    /// Who else may use a new one, exactly (there is no umask here); 0600 otherwise.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Whether it is removed when this handle is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Whether the kernel gives back the permits that this handle acquires when the process ends. Yes, unless told.
    #[doc(alias = "SEM_UNDO")]
    pub fn undo(mut self, undo: bool) -> Self {
        self.undo = undo;
        self
    }

    /// Whether to open, at once, a set that nobody has given values, as `ipcmk(1)` leaves one.
    pub fn unset(mut self, unset: bool) -> Self {
        self.unset = unset;
        self
    }

    /// Makes a new set with one semaphore for each value.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit`, naming it; `BadInput` without a value; `NotFound` when the key's file does not exist.
    #[doc(alias = "semget")]
    pub fn create(&self, key: impl Into<Key>, values: &[u16]) -> Result<Set> {
        let key = key.into();
        let number = key
            .number()
            .map_err(|cause| FACILITY.failed("create", &key, cause))?;
        let Some(number) = number else {
            return Err(FACILITY.error(
                Kind::BadName,
                "create",
                &key,
                "the kernel chooses identifiers; give a key",
            ));
        };
        check(&key, values)?;
        let flags = (self.mode & 0o777).cast_signed() | libc::IPC_CREAT | libc::IPC_EXCL;
        let id = sem::get(number, values.len(), flags)
            .map_err(|errno| FACILITY.failed("create", &key, errno))?;
        let set = self.set(id, &key, values.len());
        initialise(id, values).or_else(|errno| match errno {
            // Somebody thought us dead and did our work.
            Errno::AGAIN => Ok(()),
            errno => {
                let _ = sem::remove(id);
                Err(set.failed("create", errno))
            }
        })?;
        Ok(set)
    }

    /// Opens a set that exists.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `Corrupt` when its creator has given it no values for two seconds.
    #[doc(alias = "semget")]
    pub fn open(&self, key: impl Into<Key>) -> Result<Set> {
        let key = key.into();
        match self.found(&key)? {
            (set, true) => Ok(set),
            (set, false) => Err(set
                .error(
                    Kind::Corrupt,
                    "open",
                    "its creator gave it no values; it may have been killed",
                )
                .with_hint(
                    "remove it, or open_or_create it; if it is meant to be so, open it with unset",
                )),
        }
    }

    /// Opens the set that exists, with the values it has, or makes it.
    ///
    /// # Errors
    /// As for both; `BadInput` when the one that exists has fewer semaphores.
    pub fn open_or_create(&self, key: impl Into<Key>, values: &[u16]) -> Result<Set> {
        let key = key.into();
        if key == Key::Private {
            return self.create(key, values);
        }
        loop {
            match self.found(&key) {
                Ok((set, _)) if set.count() < values.len() => {
                    let why = format!(
                        "it exists with {} semaphores, fewer than {}",
                        set.count(),
                        values.len()
                    );
                    return Err(set.error(Kind::BadInput, "open", why));
                }
                Ok((set, true)) => return Ok(set),
                // Its creator is dead: all who see that try the same, and one of them succeeds.
                Ok((set, false)) => match initialise(set.id(), values) {
                    Ok(()) | Err(Errno::AGAIN) => return Ok(set),
                    Err(errno) => return Err(set.failed("take over", errno)),
                },
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Removed) => {}
                Err(error) => return Err(error),
            }
            match self.create(key.clone(), values) {
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }

    /// The set, and whether it has got its values: waits for that as long as its creator may be at it.
    fn found(&self, key: &Key) -> Result<(Set, bool)> {
        let id = find(key, "open")?;
        let began = Instant::now();
        loop {
            let stat = sem::stat(id).map_err(|errno| super::set::failed("open", key, errno))?;
            let count = usize::try_from(stat.sem_nsems).unwrap_or(0);
            let set = self.set(id, key, count);
            if stat.sem_otime != 0 || self.unset {
                return Ok((set, true));
            }
            // Others initialise by semctl alone, which leaves their process id but no stamp.
            let touched = touched(&set)?;
            let age = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .saturating_sub(Duration::from_secs(
                    since_1970(stat.sem_ctime).cast_unsigned(),
                ));
            let late = began.elapsed() >= GRACE && age >= GRACE;
            match touched {
                Touched::All => return Ok((set, true)),
                Touched::Some if late => return Ok((set, true)),
                Touched::None if late => return Ok((set, false)),
                _ => {}
            }
            set.keep();
            std::thread::sleep(LOOK);
        }
    }

    fn set(&self, id: i32, key: &Key, count: usize) -> Set {
        Set::new(id, key, count, self.undo, self.temporary)
    }
}

/// Who has set values without an operation.
enum Touched {
    None,
    Some,
    All,
}

fn touched(set: &Set) -> Result<Touched> {
    let mut touched = 0;
    for index in 0..set.count() {
        if set.last_process(u16::try_from(index).unwrap_or(u16::MAX))? != 0 {
            touched += 1;
        }
    }
    Ok(match touched {
        0 => Touched::None,
        all if all == set.count() => Touched::All,
        _ => Touched::Some,
    })
}

/// Gives all values at once, and with them the stamp, provided that all are zero as the kernel makes them.
fn initialise(id: i32, values: &[u16]) -> Result<(), Errno> {
    let limit = super::OPERATIONS.value().unwrap_or(32);
    let at_once = usize::try_from(limit / 2).unwrap_or(16).max(1);
    if values.len() > at_once {
        // Too many for one call: first the values, then the stamp.
        sem::set_values(id, values)?;
        // No change, which passes whatever the value: down and up where there is one, else wait for zero.
        let stamp: &[Op] = match values[0] {
            0 => &[Op::wait_for_zero(0)],
            _ => &[Op::acquire(0, 1), Op::release(0, 1)],
        };
        return sem::operate(id, Op::operations(stamp), Some(Duration::ZERO));
    }
    let indexes = 0..u16::try_from(values.len()).unwrap_or(u16::MAX);
    let zero = indexes.clone().map(Op::wait_for_zero);
    let raise = indexes
        .zip(values)
        .filter(|(_, value)| **value > 0)
        .map(|(index, value)| Op::release(index, *value));
    let ops: Vec<Op> = zero.chain(raise).collect();
    sem::operate(id, Op::operations(&ops), Some(Duration::ZERO))
}

fn check(key: &Key, values: &[u16]) -> Result<()> {
    let limit = |limit: &crate::limit::Limit, why: String| -> Error {
        FACILITY
            .error(Kind::Limit, "create", key, why)
            .with_detail(limit.to_string())
    };
    if values.is_empty() {
        return Err(FACILITY.error(Kind::BadInput, "create", key, "it needs at least one value"));
    }
    if super::PER_SET
        .value()
        .is_some_and(|most| values.len() as u64 > most)
    {
        return Err(limit(
            &super::PER_SET,
            format!("{} semaphores are too many", values.len()),
        ));
    }
    let greatest = super::GREATEST.value().unwrap_or(0);
    match values.iter().find(|value| u64::from(**value) > greatest) {
        Some(value) => Err(limit(
            &super::GREATEST,
            format!("the value {value} is too great"),
        )),
        None => Ok(()),
    }
}
