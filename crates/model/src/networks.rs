//! Networks of IP addresses, as settings name them: `10.0.0.0/8`, `::1`. Only addresses are read here, none is asked for.

use std::net::IpAddr;

/// An address with how many of its first bits count (CIDR, RFC 4632 and RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// From text. Without a slash it is one address. None: this is no network.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(bits.parse().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (first, is_v4) = number(address);
        let width = if is_v4 { 32 } else { 128 };
        let bits: u32 = bits.unwrap_or(width);
        let host = width.checked_sub(bits)?;
        let mask = if host == 128 { 0 } else { u128::MAX << host };
        Some(Network { first: first & mask, mask, is_v4 })
    }

    /// Whether an address is of it. One of IPv4 written as one of IPv6 (`::ffff:10.0.0.1`) is the same address.
    pub fn has(&self, address: IpAddr) -> bool {
        let (number, is_v4) = number(address);
        is_v4 == self.is_v4 && number & self.mask == self.first
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(four) => (u32::from(four).into(), true),
        IpAddr::V6(six) => (six.into(), false),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_of_their_networks_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.1", "::a00:1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ffff::1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("fe80::1/128", "fe80::1", "fe80::2"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.has(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.has(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for bad in [
            "",
            "x",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "host/8",
            "10.0.0.1:80",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
