//! Address: the carrier and the name of a server: `rpc+unix:/run/app.sock?clients=10`.

use super::carrier::{CARRIERS, COMMON, Carrier};
use super::{Client, Options, Server};
use crate::address::Address;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::name::Name;
use crate::opening::Target;
use crate::wait::Wait;

/// The socket, queue or channel at which a server answers, as an object of its own: what `ls` lists, `rm` removes and `why`
/// tells of. `None` for an address that is none of calls.
///
/// ```
/// use wigwag::pattern::rpc::carrier;
///
/// let object = carrier(&"rpc+mq:/app".parse()?).unwrap();
/// assert_eq!(object.to_string(), "mq:/app.rpc");
/// # Ok::<(), wigwag::Error>(())
/// ```
#[must_use]
pub fn carrier(address: &Address) -> Option<Address> {
    let scheme = address.scheme().strip_prefix("rpc+")?;
    let end: &[u8] = match scheme {
        "mq" | "channel" => b".rpc",
        _ => b"",
    };
    Address::new(scheme, [address.name(), end].concat()).ok()
}

/// The carrier of an address, and what of it that is to open.
fn resolve(address: &Address) -> Result<(&'static Carrier, Target)> {
    let bad = |why: String| Error::new(Kind::BadAddress, "understand", "address", address, why);
    let scheme = address.scheme();
    let found = CARRIERS
        .iter()
        .find(|carrier| carrier.facility.id == scheme);
    let Some(carrier) = found else {
        let carriers: Vec<&str> = CARRIERS.iter().map(|each| each.facility.id).collect();
        return Err(bad(format!("no calls go over {scheme}"))
            .with_hint(format!("they go over {}", carriers.join(", "))));
    };
    let unknown = |key: &&str| !COMMON.contains(key) && !carrier.options.contains(key);
    if let Some(key) = address.options().iter().map(|(key, _)| key).find(unknown) {
        let known = [COMMON, carrier.options].concat().join(", ");
        return Err(address
            .options()
            .bad(key, &format!("there is no such option of {scheme}"))
            .with_hint(format!("{scheme} has {known}")));
    }
    let target = Target {
        name: Name::parse(carrier.facility, address.name())?,
        options: address.options().clone(),
    };
    Ok((carrier, target))
}

/// The options of an address over those given.
fn read(target: &Target, mut options: Options) -> Result<Options> {
    let given = &target.options;
    let bytes = |key: &str| {
        given
            .bytes(key)?
            .map(|bytes| usize::try_from(bytes).map_err(|_| given.bad(key, "it is too great")))
            .transpose()
    };
    if let Some(most) = bytes("max_request")? {
        options = options.max_request(most);
    }
    if let Some(most) = bytes("max_answer")? {
        options = options.max_answer(most);
    }
    if let Some(most) = given.value("clients")? {
        options = options.clients(most);
    }
    if let Some(calls) = given.value("waiting")? {
        options = options.waiting(calls);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    if let Some(clients) = given.value("backlog")? {
        options = options.backlog(clients);
    }
    if let Some(requests) = given.value("depth")? {
        options = options.depth(requests);
    }
    if let Some(most) = bytes("max_len")? {
        options = options.max_len(most);
    }
    if let Some(most) = given.bytes("capacity")? {
        options = options.capacity(most);
    }
    Ok(options)
}

pub(super) fn connect(address: &Address, options: Options, wait: Wait) -> Result<Client> {
    let (carrier, target) = resolve(address)?;
    connect_by(carrier, &target, options, wait)
}

pub(super) fn listen(address: &Address, options: Options) -> Result<Server> {
    let (carrier, target) = resolve(address)?;
    (carrier.listen)(&target.name, &read(&target, options)?)
}

fn connect_by(carrier: &Carrier, target: &Target, options: Options, wait: Wait) -> Result<Client> {
    let link = (carrier.connect)(&target.name, &read(target, options)?, wait)?;
    Ok(Client::new(carrier.facility, target.name.to_string(), link))
}

/// Connects to what the catalog has resolved.
pub(crate) fn connect_to(facility: &Facility, target: &Target, wait: Wait) -> Result<Client> {
    connect_by(of(facility, target)?, target, Options::new(), wait)
}

/// Listens at what the catalog has resolved.
pub(crate) fn listen_at(facility: &Facility, target: &Target) -> Result<Server> {
    let carrier = of(facility, target)?;
    (carrier.listen)(&target.name, &read(target, Options::new())?)
}

fn of(facility: &Facility, target: &Target) -> Result<&'static Carrier> {
    let found = CARRIERS
        .iter()
        .find(|carrier| carrier.facility.id == facility.id);
    found.ok_or_else(|| {
        let why = "it carries no calls";
        facility.error(Kind::Unsupported, "open", &target.name, why)
    })
}
