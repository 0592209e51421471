//! Name: what an object is called, checked against what its facility can be called.
//!
//! ```
//! use wigwag::{Name, message::posix, gate::sysv};
//!
//! assert_eq!(Name::parse(&posix::FACILITY, b"/jobs")?, Name::Slash(b"/jobs".to_vec()));
//! assert_eq!(Name::parse(&sysv::FACILITY, b"0x1234")?, Name::Key(0x1234));
//! assert!(Name::parse(&posix::FACILITY, b"/jobs/today").is_err());
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::facility::{Facility, Naming};

/// The longest name of one directory entry, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// The longest path, in bytes, without the NUL that ends it (`PATH_MAX - 1`).
pub const PATH_MAX: usize = 4095;
/// The longest path or abstract name of a Unix socket, in bytes (`sun_path` less one, `unix(7)`).
pub const SOCKET_MAX: usize = 107;

/// What an object is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// It has no name.
    None,
    /// A path in the file system.
    Path(PathBuf),
    /// A slash and a name without further slashes, as `mq_overview(7)` and `shm_overview(7)` have it.
    Slash(Vec<u8>),
    /// A name in the abstract namespace of Unix sockets, without the NUL before it.
    Abstract(Vec<u8>),
    /// A System V key, `sysvipc(7)`; never 0, which is `IPC_PRIVATE`.
    Key(i32),
    /// A System V identifier, for an object whose key is `IPC_PRIVATE`; printed `#7`.
    Id(i32),
    /// A host name or address, empty for any, and a port.
    HostPort(String, u16),
    /// A process id.
    Pid(i32),
}

impl Name {
    /// Reads `bytes` as a name of `facility`.
    ///
    /// # Errors
    /// [`Kind::BadName`], with the rule that was broken.
    pub fn parse(facility: &Facility, bytes: &[u8]) -> Result<Name> {
        let bad = |why: String| facility.error(Kind::BadName, "name", Bytes(bytes), why);
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return Err(bad(format!("byte {at} is NUL, which ends a name")));
        }
        if bytes.is_empty() {
            return match facility.naming {
                Naming::Unnamed | Naming::InMemory | Naming::Terminal => Ok(Name::None),
                // A signal can be received without saying from whom.
                Naming::Pid => Ok(Name::None),
                _ => Err(bad(format!(
                    "the name is empty; write {}:{}",
                    facility.id,
                    example(facility.naming)
                ))),
            };
        }
        match facility.naming {
            Naming::Unnamed | Naming::InMemory => Err(bad(format!(
                "it has no name: it is inherited or passed as a descriptor; write {}: alone",
                facility.id
            ))),
            Naming::Path | Naming::Terminal => path(bytes).map(Name::Path).map_err(bad),
            Naming::Slash => slash(facility, bytes).map(Name::Slash).map_err(bad),
            Naming::SlashOrPath => slash_or_path(facility, bytes).map_err(bad),
            Naming::Key => key(bytes).map_err(bad),
            Naming::Socket => socket(bytes).map_err(bad),
            Naming::HostPort => host_port(bytes).map_err(bad),
            Naming::Pid => pid(bytes).map_err(bad),
        }
    }

    /// Its bytes as they stand in an address, before percent-encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Name::None => Vec::new(),
            Name::Path(path) => path.as_os_str().as_bytes().to_vec(),
            Name::Slash(name) => name.clone(),
            Name::Abstract(name) => [b"@", &name[..]].concat(),
            Name::Key(key) => format!("{key:#x}").into_bytes(),
            Name::Id(id) => format!("#{id}").into_bytes(),
            Name::HostPort(host, port) if host.contains(':') => {
                format!("[{host}]:{port}").into_bytes()
            }
            Name::HostPort(host, port) => format!("{host}:{port}").into_bytes(),
            Name::Pid(pid) => pid.to_string().into_bytes(),
        }
    }

    /// The path or slash name for a system call that wants a C string.
    pub(crate) fn to_c_string(&self) -> Option<CString> {
        CString::new(self.to_bytes()).ok()
    }

    /// The path, where it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(&self.to_bytes()).fmt(f)
    }
}

/// Prints bytes as text, those that are no text as `\xFF`.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn example(naming: Naming) -> &'static str {
    match naming {
        Naming::Path => "/tmp/name",
        Naming::Slash | Naming::SlashOrPath => "/name",
        Naming::Key => "0x1234",
        Naming::Socket => "/run/app.sock or @name",
        Naming::HostPort => "localhost:7777",
        Naming::Pid => "1234",
        Naming::Terminal => "/dev/pts/0",
        Naming::Unnamed | Naming::InMemory => "",
    }
}

fn path(bytes: &[u8]) -> Result<PathBuf, String> {
    if bytes.len() > PATH_MAX {
        return Err(format!(
            "the path has {} bytes, the longest has {PATH_MAX}",
            bytes.len()
        ));
    }
    if let Some(part) = bytes
        .split(|b| *b == b'/')
        .find(|part| part.len() > NAME_MAX)
    {
        return Err(format!(
            "a component of the path has {} bytes, the longest has {NAME_MAX}",
            part.len()
        ));
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec())))
}

fn slash(facility: &Facility, bytes: &[u8]) -> Result<Vec<u8>, String> {
    // glibc keeps a named semaphore in a file called "sem." and the name.
    let longest = if facility.id == "sem" {
        NAME_MAX - 4
    } else {
        NAME_MAX
    };
    let Some(rest) = bytes.strip_prefix(b"/") else {
        return Err(format!("it must begin with a slash: /{}", Bytes(bytes)));
    };
    match rest {
        b"" => Err("there is nothing after the slash".into()),
        b"." | b".." => Err("that is a directory".into()),
        _ if rest.contains(&b'/') => Err("only the first character may be a slash".into()),
        _ if rest.len() > longest => Err(format!(
            "the name has {} bytes after the slash, the longest has {longest}",
            rest.len()
        )),
        _ => Ok(bytes.to_vec()),
    }
}

fn slash_or_path(facility: &Facility, bytes: &[u8]) -> Result<Name, String> {
    match bytes.strip_prefix(b"/") {
        Some(rest) if rest.contains(&b'/') => path(bytes).map(Name::Path),
        Some(_) => slash(facility, bytes).map(Name::Slash),
        None if bytes.starts_with(b".") => path(bytes).map(Name::Path),
        None => Err(format!(
            "it must begin with a slash, as /{0} in shared memory, or be a path: ./{0}",
            Bytes(bytes)
        )),
    }
}

fn socket(bytes: &[u8]) -> Result<Name, String> {
    if let Some(name) = bytes.strip_prefix(b"@") {
        return match name.len() {
            0 => Err("there is nothing after the @".into()),
            1..=SOCKET_MAX => Ok(Name::Abstract(name.to_vec())),
            long => Err(format!(
                "the abstract name has {long} bytes, the longest has {SOCKET_MAX}"
            )),
        };
    }
    if bytes.len() > SOCKET_MAX {
        return Err(format!(
            "the path of a socket has {} bytes, the longest has {SOCKET_MAX}; use a shorter directory or a relative path",
            bytes.len()
        ));
    }
    path(bytes).map(Name::Path)
}

fn key(bytes: &[u8]) -> Result<Name, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a key is a number".to_owned())?;
    if text.starts_with('/') || text.starts_with('.') {
        return path(bytes).map(Name::Path);
    }
    if let Some(id) = text.strip_prefix('#') {
        return id
            .parse()
            .ok()
            .filter(|id: &i32| *id >= 0)
            .map(Name::Id)
            .ok_or_else(|| "after # comes the identifier, a number from 0".to_owned());
    }
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // A key is 32 bits; ipcs prints it unsigned.
        Some(hex) if !hex.starts_with(['+', '-']) => {
            u32::from_str_radix(hex, 16).ok().map(u32::cast_signed)
        }
        Some(_) => None,
        None => text
            .parse::<i32>()
            .ok()
            .or_else(|| text.parse::<u32>().ok().map(u32::cast_signed)),
    };
    match number {
        Some(0) => {
            Err("key 0 is IPC_PRIVATE, which names nothing; use #ID for a private object".into())
        }
        Some(key) => Ok(Name::Key(key)),
        None => Err(
            "a key is a 32-bit number (0x1234 or 4660), #ID, or a path that begins with / or ."
                .into(),
        ),
    }
}

fn host_port(bytes: &[u8]) -> Result<Name, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a host name is text".to_owned())?;
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!(
            "an IPv6 address stands in brackets, before the port: [{text}]:7777"
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("the port is missing: {text}:7777"));
    };
    let port = port
        .parse::<u16>()
        .map_err(|_| format!("the port is a number from 0 to 65535, not {port:?}"))?;
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) if inner.contains(['[', ']']) => return Err("the brackets do not match".into()),
        Some(inner) => inner,
        None if host.contains(':') => {
            return Err(format!(
                "an IPv6 address stands in brackets: [{host}]:{port}"
            ));
        }
        None if host.contains(['[', ']', '/']) => {
            return Err("a host name has no brackets or slashes".into());
        }
        None => host,
    };
    Ok(Name::HostPort(host.to_owned(), port))
}

fn pid(bytes: &[u8]) -> Result<Name, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if text == "self" {
        return Ok(Name::Pid(std::process::id().cast_signed()));
    }
    match text.parse::<i32>() {
        Ok(pid) if pid > 0 => Ok(Name::Pid(pid)),
        _ => Err("a process id is a number from 1".into()),
    }
}

impl TryFrom<&OsStr> for Name {
    type Error = Error;

    /// A path, for facilities named by one.
    fn try_from(text: &OsStr) -> Result<Name> {
        path(text.as_bytes())
            .map(Name::Path)
            .map_err(|why| Error::new(Kind::BadName, "name", "path", Bytes(text.as_bytes()), why))
    }
}
