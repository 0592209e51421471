//! The catalog: its facts agree with each other, with the tables people read, and with the sources.

use std::collections::BTreeSet;

use wigwag::catalog::{self, CATALOG, Open};
use wigwag::facility::{Family, Naming, Persistence, Reach};
use wigwag::guarantees::Durability;

const README: &str = include_str!("../../README.md");

#[test]
fn every_id_is_unique_and_a_scheme() {
    let ids: BTreeSet<&str> = CATALOG.iter().map(|entry| entry.facility.id).collect();
    assert_eq!(ids.len(), CATALOG.len());
    for id in ids {
        assert!(wigwag::Address::new(id, "").is_ok(), "{id}");
        assert_eq!(catalog::find(id).unwrap().facility.id, id);
    }
}

#[test]
fn the_catalog_is_grouped_by_family() {
    let families: Vec<Family> = CATALOG.iter().map(|entry| entry.facility.family).collect();
    assert!(families.is_sorted(), "{families:?}");
}

#[test]
fn facts_and_verbs_agree() {
    for entry in CATALOG {
        let facility = entry.facility;
        let id = facility.id;
        let transfers = match facility.family {
            Family::Stream | Family::Message => true,
            Family::Pattern => matches!(entry.open, Some(Open::Messages(_))),
            _ => false,
        };
        assert_eq!(
            facility.boundary.is_some(),
            transfers,
            "{id}: a boundary is of streams and messages"
        );
        if matches!(facility.naming, Naming::Unnamed | Naming::InMemory) {
            assert!(facility.unnamed_form, "{id}");
            assert!(
                entry.create.is_none() && entry.unlink.is_none(),
                "{id}: without a name nothing is created or removed by one"
            );
        }
        if facility.persistence == Persistence::Kernel {
            assert!(
                entry.create.is_some() && entry.unlink.is_some(),
                "{id}: what outlives its processes can be made and removed"
            );
        }
        if facility.reach == Reach::Network {
            assert_eq!(facility.naming, Naming::HostPort, "{id}");
        }
        let durable = facility.guarantees.durability >= Durability::Kernel;
        let lasting = matches!(
            facility.persistence,
            Persistence::Kernel | Persistence::FileSystem
        );
        assert_eq!(
            durable, lasting,
            "{id}: persistence and promised durability differ"
        );
        assert!(facility.man.ends_with(')'), "{id}: {}", facility.man);
        for option in entry.options {
            assert!(
                !option.what.is_empty() && !option.key.contains(['=', '&', '?', ' ']),
                "{id}: {option:?}"
            );
        }
        let keys: BTreeSet<&str> = entry.options.iter().map(|option| option.key).collect();
        assert_eq!(
            keys.len(),
            entry.options.len(),
            "{id}: an option stands twice"
        );
    }
}

#[test]
fn every_limit_of_this_machine_can_be_read() {
    for entry in CATALOG {
        for limit in entry.facility.limits {
            if let wigwag::limit::Source::Sysctl(path, _) = limit.source {
                assert!(limit.value().is_some(), "{}: {path}", entry.facility.id);
            }
        }
    }
}

#[test]
fn every_facility_is_usable_here() {
    for entry in CATALOG {
        if let Err(error) = (entry.probe)() {
            panic!("{}: {error}", entry.facility.id);
        }
    }
}

#[test]
fn the_tables_people_read_are_the_catalog() {
    let table = catalog::markdown();
    assert!(
        README.contains(&table),
        "README.md: replace its table by this\n{table}"
    );
    let documented = include_str!("../src/facilities.md");
    assert_eq!(
        documented, table,
        "wigwag/src/facilities.md: replace it by this\n{table}"
    );
}
