//! Addresses and names: every text is either refused or comes back as it was meant.

use proptest::prelude::*;
use wigwag::{Address, Kind, Name, catalog};

proptest! {
    #[test]
    fn any_text_is_refused_or_means_the_same_when_printed(text in "\\PC*|[a-z]{1,6}:.*") {
        if let Ok(address) = text.parse::<Address>() {
            let printed = address.to_string();
            prop_assert_eq!(printed.parse::<Address>().expect("what we print"), address);
        }
    }

    #[test]
    fn any_bytes_can_be_a_name_and_any_text_an_option(
        name in proptest::collection::vec(any::<u8>(), 0..40),
        key in "[^\\x00]{1,8}", value in ".*",
    ) {
        let address = Address::new("file", name.clone()).expect("a scheme").with_option(&key, &value);
        let again: Address = address.to_string().parse().expect("what we print");
        prop_assert_eq!(again.name(), &name[..]);
        prop_assert_eq!(again.options().get(&key), Some(&value[..]));
    }

    #[test]
    fn a_name_of_any_facility_prints_as_it_parses(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for entry in catalog::CATALOG {
            if let Ok(name) = Name::parse(entry.facility, &bytes) {
                let again = Name::parse(entry.facility, &name.to_bytes());
                prop_assert_eq!(again.expect("what we print"), name);
            }
        }
    }
}

fn refusal(address: &str) -> wigwag::Error {
    match address
        .parse::<Address>()
        .and_then(|address| catalog::resolve(&address))
    {
        Err(error) => error,
        Ok(resolved) => panic!("{address} was taken for {:?}", resolved.target),
    }
}

#[test]
fn a_bad_address_says_what_would_be_right() {
    for (address, kind, says) in [
        ("jobs", Kind::BadAddress, "scheme is missing"),
        (":jobs", Kind::BadAddress, "a scheme is a letter"),
        (
            "nosuch:/jobs",
            Kind::BadAddress,
            "the facilities are pipe, fifo",
        ),
        ("mq:", Kind::BadName, "the name is empty"),
        ("mq:jobs", Kind::BadName, "begin with a slash: /jobs"),
        ("mq:/a/b", Kind::BadName, "only the first character"),
        ("mq:/", Kind::BadName, "nothing after the slash"),
        ("mq:/..", Kind::BadName, "directory"),
        ("mq:/jobs?colour=red", Kind::BadInput, "no such option"),
        ("mq:/jobs?depth=1&depth=2", Kind::BadAddress, "given twice"),
        ("sem:/a%00b", Kind::BadName, "NUL"),
        ("sysv-mq:0", Kind::BadName, "IPC_PRIVATE"),
        ("sysv-mq:0x123456789", Kind::BadName, "32-bit"),
        ("sysv-mq:#-1", Kind::BadName, "identifier"),
        ("tcp:localhost", Kind::BadName, "port is missing"),
        ("tcp:localhost:99999", Kind::BadName, "65535"),
        ("tcp:::1:80", Kind::BadName, "[::1:80]:7777"),
        ("tcp:::1", Kind::BadName, "[::1]:7777"),
        ("tcp:1::2::3:80", Kind::BadName, "brackets"),
        ("pipe:/tmp/x", Kind::BadName, "has no name"),
        ("signal:0", Kind::BadName, "from 1"),
        ("unix:@", Kind::BadName, "nothing after the @"),
    ] {
        let error = refusal(address);
        assert_eq!(error.kind(), kind, "{address}: {error}");
        assert!(error.to_string().contains(says), "{address}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn a_name_may_be_as_long_as_the_kernel_allows_and_no_longer() {
    for (scheme, prefix, longest) in [
        ("mq", "/", 255),
        ("shm", "/", 255),
        ("sem", "/", 251),
        ("unix", "", 107),
        ("unix-dgram", "@", 107),
        ("fifo", "", 255),
    ] {
        let named = |length: usize| format!("{scheme}:{prefix}{}", "n".repeat(length));
        let fits: Address = named(longest).parse().unwrap();
        catalog::resolve(&fits).unwrap();
        let error = refusal(&named(longest + 1));
        assert_eq!(error.kind(), Kind::BadName, "{error}");
        assert!(error.to_string().contains(&longest.to_string()), "{error}");
    }
}

#[test]
fn the_same_object_can_be_written_in_several_ways() {
    for (one, other) in [
        ("mq:/jobs", "mq:///jobs"),
        ("MQ:/jobs", "mq:/jobs"),
        ("unix:@x", "unix://@x"),
        ("tcp:localhost:80", "tcp://localhost:80"),
        ("sysv-mq:0x10", "sysv-mq:16"),
        ("sysv-mq:0xffffffff", "sysv-mq:-1"),
        ("fifo:/a%41", "fifo:/aA"),
    ] {
        let name = |text: &str| {
            catalog::resolve(&text.parse().unwrap())
                .unwrap()
                .target
                .name
        };
        assert_eq!(name(one), name(other), "{one} {other}");
    }
}

#[test]
fn an_option_without_a_name_is_refused() {
    for address in ["mq:/jobs?=", "mq:/jobs?=5", "mq:/jobs?depth=5&=x"] {
        let error = address.parse::<Address>().expect_err(address);
        assert!(
            error.to_string().contains("an option has no name"),
            "{error}"
        );
    }
}
