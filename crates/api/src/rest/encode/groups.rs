//! Which rows of a node belong to which parent row: by the octets of their link, in order of arrival.

use super::NONE;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;

/// The groups of a node, numbered in order of their making. All links lie in one buffer, so that a group allocates nothing of its own.
#[derive(Debug, Default)]
pub(super) struct Groups {
    links: Vec<u8>,
    groups: Vec<Group>,
    /// Hash of a link → the newest group with this hash.
    newest: FxHashMap<u64, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    start: usize,
    end: usize,
    /// An older group with the same hash, or [`NONE`].
    older: u32,
    first: u32,
    last: u32,
}

impl Groups {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn len(&self) -> u32 {
        self.groups.len() as u32
    }

    pub fn find(&self, link: &[u8]) -> Option<u32> {
        self.find_by(link, hash(link))
    }

    pub fn find_or_add(&mut self, link: &[u8]) -> u32 {
        let hash = hash(link);
        if let Some(found) = self.find_by(link, hash) {
            return found;
        }
        let start = self.links.len();
        self.links.extend_from_slice(link);
        let older = self.newest.insert(hash, self.len()).unwrap_or(NONE);
        self.groups.push(Group { start, end: self.links.len(), older, first: NONE, last: NONE });
        self.len() - 1
    }

    /// A group that no link leads to.
    pub fn add_anonymous(&mut self) -> u32 {
        self.groups.push(Group { start: 0, end: 0, older: NONE, first: NONE, last: NONE });
        self.len() - 1
    }

    /// Adds a row; gives the one before it in the group.
    pub fn append(&mut self, group: u32, row: u32) -> Option<u32> {
        let group = self.groups.get_mut(group as usize)?;
        let before = std::mem::replace(&mut group.last, row);
        if before == NONE {
            group.first = row;
            return None;
        }
        Some(before)
    }

    /// The first row of a group, or [`NONE`].
    pub fn first(&self, group: u32) -> u32 {
        self.groups.get(group as usize).map_or(NONE, |group| group.first)
    }

    fn find_by(&self, link: &[u8], hash: u64) -> Option<u32> {
        let mut at = *self.newest.get(&hash)?;
        while let Some(group) = self.groups.get(at as usize) {
            if self.links.get(group.start..group.end) == Some(link) {
                return Some(at);
            }
            at = group.older;
        }
        None
    }
}

fn hash(link: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(link);
    hasher.finish()
}
