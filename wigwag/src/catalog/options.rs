//! Options: those that several facilities have.

use super::{OptionFact, opt};

pub(super) const EXCLUSIVE: OptionFact = opt(
    "exclusive",
    "",
    "when serving, fail if it exists (create always does)",
);
pub(super) const TEMPORARY: OptionFact = opt(
    "temporary",
    "",
    "remove it when the one that opened it so closes it",
);
pub(super) const PROJECT: OptionFact = opt(
    "project",
    "NUMBER",
    "from 1 to 255: which key of a path, as ftok(3) (1)",
);
pub(super) const SIZE: OptionFact = opt(
    "size",
    "BYTES",
    "how large a new one is (4096); whoever serves makes one only with it",
);
pub(super) const HUGE: OptionFact = opt(
    "huge",
    "BYTES",
    "make it of huge pages of this size, such as 2M",
);
pub(super) const CREATE: OptionFact = opt(
    "create",
    "",
    "whether the file is made if there is none (yes)",
);
pub(super) const PIPE_CAPACITY: OptionFact = opt(
    "capacity",
    "BYTES",
    "makes room for at least so many bytes; 65536 by default",
);
pub(super) const BACKLOG: OptionFact = opt(
    "backlog",
    "CONNECTIONS",
    "how many may wait to be accepted; net.core.somaxconn by default",
);
pub(super) const TAKE_OVER: OptionFact = opt(
    "take-over",
    "",
    "replace the path of a process that is gone",
);
pub(super) const MODE: OptionFact = opt(
    "mode",
    "OCTAL",
    "who else may use a new one, whatever the umask (0600)",
);
pub(super) const SYSV_MODE: OptionFact = opt("mode", "OCTAL", "who else may use a new one (0600)");
pub(super) const INHERITED: OptionFact = opt("fd", "NUMBER", "take an inherited descriptor");
pub(super) const BINARY: OptionFact = opt("binary", "", "never let the count exceed 1");
pub(super) const FILE_MODE: OptionFact = opt(
    "mode",
    "OCTAL",
    "who else may use a file that is made, whatever the umask (0666 less the umask)",
);
pub(super) const RANGE: OptionFact = opt("range", "START..END", "which bytes are locked (all)");
