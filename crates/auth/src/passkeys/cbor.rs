//! CBOR (RFC 8949) as authenticators write it (CTAP 2, §8): the little of it that attestation objects and keys are made of.
//!
//! Deliberately absent: indefinite lengths, tags, floating-point numbers, keys that come twice, and whatever would nest or count without end.
//! What is not whole is nothing.

/// CTAP 2 nests four deep; attestation statements stand one below.
const DEPTH_MAX: usize = 6;
/// Most items of a document. Certificates of an attestation are one each.
const ITEMS_MAX: usize = 256;

/// A data item; what is long is borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    Bool(bool),
    Null,
}

impl<'a> Item<'a> {
    /// A member of a map.
    pub(crate) fn get(&self, key: &Item<'_>) -> Option<&Item<'a>> {
        let Item::Map(members) = self else { return None };
        members.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// A member with a number.
    pub(crate) fn at(&self, key: i64) -> Option<&Item<'a>> {
        self.get(&Item::Int(key))
    }

    pub(crate) fn int(&self) -> Option<i64> {
        if let Item::Int(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        if let Item::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        if let Item::Text(text) = self { Some(text) } else { None }
    }
}

/// The first item, and what follows it.
pub(crate) fn first(input: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let mut reader = Reader { rest: input, items: 0 };
    let item = reader.item(0)?;
    Some((item, reader.rest))
}

/// The only item.
pub(crate) fn only(input: &[u8]) -> Option<Item<'_>> {
    first(input).filter(|(_, rest)| rest.is_empty()).map(|(item, _)| item)
}

struct Reader<'a> {
    rest: &'a [u8],
    items: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// The number of a head: a value, a length or a count.
    fn argument(&mut self, low: u8) -> Option<u64> {
        let octets = match low {
            0..=23 => return Some(u64::from(low)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            // Reserved, or of indefinite length.
            _ => return None,
        };
        Some(self.take(octets)?.iter().fold(0u64, |number, octet| number << 8 | u64::from(*octet)))
    }

    fn item(&mut self, depth: usize) -> Option<Item<'a>> {
        self.items += 1;
        if depth > DEPTH_MAX || self.items > ITEMS_MAX {
            return None;
        }
        let head = *self.take(1)?.first()?;
        let (major, low) = (head >> 5, head & 31);
        if major == 7 {
            return match low {
                20 => Some(Item::Bool(false)),
                21 => Some(Item::Bool(true)),
                22 => Some(Item::Null),
                _ => None,
            };
        }
        let argument = self.argument(low)?;
        let count = usize::try_from(argument).ok();
        match major {
            0 => i64::try_from(argument).ok().map(Item::Int),
            1 => i64::try_from(argument).ok().map(|number| Item::Int(-1 - number)),
            2 => Some(Item::Bytes(self.take(count?)?)),
            3 => std::str::from_utf8(self.take(count?)?).ok().map(Item::Text),
            4 => (0..count.filter(|count| *count <= ITEMS_MAX)?)
                .map(|_| self.item(depth + 1))
                .collect::<Option<_>>()
                .map(Item::Array),
            5 => self.map(count.filter(|count| *count <= ITEMS_MAX)?, depth),
            _ => None,
        }
    }

    fn map(&mut self, count: usize, depth: usize) -> Option<Item<'a>> {
        let mut members: Vec<(Item<'a>, Item<'a>)> = Vec::new();
        for _ in 0..count {
            let key = self.item(depth + 1)?;
            let is_key = matches!(key, Item::Int(_) | Item::Text(_));
            if !is_key || members.iter().any(|(known, _)| *known == key) {
                return None;
            }
            members.push((key, self.item(depth + 1)?));
        }
        Some(Item::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of hexadecimal digits.
    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn items_are_read_as_the_rfc_writes_them() {
        // RFC 8949, appendix A.
        for (hex, expected) in [
            ("00", Item::Int(0)),
            ("17", Item::Int(23)),
            ("1818", Item::Int(24)),
            ("1903e8", Item::Int(1_000)),
            ("1b000000e8d4a51000", Item::Int(1_000_000_000_000)),
            ("20", Item::Int(-1)),
            ("390100", Item::Int(-257)),
            ("3b7fffffffffffffff", Item::Int(i64::MIN)),
            ("40", Item::Bytes(&[])),
            ("4401020304", Item::Bytes(&[1, 2, 3, 4])),
            ("6161", Item::Text("a")),
            ("62c3bc", Item::Text("ü")),
            ("80", Item::Array(vec![])),
            ("83010203", Item::Array(vec![Item::Int(1), Item::Int(2), Item::Int(3)])),
            ("a0", Item::Map(vec![])),
            ("a201020304", Item::Map(vec![(Item::Int(1), Item::Int(2)), (Item::Int(3), Item::Int(4))])),
            ("f4", Item::Bool(false)),
            ("f5", Item::Bool(true)),
            ("f6", Item::Null),
        ] {
            assert_eq!(only(&octets(hex)), Some(expected), "{hex}");
        }
        assert_eq!(first(&octets("0102")), Some((Item::Int(1), [2u8].as_slice())));
    }

    #[test]
    fn what_is_not_whole_or_has_no_end_is_nothing() {
        for hex in [
            "",
            "18",
            "19 03",
            "1b 00",
            "44 010203",
            "5b ffffffffffffffff",
            "61",
            "62 c3",
            "61 ff",
            "81",
            "82 01",
            "a1",
            "a1 01",
            // Indefinite lengths, tags, floating point, undefined, simple values, reserved heads.
            "5f 4101 ff",
            "9f 01 ff",
            "bf 01 02 ff",
            "c0 00",
            "d8 20 00",
            "f9 3c00",
            "fb 3ff199999999999a",
            "f7",
            "f8 ff",
            "1c",
            "ff",
            // Beyond what fits, keys twice, keys that are no names.
            "1b ffffffffffffffff",
            "3b ffffffffffffffff",
            "a2 01 02 01 03",
            "a2 6161 01 6161 02",
            "a1 40 01",
            "a1 f5 01",
            "a1 80 01",
            // Counts that promise what is not there.
            "9b ffffffffffffffff",
            "bb ffffffffffffffff",
            "9a 7fffffff",
            "99 ffff",
            // More than one.
            "00 00",
        ] {
            assert_eq!(only(&octets(hex)), None, "{hex}");
        }
        assert!(only(&[[0x81; DEPTH_MAX].as_slice(), &[0]].concat()).is_some());
        assert!(only(&[[0x81; DEPTH_MAX + 1].as_slice(), &[0]].concat()).is_none());
        assert!(only(&[[0x81; 100_000].as_slice(), &[0]].concat()).is_none());
        let wide = |count: u8| [[0x98, count].as_slice(), &vec![0; usize::from(count)]].concat();
        assert!(only(&wide(255)).is_some());
        let twice = [[0x82].as_slice(), &wide(200), &wide(200)].concat();
        assert!(only(&twice).is_none(), "the whole counts, not each part");
    }

    #[test]
    fn no_octets_make_it_fall() {
        let mut seed = 1u64;
        for length in 0..2_000usize {
            let noise: Vec<u8> = (0..length % 64)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 56) as u8
                })
                .collect();
            let _ = first(&noise);
        }
    }
}
