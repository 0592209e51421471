//! Session: lets a program start as the leader of a session whose terminal is its standard input.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the child call `setsid(2)` and take the terminal at its standard input for its own, whose keys interrupt it.
pub(crate) fn lead(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes system calls and nothing else: no
    // memory is allocated, no lock taken; `signal(2)` may be called there. Standard input is open, `Command` has put it there.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            // What a shell makes its background commands ignore would be ignored at the new terminal, too.
            for key in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP] {
                libc::signal(key, libc::SIG_DFL);
            }
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
}
