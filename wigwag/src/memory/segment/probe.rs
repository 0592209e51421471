//! Probe: whether each gate that lies in a segment can be used here, by making one and going through it.

use super::Segment;
use crate::error::Result;
use crate::gate::{Barrier, Condvar, Monitor, Mutex, RwLock, Semaphore, SpinLock};

pub(crate) fn semaphore() -> Result<()> {
    Segment::anonymous(Semaphore::new(1))?.acquire().map(drop)
}

pub(crate) fn mutex() -> Result<()> {
    Segment::anonymous(Mutex::new(()))?.lock().map(drop)
}

pub(crate) fn rwlock() -> Result<()> {
    let lock = Segment::anonymous(RwLock::<()>::new(()))?;
    drop(lock.read()?);
    lock.write().map(drop)
}

pub(crate) fn condvar() -> Result<()> {
    Segment::anonymous(Condvar::new())?.signal();
    Ok(())
}

pub(crate) fn barrier() -> Result<()> {
    Segment::anonymous(Barrier::<1>::new())?
        .join()?
        .wait()
        .map(drop)
}

pub(crate) fn monitor() -> Result<()> {
    Segment::anonymous(Monitor::new(()))?.enter().map(drop)
}

pub(crate) fn spin() -> Result<()> {
    Segment::anonymous(SpinLock::new(()))?.lock().map(drop)
}
