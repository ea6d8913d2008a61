//! Where a host name may lead.
//!
//! **Invariant:** a connection is made to an address that [`Guard`] has judged: it is the client's
//! resolver, so there is no second look-up between the check and the connection.

use futures_util::future::BoxFuture;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Resolves a host name to addresses. [`system_resolver`] asks the operating system.
pub type Resolver =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

pub fn system_resolver() -> Resolver {
    Arc::new(|host| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// What kind of network an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    Loopback,
    /// RFC 1918, RFC 6598 (carrier-grade NAT) and RFC 4193 (unique local).
    Private,
    /// RFC 3927 and RFC 4291 section 2.5.6; cloud metadata services live here.
    LinkLocal,
    /// Unspecified, multicast, documentation, benchmarking, reserved: nothing to talk to.
    Reserved,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reach::Public => "public",
            Reach::Loopback => "loopback",
            Reach::Private => "private",
            Reach::LinkLocal => "link-local",
            Reach::Reserved => "reserved",
        })
    }
}

/// From the IANA special-purpose address registries.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Reach::Loopback,
        (10, ..) | (192, 168, _) => Reach::Private,
        (172, 16..=31, _) | (100, 64..=127, _) => Reach::Private,
        (169, 254, _) => Reach::LinkLocal,
        // Alibaba's and Oracle's metadata services use addresses of these blocks.
        (192, 0, 0) => Reach::LinkLocal,
        (0, ..) | (224.., ..) => Reach::Reserved,
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Reach::Reserved,
        (198, 18..=19, _) | (192, 88, 99) => Reach::Reserved,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let words = address.segments();
    if address.is_loopback() {
        return Reach::Loopback;
    }
    // An IPv4 address in another dress is judged as what it is: mapped, compatible, NAT64, 6to4.
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match words {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Reserved,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // Teredo, benchmarking, ORCHID and documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => Reach::Reserved,
        [0x3fff, 0..=0xfff, ..] => Reach::Reserved,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Reserved,
    }
}

/// An address that the check refused. The client's error carries it as a source.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} leads to the {reach} address {address}, which is allowed only where the \
     configuration itself puts the endpoint there"
)]
pub(crate) struct Refused {
    pub host: String,
    pub address: IpAddr,
    pub reach: Reach,
}

/// Resolves, checks, and hands out only what passed.
#[derive(Clone)]
pub(crate) struct Guard {
    pub resolver: Resolver,
    /// Host names the user configured: they may lead to loopback and private addresses. Link-local
    /// addresses must be configured as addresses: a name there is a rebinding attack.
    pub configured: HashSet<String>,
}

impl Guard {
    /// Of requests to places that no user has configured.
    pub fn of_public_places() -> Self {
        Guard { resolver: system_resolver(), configured: HashSet::new() }
    }

    pub fn judge(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let reach = reach(address);
        let local_name = host == "localhost" || host.ends_with(".localhost");
        let allowed = match reach {
            Reach::Public => !local_name,
            Reach::Loopback => self.configured.contains(host),
            Reach::Private => !local_name && self.configured.contains(host),
            Reach::LinkLocal | Reach::Reserved => false,
        };
        if allowed { Ok(()) } else { Err(Refused { host: host.to_owned(), address, reach }) }
    }
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let host = host.trim_end_matches('.').to_owned();
        let looking = (self.resolver)(host.clone());
        let guard = Guard { resolver: self.resolver.clone(), configured: self.configured.clone() };
        Box::pin(async move {
            let mut refused = None;
            let mut checked = Vec::new();
            for address in looking.await? {
                match guard.judge(&host, address) {
                    Ok(()) => checked.push(SocketAddr::new(address, 0)),
                    Err(error) => refused = Some(error),
                }
            }
            match (checked.is_empty(), refused) {
                (true, Some(error)) => Err(error.into()),
                (true, None) => {
                    Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into())
                }
                (false, _) => Ok(Box::new(checked.into_iter()) as reqwest::dns::Addrs),
            }
        })
    }
}

/// An address written as the host of a URL, where the user put it (`configured`) or not.
pub(crate) fn judge_literal(address: IpAddr, configured: bool) -> Result<(), Refused> {
    let reach = reach(address);
    let allowed = match reach {
        Reach::Public => true,
        Reach::Loopback | Reach::Private | Reach::LinkLocal => configured,
        Reach::Reserved => false,
    };
    if allowed { Ok(()) } else { Err(Refused { host: address.to_string(), address, reach }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_recognized_in_every_dress() {
        let rows = [
            ("8.8.8.8", Reach::Public),
            ("140.82.121.6", Reach::Public),
            ("172.15.0.1", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("100.63.0.1", Reach::Public),
            ("100.128.0.1", Reach::Public),
            ("2606:50c0:8000::154", Reach::Public),
            ("64:ff9b::808:808", Reach::Public),
            ("2002:808:808::1", Reach::Public),
            ("127.0.0.1", Reach::Loopback),
            ("127.9.9.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("::127.0.0.1", Reach::Loopback),
            ("64:ff9b::7f00:1", Reach::Loopback),
            ("10.0.0.1", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.100.100.200", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("fc00::1", Reach::Private),
            ("fd00:ec2::254", Reach::Private),
            ("169.254.169.254", Reach::LinkLocal),
            ("192.0.0.192", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("2002:a9fe:a9fe::", Reach::LinkLocal),
            ("64:ff9b::a9fe:a9fe", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("0.0.0.0", Reach::Reserved),
            ("0.1.2.3", Reach::Reserved),
            ("::", Reach::Reserved),
            ("255.255.255.255", Reach::Reserved),
            ("224.0.0.1", Reach::Reserved),
            ("198.18.0.1", Reach::Reserved),
            ("192.0.2.1", Reach::Reserved),
            ("ff02::1", Reach::Reserved),
            ("fec0::1", Reach::Reserved),
            ("2001::1", Reach::Reserved),
            ("2001:db8::1", Reach::Reserved),
            ("64:ff9b:1::1", Reach::Reserved),
            ("100::1", Reach::Reserved),
        ];
        for (text, expected) in rows {
            let address: IpAddr = text.parse().expect(text);
            assert_eq!(reach(address), expected, "{text}");
        }
    }

    #[test]
    fn a_configured_name_may_be_private_but_never_a_metadata_service() {
        let guard = Guard {
            resolver: system_resolver(),
            configured: ["ghe.corp".to_owned(), "localhost".to_owned()].into(),
        };
        let ok = |host, address: &str| guard.judge(host, address.parse().expect("address")).is_ok();
        assert!(ok("ghe.corp", "10.0.0.5"));
        assert!(ok("ghe.corp", "127.0.0.1"));
        assert!(!ok("ghe.corp", "169.254.169.254"));
        assert!(!ok("api.github.com", "10.0.0.5"));
        assert!(!ok("api.github.com", "127.0.0.1"));
        assert!(ok("api.github.com", "140.82.121.6"));
        assert!(ok("localhost", "::1"));
        assert!(!ok("localhost", "140.82.121.6"));
    }
}
