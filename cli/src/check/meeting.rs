//! Meeting: the objects through which two processes of a check find each other, made by the first and removed by it.
//!
//! What has a name is opened by name in both; what has none goes as an inherited descriptor,
//! which its address calls `?fd=N`. Both sides open through the catalog.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use wigwag::catalog::{self, Entry};
use wigwag::facility::{Direction, Family, Naming};
use wigwag::memory::Segment;
use wigwag::{Address, Kind};

use super::hall::Hall;
use super::play::{Fault, Result};
use super::region;

/// The addresses of one check, and what has to go when it is over.
#[derive(Debug)]
pub(crate) struct Meeting {
    /// Where the first process sends and the second receives; or the one object of both.
    pub(crate) there: Option<Sides>,
    /// The other direction, where it needs an object of its own.
    pub(crate) back: Option<Sides>,
    /// Memory to count in, where the object is a gate; also for a gate that lies in memory.
    pub(crate) counters: Option<Sides>,
    /// Descriptors of the second process, until it has inherited them.
    handed: Vec<OwnedFd>,
    /// Descriptors of the first, until it has opened them by their number.
    kept: Vec<OwnedFd>,
    made: Vec<Address>,
    directory: Option<PathBuf>,
}

/// What each process calls one object.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    pub(crate) ours: Address,
    pub(crate) theirs: Address,
}

/// What one process calls the objects.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) there: Option<Address>,
    pub(crate) back: Option<Address>,
    pub(crate) counters: Option<Address>,
}

impl From<Address> for Sides {
    fn from(address: Address) -> Self {
        Sides {
            theirs: address.clone(),
            ours: address,
        }
    }
}

impl Meeting {
    pub(crate) fn new(entry: &Entry, flavour: Option<&str>) -> Result<Self> {
        let mut meeting = Meeting {
            there: None,
            back: None,
            counters: None,
            handed: Vec::new(),
            kept: Vec::new(),
            made: Vec::new(),
            directory: None,
        };
        let facility = entry.facility;
        match facility.naming {
            // It lies in the memory that the entries are counted in.
            Naming::InMemory => {
                meeting.counters = Some(meeting.memory()?);
                if entry.open.is_none() {
                    meeting.there = Some(meeting.hall()?);
                }
            }
            // Each process has its name already, or both have the pages.
            Naming::Pid => {}
            Naming::Unnamed if facility.id == "anon" => {}
            _ => meeting.there = Some(meeting.object(entry, flavour)?),
        }
        if facility.boundary.is_some() && facility.direction != Some(Direction::TwoWay) {
            meeting.back = Some(match facility.naming {
                Naming::Unnamed => meeting.pipe_back()?,
                _ => meeting.object(entry, flavour)?,
            });
        }
        if facility.family == Family::Gate && meeting.counters.is_none() {
            meeting.counters = Some(meeting.memory()?);
        }
        Ok(meeting)
    }

    /// One object of this facility, and its address.
    fn object(&mut self, entry: &Entry, flavour: Option<&str>) -> Result<Sides> {
        let id = entry.facility.id;
        let name = match entry.facility.naming {
            Naming::Unnamed => return self.unnamed(id),
            Naming::InMemory | Naming::Pid => return Err(Fault(format!("a {id} is not opened"))),
            Naming::Terminal => return self.terminal(id),
            Naming::Slash | Naming::SlashOrPath => format!("/{}", unique()).into_bytes(),
            Naming::Path | Naming::Socket => self.path()?,
            Naming::Key => key().into_bytes(),
            Naming::HostPort => free_port(id)?.into_bytes(),
        };
        let mut address = Address::new(id, name)?;
        if let Some(flavour) = flavour {
            address = address.with_option("flavour", flavour);
        }
        // Whatever comes to lie there is removed, whoever makes it.
        if entry.unlink.is_some() {
            self.made.push(address.clone());
        }
        if let Some(create) = entry.create {
            let mut full = address.clone();
            for (key, value) in [
                ("size", region::SIZE.to_string()),
                ("value", "1".to_owned()),
            ] {
                if entry.options.iter().any(|option| option.key == key) {
                    full = full.with_option(key, &value);
                }
            }
            create(&catalog::resolve(&full)?.target)?;
        } else if entry.facility.naming == Naming::Path {
            // The file of a file lock is a file like any other.
            std::fs::write(String::from_utf8_lossy(address.name()).as_ref(), "")?;
        }
        Ok(address.into())
    }

    /// The kernel chooses the number of a terminal, so both find it by a link.
    fn terminal(&mut self, id: &str) -> Result<Sides> {
        let path = self.path()?;
        let link = String::from_utf8_lossy(&path).into_owned();
        Ok(Sides {
            ours: Address::new(id, path)?.with_option("raw", ""),
            theirs: Address::new(id, "")?
                .with_option("raw", "")
                .with_option("link", &link),
        })
    }

    fn unnamed(&mut self, id: &str) -> Result<Sides> {
        match id {
            "pipe" => {
                let (reader, writer) = std::io::pipe()?;
                Ok(Sides {
                    ours: self.kept(id, writer.into())?,
                    theirs: self.handed(id, reader.into())?,
                })
            }
            "memfd" => self.memory(),
            "eventfd" => {
                use rustix::event::{EventfdFlags, eventfd};
                let flags = EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE;
                let counter = eventfd(1, flags).map_err(std::io::Error::from)?;
                self.both(id, counter)
            }
            _ => Err(Fault(format!(
                "nobody knows how to hand a {id} to another process"
            ))),
        }
    }

    fn pipe_back(&mut self) -> Result<Sides> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Sides {
            ours: self.kept("pipe", reader.into())?,
            theirs: self.handed("pipe", writer.into())?,
        })
    }

    /// Memory without a name.
    fn memory(&mut self) -> Result<Sides> {
        let memory = wigwag::memory::memfd::Memfd::create("wigwag-check", region::SIZE as u64)?;
        self.both("memfd", memory.try_clone_fd()?)
    }

    /// A segment with one gate of each kind.
    fn hall(&mut self) -> Result<Sides> {
        let hall = Segment::anonymous(Hall::new())?;
        let none = || Fault("an anonymous segment has a descriptor".into());
        let memory = hall.fd().ok_or_else(none)?.try_clone_to_owned()?;
        self.both("memfd", memory)
    }

    fn both(&mut self, id: &str, object: OwnedFd) -> Result<Sides> {
        Ok(Sides {
            theirs: self.handed(id, object.try_clone()?)?,
            ours: self.kept(id, object)?,
        })
    }

    fn kept(&mut self, id: &str, end: OwnedFd) -> Result<Address> {
        let address = by_number(id, &end)?;
        self.kept.push(end);
        Ok(address)
    }

    /// A descriptor that the next process we start inherits.
    fn handed(&mut self, id: &str, end: OwnedFd) -> Result<Address> {
        fcntl_setfd(&end, FdFlags::empty()).map_err(std::io::Error::from)?;
        let address = by_number(id, &end)?;
        self.handed.push(end);
        Ok(address)
    }

    fn path(&mut self) -> Result<Vec<u8>> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => {
                // The path of a socket is short (`unix(7)`).
                let temporary = std::env::temp_dir();
                let short = temporary.as_os_str().len() < 40;
                let parent = if short {
                    temporary
                } else {
                    PathBuf::from("/tmp")
                };
                let directory = parent.join(unique());
                std::fs::create_dir(&directory)?;
                self.directory = Some(directory.clone());
                directory
            }
        };
        let path = directory.join(format!("{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        Ok(std::os::unix::ffi::OsStringExt::into_vec(
            path.into_os_string(),
        ))
    }

    /// What the first process calls the objects.
    pub(crate) fn ours(&self) -> Addresses {
        let ours = |sides: &Option<Sides>| sides.as_ref().map(|sides| sides.ours.clone());
        Addresses {
            there: ours(&self.there),
            back: ours(&self.back),
            counters: ours(&self.counters),
        }
    }

    /// The second process has inherited what it needs: our copies would keep its ends open.
    pub(crate) fn is_handed(&mut self) {
        self.handed.clear();
    }

    /// The first process has opened its ends by their numbers.
    pub(crate) fn is_open(&mut self) {
        self.kept.clear();
    }

    /// Removes what was made; a second time does nothing.
    pub(crate) fn clean(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for address in self.made.drain(..) {
            match catalog::unlink(&address) {
                // A socket's name goes with the end that made it.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => outcome = Err(error.into()),
                Ok(()) => {}
            }
        }
        if let Some(directory) = self.directory.take() {
            std::fs::remove_dir_all(directory)?;
        }
        outcome
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        // Cleaned before in the ordinary way, where its failure is told.
        let _ = self.clean();
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique() -> String {
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("wigwag-check-{}-{next}", std::process::id())
}

/// A key from our process id, which is below 2^22, and a count.
fn key() -> String {
    let next = NEXT.fetch_add(1, Ordering::Relaxed) & 0x1ff;
    format!(
        "{:#x}",
        0x4000_0000 | (std::process::id() & 0x1f_ffff) << 9 | next
    )
}

/// A port that nobody uses now.
fn free_port(id: &str) -> Result<String> {
    let port = if id == "udp" {
        UdpSocket::bind("127.0.0.1:0")?.local_addr()?
    } else {
        TcpListener::bind("127.0.0.1:0")?.local_addr()?
    };
    Ok(port.to_string())
}

fn by_number(id: &str, end: &OwnedFd) -> Result<Address> {
    Ok(Address::new(id, "")?.with_option("fd", &end.as_raw_fd().to_string()))
}
