//! What one store has and another has not, by name. A request that needs what its store lacks is refused by that name; nobody asks
//! which store it is.
//!
//! Absent: which store has what: each says so itself ([`crate::Dialect::has`]).

/// What a store may have beyond what all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// The operators `fts`, `plfts`, `phfts`, `wfts`.
    FullText,
    /// A guess of how many rows there are, without counting them ([`crate::Dialect::planner`]). Where there is none they are counted.
    PlannedCounts,
}

impl Capability {
    /// All of them.
    pub const ALL: [Capability; 2] = [Capability::FullText, Capability::PlannedCounts];

    /// For people: `full-text search`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::FullText => "full-text search",
            Capability::PlannedCounts => "planned counts",
        }
    }

    /// What to do without it.
    pub fn instead(self) -> &'static str {
        match self {
            Capability::FullText => "Use ilike, or match with a regular expression, or keep the data in PostgreSQL.",
            Capability::PlannedCounts => "Ask for count=exact.",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<Capability> {
        Capability::ALL.into_iter().find(|capability| capability.name() == name)
    }
}
