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
