//! Op: one change of one count; several of them happen at once or not at all.

use std::fmt;

use crate::sys::sem::Operation;

/// One change of one count, or a wait for it to be zero.
#[derive(Clone, Copy)]
#[repr(transparent)]
#[doc(alias = "sembuf")]
#[must_use]
pub struct Op(Operation);

impl Op {
    /// Takes `permits` of the semaphore at `index`, when there are so many.
    pub const fn acquire(index: u16, permits: u16) -> Self {
        // More than i16::MAX can never be had: the kernel's greatest value is that.
        Op::change(
            index,
            if permits > i16::MAX as u16 {
                i16::MIN
            } else {
                -(permits as i16)
            },
        )
    }

    /// Gives `permits` to the semaphore at `index`; at most 32767, the greatest value.
    pub const fn release(index: u16, permits: u16) -> Self {
        Op::change(
            index,
            if permits > i16::MAX as u16 {
                i16::MAX
            } else {
                permits as i16
            },
        )
    }

    /// Waits until the semaphore at `index` is zero.
    pub const fn wait_for_zero(index: u16) -> Self {
        Op::change(index, 0)
    }

    /// The same, undone by the kernel when this process ends.
    #[doc(alias = "SEM_UNDO")]
    pub const fn undo(self) -> Self {
        Op(Operation {
            sem_flg: self.0.sem_flg | libc::SEM_UNDO as i16,
            ..self.0
        })
    }

    const fn change(index: u16, change: i16) -> Self {
        Op(Operation {
            sem_num: index,
            sem_op: change,
            sem_flg: 0,
        })
    }

    /// As the kernel takes them.
    #[inline]
    pub(super) fn operations(ops: &[Op]) -> &[Operation] {
        // SAFETY: Op is a transparent wrapper, so a slice of them is a slice of operations.
        unsafe { std::slice::from_raw_parts(ops.as_ptr().cast(), ops.len()) }
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undo = self.0.sem_flg & libc::SEM_UNDO as i16 != 0;
        f.debug_struct("Op")
            .field("index", &self.0.sem_num)
            .field("change", &self.0.sem_op)
            .field("undo", &undo)
            .finish()
    }
}
