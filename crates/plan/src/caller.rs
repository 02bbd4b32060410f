//! Who asks, and when. Identity is an enum without a null: a failed sign-in is a visitor or a refusal, never more.

use crate::scope::{AccountsReach, Scope, Scopes};
use std::sync::Arc;
use undergird_model::Value;
use undergird_model::expr::AuthFact;
use undergird_model::field_type::json::canonical;
use uuid::Uuid;

/// Who asks, and when.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Identity,
    moment: Moment,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular: a publishable key, or none.
    Visitor,
    /// Somebody who signed in.
    User(Arc<User>),
    /// The holder of a secret key: past access rules, never past validation.
    Secret,
    /// Undergird itself, in its own collections. Only `auth` and `engine` make it; a test holds that.
    System,
}

/// Somebody who signed in: the checked contents of a token. Or a program with a key of its own, perhaps held to scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: Uuid,
    email: Option<String>,
    roles: Vec<String>,
    claims: serde_json::Value,
    scopes: Option<Scopes>,
}

impl User {
    /// `sub`, `email`, `app_metadata.roles` and the whole body of a token that was checked.
    pub fn new(id: Uuid, email: Option<String>, mut roles: Vec<String>, claims: serde_json::Value) -> User {
        // Sorted, without repetitions: two users with the same roles share their plans' shapes.
        roles.sort();
        roles.dedup();
        User { id, email, roles, claims, scopes: None }
    }

    /// The same one, held to scopes.
    pub fn held_to(self, scopes: Scopes) -> User {
        User { scopes: Some(scopes), ..self }
    }

    /// What it is held to beneath the rules; `None`: the rules alone.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// `sub`.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// `app_metadata.roles`, sorted.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The whole token body, as JSON.
    pub fn claims(&self) -> &serde_json::Value {
        &self.claims
    }
}

/// The clock and the dice of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// Fresh random bits, from which the ids of this request are made.
    pub entropy: u128,
}

/// The part of a caller that decides a plan's shape.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CallerKind {
    /// See [`Identity::Visitor`].
    Visitor,
    /// A user with these roles, held to these scopes.
    User(Vec<String>, Option<Scopes>),
    /// See [`Identity::Secret`].
    Secret,
    /// See [`Identity::System`].
    System,
}

/// Most methods of a session that rules look at; a session has two.
const METHODS_MAX: usize = 20;

impl Caller {
    /// A caller that is not Undergird itself.
    pub fn visitor(moment: Moment) -> Caller {
        Caller { identity: Identity::Visitor, moment }
    }

    /// A user whose token was checked. Shared, because the same token comes with many requests.
    pub fn user(user: Arc<User>, moment: Moment) -> Caller {
        Caller { identity: Identity::User(user), moment }
    }

    /// The holder of a secret key.
    pub fn secret(moment: Moment) -> Caller {
        Caller { identity: Identity::Secret, moment }
    }

    /// Undergird itself, for its own collections: users, sessions, keys.
    pub fn system(moment: Moment) -> Caller {
        Caller { identity: Identity::System, moment }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When it is.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The same caller at another moment, as each step of a batch needs fresh ids.
    pub fn at(&self, moment: Moment) -> Caller {
        Caller { identity: self.identity.clone(), moment }
    }

    /// What decides a plan's shape.
    pub fn kind(&self) -> CallerKind {
        match &self.identity {
            Identity::Visitor => CallerKind::Visitor,
            Identity::User(user) => CallerKind::User(user.roles.clone(), user.scopes.clone()),
            Identity::Secret => CallerKind::Secret,
            Identity::System => CallerKind::System,
        }
    }

    /// Whether the caller is of a kind, without making the kind.
    pub fn is_kind(&self, kind: &CallerKind) -> bool {
        match (&self.identity, kind) {
            (Identity::Visitor, CallerKind::Visitor)
            | (Identity::Secret, CallerKind::Secret)
            | (Identity::System, CallerKind::System) => true,
            (Identity::User(user), CallerKind::User(roles, scopes)) => user.roles == *roles && user.scopes == *scopes,
            _ => false,
        }
    }

    /// Whether somebody is signed in or a key stands for the app: decides between 401 and 403.
    pub fn is_authenticated(&self) -> bool {
        !matches!(self.identity, Identity::Visitor)
    }

    /// Whether the caller may reach so far into other people's accounts.
    pub fn may_reach_accounts(&self, reach: AccountsReach) -> bool {
        match &self.identity {
            Identity::Secret | Identity::System => true,
            Identity::User(user) => user.scopes.as_ref().is_some_and(|scopes| scopes.permit(&Scope::Auth(reach))),
            Identity::Visitor => false,
        }
    }

    /// `anon`, `authenticated` or `service_role`, as clients know them.
    pub fn role(&self) -> &'static str {
        match self.identity {
            Identity::Visitor => "anon",
            Identity::User(_) => "authenticated",
            Identity::Secret | Identity::System => "service_role",
        }
    }

    /// A fact for a rule.
    pub fn fact(&self, fact: &AuthFact) -> Value {
        let user = match &self.identity {
            Identity::User(user) => Some(user),
            Identity::Visitor | Identity::Secret | Identity::System => None,
        };
        match fact {
            AuthFact::Id => user.map_or(Value::Null, |user| Value::Uuid(user.id)),
            AuthFact::Role => Value::text(self.role()),
            AuthFact::Roles => {
                Value::List(user.map_or_else(Vec::new, |user| user.roles.iter().map(Value::text).collect()))
            }
            AuthFact::Email => user.and_then(|user| user.email.as_ref()).map_or(Value::Null, Value::text),
            AuthFact::Aal => user.and_then(|user| user.claims.get("aal")?.as_str()).map_or(Value::Null, Value::text),
            AuthFact::Amr => {
                let methods = user.and_then(|user| user.claims.get("amr")?.as_array()).into_iter().flatten();
                let methods = methods.filter_map(|method| method.get("method")?.as_str());
                Value::List(methods.take(METHODS_MAX).map(Value::text).collect())
            }
            AuthFact::Claim(path) => {
                let mut at = match user {
                    Some(user) => &user.claims,
                    None => return Value::Null,
                };
                for step in path {
                    match at.get(step) {
                        Some(next) => at = next,
                        None => return Value::Null,
                    }
                }
                // What has no canonical form no store could hold or compare.
                canonical(at).map_or(Value::Null, Value::Json)
            }
        }
    }
}
