//! What the key of a service account is held to beneath the rules: a scope takes away, and never gives, what a collection's rules decide.
//!
//! The one thing that a scope gives is accounts: no rule is about them.
//!
//! Deliberately absent: where scopes are kept, and whose they are.

use crate::request::Verb;
use std::fmt;

/// One thing that a key may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read the rows of a collection, or of all (`None`).
    Read(Option<String>),
    /// Create, change and delete the rows of a collection, or of all.
    Write(Option<String>),
    /// Call a function, or all of them.
    Call(Option<String>),
    /// Do something with accounts.
    Auth(AccountsReach),
}

/// How far somebody may reach into other people's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountsReach {
    /// Look at them, and at the audit log.
    Read,
    /// Make, change and remove them: whoever may do this can sign in as anybody.
    Admin,
}

impl Scope {
    /// What `read`, `read:posts`, `write:posts`, `call:transfer`, `auth:read` and `auth:admin` say. Whether there is such a collection or function
    /// is not asked.
    pub fn parse(text: &str) -> Option<Scope> {
        let (deed, of) = match text.split_once(':') {
            Some((deed, of)) if is_name(of) => (deed, Some(of)),
            Some(_) => return None,
            None => (text, None),
        };
        let named = of.map(str::to_owned);
        match (deed, of) {
            ("read", _) => Some(Scope::Read(named)),
            ("write", _) => Some(Scope::Write(named)),
            ("call", _) => Some(Scope::Call(named)),
            ("auth", Some("read")) => Some(Scope::Auth(AccountsReach::Read)),
            ("auth", Some("admin")) => Some(Scope::Auth(AccountsReach::Admin)),
            _ => None,
        }
    }

    /// What it takes to do something to the rows of a collection.
    pub fn of_rows(collection: &str, verb: Verb) -> Scope {
        match verb {
            Verb::Read => Scope::Read(Some(collection.into())),
            Verb::Create | Verb::Update | Verb::Replace | Verb::Delete => Scope::Write(Some(collection.into())),
        }
    }

    /// What it takes to call a function.
    pub fn of_call(function: &str) -> Scope {
        Scope::Call(Some(function.into()))
    }

    /// Whether whoever has this one needs no other for what that one is asked for.
    fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::Read(None), Scope::Read(_))
            | (Scope::Write(None), Scope::Write(_))
            | (Scope::Call(None), Scope::Call(_)) => true,
            (Scope::Auth(mine), Scope::Auth(asked)) => mine >= asked,
            (mine, asked) => mine == asked,
        }
    }
}

/// A name as the definition may have it; only so that a scope is one word on every command line.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|sign| sign.is_alphanumeric() || sign == '_')
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deed, of) = match self {
            Scope::Read(of) => ("read", of.as_deref()),
            Scope::Write(of) => ("write", of.as_deref()),
            Scope::Call(of) => ("call", of.as_deref()),
            Scope::Auth(AccountsReach::Read) => ("auth", Some("read")),
            Scope::Auth(AccountsReach::Admin) => ("auth", Some("admin")),
        };
        match of {
            Some(of) => write!(f, "{deed}:{of}"),
            None => f.write_str(deed),
        }
    }
}

/// The scopes of one key: it may do what one of them says, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Sorted, without repetitions: two keys with the same scopes share their plans' shapes.
    pub fn new(mut scopes: Vec<Scope>) -> Scopes {
        scopes.sort();
        scopes.dedup();
        Scopes(scopes)
    }

    /// Whether one of them is for this.
    pub fn permit(&self, wanted: &Scope) -> bool {
        self.0.iter().any(|scope| scope.covers(wanted))
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["read", "read:posts", "write", "write:Größe_2", "call", "call:f", "auth:read", "auth:admin"] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            ":",
            "read:",
            "read:*",
            "*",
            "READ",
            "read:a:b",
            "read: posts",
            " read",
            "auth",
            "auth:write",
            "auth:",
            "delete:posts",
            "read:a,b",
            "call:a b",
            "admin",
            "auth:Admin",
            "read:a\0",
        ] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_covers_what_it_names_and_nothing_else() {
        let all =
            ["read", "read:a", "read:b", "write", "write:a", "write:b", "call", "call:a", "auth:read", "auth:admin"];
        let beyond_itself =
            [("read", "read:a"), ("read", "read:b"), ("write", "write:a"), ("write", "write:b"), ("call", "call:a")];
        for mine in all {
            for asked in all {
                let scopes = Scopes::new(vec![Scope::parse(mine).unwrap()]);
                let expected = mine == asked
                    || beyond_itself.contains(&(mine, asked))
                    || (mine, asked) == ("auth:admin", "auth:read");
                assert_eq!(scopes.permit(&Scope::parse(asked).unwrap()), expected, "{mine} for {asked}");
            }
        }
        assert!(!Scopes::default().permit(&Scope::Read(None)), "none of them permits nothing");
    }
}
