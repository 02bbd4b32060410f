//! Who calls when a proxy stands between: what `X-Forwarded-For` says, as far back as proxies of ours wrote it. Whatever the client itself wrote
//! stands left of that and is not looked at. `Forwarded` (RFC 7239), which hardly a proxy writes by itself, is not read.

use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};
use undergird_model::networks::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Most proxies between; no more is looked at.
const HOPS_MAX: usize = 32;

/// The address that is not one of `trusted`, seen from here: the other side's own, or the last that a trusted proxy says it was called by.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries.take(HOPS_MAX) {
        // What is no address nobody can be told by: the proxy that wrote it is all that is known.
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|entry| read(entry.trim())) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn read(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted: Vec<_> = ["10.0.0.0/8", "::1"].iter().map(|text| Network::parse(text).unwrap()).collect();
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        });
        let found = client(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn only_what_our_proxies_wrote_counts() {
        check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        // What the client made up stands before what the proxy saw.
        check("10.0.0.1", &["127.0.0.1, 8.8.8.8, 203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["127.0.0.1", "203.0.113.9"], "203.0.113.9");
        // Two proxies of ours.
        check("10.0.0.1", &["8.8.8.8, 203.0.113.9, 10.0.0.2"], "203.0.113.9");
        check("::1", &["203.0.113.9", "10.0.0.2,10.0.0.3"], "203.0.113.9");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        for (entry, expected) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("203.0.113.9;", "10.0.0.1"),
        ] {
            check("10.0.0.1", &[entry], expected);
        }
        let long = vec!["10.0.0.2"; 100].join(",");
        check("10.0.0.1", &[&format!("203.0.113.9,{long}")], "10.0.0.2");
    }
}
