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
    /// Calling the functions that people made in the database ([`undergird_model::DbFunction`]).
    SqlFunctions,
}

impl Capability {
    /// All of them.
    pub const ALL: [Capability; 3] = [Capability::FullText, Capability::PlannedCounts, Capability::SqlFunctions];

    /// For people: `full-text search`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::FullText => "full-text search",
            Capability::PlannedCounts => "planned counts",
            Capability::SqlFunctions => "functions of the database",
        }
    }

    /// What to do without it.
    pub fn instead(self) -> &'static str {
        match self {
            Capability::FullText => "Use ilike, or match with a regular expression, or keep the data in PostgreSQL.",
            Capability::PlannedCounts => "Ask for count=exact.",
            Capability::SqlFunctions => "Remove functions/, or keep the data in PostgreSQL.",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<Capability> {
        Capability::ALL.into_iter().find(|capability| capability.name() == name)
    }
}
