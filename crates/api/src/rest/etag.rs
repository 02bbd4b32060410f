//! Strong entity tags (RFC 9110 §8.8.3). `"<version>"` names a row as its caller may read it; `"<version>-<body>"` one representation of it,
//! when `select` or the media type asks for another than the default. `If-Match` looks at the version only, so that a tag from any
//! representation guards a write.

use super::encode::canonical;
use ring::digest::{Digest, SHA256, digest};
use undergird_plan::RowRef;

/// A row's version: SHA-256 over its cells, cut to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version([u8; 16]);

impl Version {
    /// Over the cells at these positions.
    pub fn of(row: &dyn RowRef, positions: &[usize]) -> Version {
        let mut octets = Vec::with_capacity(1 << 10);
        for position in positions {
            canonical::write_cell(&mut octets, row.cell(*position));
        }
        Version(cut(digest(&SHA256, &octets)))
    }

    /// The tag of the default representation.
    pub fn tag(self) -> String {
        let mut tag = String::with_capacity(34);
        tag.push('"');
        hex(&mut tag, &self.0);
        tag.push('"');
        tag
    }

    /// The tag of any other representation.
    pub fn tag_of(self, body: &[u8]) -> String {
        let mut tag = String::with_capacity(67);
        tag.push('"');
        hex(&mut tag, &self.0);
        tag.push('-');
        hex(&mut tag, &cut(digest(&SHA256, body)));
        tag.push('"');
        tag
    }

    /// Whether an `If-Match` lets a write of the row with this version pass: `*`, or a strong tag of any of its representations.
    pub fn matches(self, if_match: &str) -> bool {
        let mut own = String::with_capacity(32);
        hex(&mut own, &self.0);
        tags(if_match).any(|tag| match tag {
            Tag::Any => true,
            Tag::Strong(opaque) => opaque.split('-').next() == Some(&own),
            Tag::Weak(_) => false,
        })
    }
}

/// Whether an `If-None-Match` names the tag (with its quotes), so that the answer is 304. Weak tags count: a proxy that compresses makes
/// ours weak.
pub fn none_match(if_none_match: &str, tag: &str) -> bool {
    let own = tag.trim_matches('"');
    tags(if_none_match).any(|tag| match tag {
        Tag::Any => true,
        Tag::Strong(opaque) | Tag::Weak(opaque) => opaque == own,
    })
}

enum Tag<'a> {
    Any,
    Strong(&'a str),
    Weak(&'a str),
}

/// Most tags of one header; more are not looked at.
const TAGS_MAX: usize = 100;

fn tags(list: &str) -> impl Iterator<Item = Tag<'_>> {
    // None of our tags has a comma in it, so that splitting a stranger's in two does no harm.
    list.split(',').take(TAGS_MAX).filter_map(|tag| {
        let tag = tag.trim();
        if tag == "*" {
            return Some(Tag::Any);
        }
        let (tag, weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
        let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
        Some(if weak { Tag::Weak(opaque) } else { Tag::Strong(opaque) })
    })
}

fn cut(digest: Digest) -> [u8; 16] {
    // SHA-256 gives 32 octets.
    let mut cut = [0; 16];
    cut.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    cut
}

fn hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 0xF)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use undergird_plan::Cell;

    struct Cells(Vec<Cell<'static>>);

    impl RowRef for Cells {
        fn cell(&self, position: usize) -> Cell<'_> {
            self.0.get(position).copied().unwrap_or(Cell::Null)
        }
    }

    #[test]
    fn equal_rows_have_equal_versions_and_no_others() {
        let version = |cells: &[Cell<'static>]| Version::of(&Cells(cells.to_vec()), &[0, 1]).tag();
        assert_eq!(version(&[Cell::Int(1), Cell::Text("a")]), version(&[Cell::Int(1), Cell::Text("a"), Cell::Int(9)]));
        let all = [
            version(&[Cell::Int(1), Cell::Text("a")]),
            version(&[Cell::Int(1), Cell::Text("b")]),
            version(&[Cell::Int(1), Cell::Null]),
            version(&[Cell::Text("ab"), Cell::Text("c")]),
            version(&[Cell::Text("a"), Cell::Text("bc")]),
            version(&[Cell::Timestamp(1), Cell::Text("a")]),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0].len(), 34);
    }

    #[test]
    fn conditions() {
        let version = Version::of(&Cells(vec![Cell::Int(1)]), &[0]);
        let other = Version::of(&Cells(vec![Cell::Int(2)]), &[0]);
        let (tag, long) = (version.tag(), version.tag_of(b"{}"));
        assert!(version.matches("*"));
        assert!(version.matches(&tag));
        assert!(version.matches(&long));
        assert!(version.matches(&format!("\"x\", {tag}")));
        assert!(!version.matches(&other.tag()));
        assert!(!version.matches(&format!("W/{tag}")));
        assert!(!version.matches(tag.trim_matches('"')));
        assert!(!version.matches(""));
        assert!(none_match(&tag, &tag));
        assert!(none_match(&format!("W/{tag}"), &tag));
        assert!(none_match("*", &tag));
        assert!(!none_match(&tag, &long));
        assert!(!none_match(&other.tag(), &tag));
    }
}
