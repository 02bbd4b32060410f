//! Strong entity tags (RFC 9110 §8.8.3). `"<version>"` names a row as its caller may read it; `"<version>-<body>"` one representation of it,
//! when `select` or the media type asks for another than the default. `If-Match` looks at the version only, so that a tag from any
//! representation guards a write.

use ring::digest::{Context, Digest, SHA256, digest};

/// A row's version: SHA-256 over its default representation, cut to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version([u8; 16]);

impl Version {
    /// Of a row in its default representation: the JSON object of all that the caller may read of it.
    pub fn of(representation: &[u8]) -> Version {
        Version(cut(digest(&SHA256, representation)))
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

/// The tag of a list: weak, so that it is the same however the body is compressed on its way, and nothing is written under it.
pub fn of_list(body: &[u8], total: Option<u64>) -> String {
    let mut context = Context::new(&SHA256);
    context.update(body);
    context.update(&total.map_or([0; 8], |total| total.wrapping_add(1).to_le_bytes()));
    let mut tag = String::with_capacity(36);
    tag.push_str("W/\"");
    hex(&mut tag, &cut(context.finish()));
    tag.push('"');
    tag
}

/// Whether an `If-None-Match` names the tag (with its quotes), so that the answer is 304. Weak tags count: a proxy that compresses makes
/// ours weak.
pub fn none_match(if_none_match: &str, tag: &str) -> bool {
    let own = tag.trim_start_matches("W/").trim_matches('"');
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

    #[test]
    fn conditions() {
        let version = Version::of(b"{\"id\":1}");
        let other = Version::of(b"{\"id\":2}");
        let (tag, long) = (version.tag(), version.tag_of(b"{}"));
        assert_eq!(tag.len(), 34);
        assert_ne!(tag, other.tag());
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
        let (list, counted) = (of_list(b"[]", None), of_list(b"[]", Some(0)));
        assert_ne!(list, counted);
        assert!(none_match(&list, &list));
        assert!(!none_match(&list, &counted));
        assert!(!version.matches(&list), "nothing is written under a weak one");
    }
}
