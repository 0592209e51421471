//! Opening: what an address was resolved to, and for which use it is opened.

use crate::name::Name;
use crate::options::Options;
use crate::wait::Wait;

/// The checked name and options of one object, without its facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is called.
    pub name: Name,
    /// How it is to be made or used; only keys that the facility knows.
    pub options: Options,
}

/// Who makes the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It makes the name, where the facility's names are made by one end, and waits there.
    Serve,
    /// It goes to a name that exists.
    Join,
}

/// Which way data will go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// To us: receive, read.
    In,
    /// From us: send, write.
    Out,
    /// Both.
    Both,
}

/// For which use an object is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Who makes the name.
    pub role: Role,
    /// Which way data will go.
    pub way: Way,
    /// How long opening may wait, where it can: for the other end of a FIFO, for a connection.
    pub wait: Wait,
}

impl Opening {
    /// To receive at a name that this end makes, where names are made by one end.
    pub const RECEIVE: Self = Self {
        role: Role::Serve,
        way: Way::In,
        wait: Wait::Forever,
    };
    /// To send to a name that exists.
    pub const SEND: Self = Self {
        role: Role::Join,
        way: Way::Out,
        wait: Wait::Forever,
    };

    /// The same with a bound on the waiting.
    #[must_use]
    pub fn within(self, wait: impl Into<Wait>) -> Self {
        Self {
            wait: wait.into(),
            ..self
        }
    }
}
