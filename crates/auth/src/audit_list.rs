//! The audit log as the holder of the secret key reads it over the wire: a page, newest first, perhaps of some entries alone.
//!
//! Deliberately absent: names in the log. Who did it is looked up as the entry is shown, so that an account that is gone has no name here
//! either.

use crate::administration::{PAGE_ROWS_MAX, column, demand_owner};
use crate::audit;
use crate::core::Core;
use crate::records::{self, AUDIT_LOG, USERS};
use serde_json::{Map, Value as Json};
use undergird_engine::accounts::{AccountError, AuditEvent, AuditFilter, AuditPage, Page};
use undergird_engine::{Failure, Record};
use undergird_model::Value;
use undergird_plan::request::{
    Aggregate, Condition, Operand, Operator, OrderItem, Request, SelectColumn, SelectItem, Test, Verb,
};
use undergird_plan::{AccountsReach, Caller};
use uuid::Uuid;

/// Most accounts that an author's text may mean.
const AUTHORS_MAX: usize = 500;
/// As Supabase Auth calls the holder of the secret key, and how Undergird calls itself.
const OWNER: &str = "service_role";
const SYSTEM: &str = "system";
/// What kind of thing an event is, in the words of Supabase Auth; whatever is not named is of an account.
const ACCOUNT: &str = "account";
const KINDS: [(&str, &[&str]); 5] = [
    ("team", &["user_created", "user_made", "user_invited", "user_deleted", "user_handed_over"]),
    ("token", &["token_refreshed", "token_revoked", "signing_key_rotated", "service_key_made", "service_key_revoked"]),
    ("factor", &["factor_in_progress", "factor_deleted", "mfa_verified", "mfa_failed"]),
    ("recovery_codes", &["recovery_codes_deleted"]),
    (
        "user",
        &[
            "user_modified",
            "user_repeated_signup",
            "email_change_confirmed",
            "email_changed",
            "generate_recovery_codes",
            "identity_linked",
            "identity_unlinked",
            "link_generated",
            "mail_asked",
            "mail_sent",
            "passkey_created",
            "passkey_deleted",
            "passkey_refused",
            "passkey_updated",
            "reauthentication_failed",
        ],
    ),
];

fn kind(event: &str) -> &'static str {
    KINDS.iter().find(|(_, events)| events.contains(&event)).map_or(ACCOUNT, |(kind, _)| kind)
}

/// Has a text stand for itself in a pattern, anywhere.
fn anywhere(text: &str) -> Operand {
    let mut pattern = String::from("%");
    for sign in text.chars() {
        if matches!(sign, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(sign);
    }
    pattern.push('%');
    // As text: what is typed is no pattern.
    Operand::Text(pattern)
}

/// One more test, not yet among the request's conditions.
fn test(request: &mut Request, name: &str, operator: Operator, operand: Operand) -> Condition {
    let operand = Some(request.slot(operand));
    Condition::Test(Test { column: column(name), operator, operand })
}

fn one_of(request: &mut Request, name: &str, values: &[&str]) -> Condition {
    test(request, name, Operator::In, Operand::Values(values.iter().map(|value| Value::text(*value)).collect()))
}

impl Core {
    pub(crate) async fn audit_log(
        &self,
        caller: &Caller,
        page: Page,
        filter: Option<AuditFilter>,
    ) -> Result<AuditPage, AccountError> {
        demand_owner(caller, AccountsReach::Read)?;
        let system = Caller::system(caller.moment());
        let mut wanted = Request::new(AUDIT_LOG, Verb::Read);
        if let Some(filter) = filter {
            let Some(condition) = self.condition(&system, &mut wanted, filter).await? else {
                return Ok(AuditPage { events: Vec::new(), total: 0 });
            };
            wanted.shape.filter.push(condition);
        }
        let mut count = wanted.clone();
        count.shape.select = Some(vec![SelectItem::Column(SelectColumn {
            alias: Some("total".into()),
            column: column("id"),
            cast: None,
            aggregate: Some(Aggregate::Count),
            aggregate_cast: None,
        })]);
        let counted = self.engine.records(&system, count).await?;
        let total = counted.first().and_then(|row| row.int("total")).unwrap_or(0);
        let rows = i64::from(page.rows.clamp(1, PAGE_ROWS_MAX));
        let skipped = i64::from(page.number.max(1) - 1).saturating_mul(rows);
        // Ids begin with the time, and are an index.
        wanted.shape.order =
            vec![OrderItem { relation: None, column: column("id"), descending: true, nulls_first: None }];
        wanted.shape.limit = Some(wanted.slot(Operand::Value(Value::Int(rows))));
        wanted.shape.offset = Some(wanted.slot(Operand::Value(Value::Int(skipped))));
        let rows = self.engine.records(&system, wanted).await?;
        let names = self.names(&system, &rows).await?;
        let events = rows.iter().map(|row| event(row, &names)).collect();
        Ok(AuditPage { events, total: u64::try_from(total).unwrap_or(0) })
    }

    /// What a filter asks of an entry; `None`: no entry can be so.
    async fn condition(
        &self,
        system: &Caller,
        request: &mut Request,
        filter: AuditFilter,
    ) -> Result<Option<Condition>, AccountError> {
        Ok(match filter {
            AuditFilter::Action(text) => Some(test(request, "event", Operator::ILike(None), anywhere(&text))),
            AuditFilter::Kind(text) => {
                let text = text.to_lowercase();
                let is_meant = |kind: &str| kind.contains(&text);
                let listed = |meant: bool| -> Vec<&str> {
                    let kinds = KINDS.iter().filter(|(kind, _)| is_meant(kind) == meant);
                    kinds.flat_map(|(_, events)| events.iter().copied()).collect()
                };
                match (is_meant(ACCOUNT), listed(true), listed(false)) {
                    // Whatever is not of the other kinds.
                    (true, _, others) => Some(Condition::Not(Box::new(one_of(request, "event", &others)))),
                    (false, events, _) => (!events.is_empty()).then(|| one_of(request, "event", &events)),
                }
            }
            AuditFilter::Author(text) => {
                let of_text = Request::new(USERS, Verb::Read);
                let of_text = records::and(of_text, "email", Operator::ILike(None), anywhere(&text));
                let users = self.engine.records(system, records::page(of_text, "id", None, AUTHORS_MAX + 1)).await?;
                if users.len() > AUTHORS_MAX {
                    let why = "means more than 500 accounts: say more of the address";
                    return Err(AccountError::InvalidSetting("query", why.into()));
                }
                let mut any = Vec::new();
                let ids: Vec<Value> = users.iter().filter_map(|user| user.uuid("id")).map(Value::Uuid).collect();
                if !ids.is_empty() {
                    let theirs = test(request, "user_id", Operator::In, Operand::Values(ids));
                    // Not what others did to their accounts.
                    any.push(Condition::And(vec![theirs, one_of(request, "actor", &["user", "nobody"])]));
                }
                let text = text.to_lowercase();
                for (actor, name) in [("owner", OWNER), (audit::SERVICE_KEY, audit::SERVICE_KEY), ("system", SYSTEM)] {
                    if name.contains(&text) {
                        any.push(one_of(request, "actor", &[actor]));
                    }
                }
                (!any.is_empty()).then_some(Condition::Or(any))
            }
        })
    }

    /// The addresses of the accounts that entries are of.
    async fn names(&self, system: &Caller, rows: &[Record]) -> Result<Vec<(Uuid, String)>, Failure> {
        let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.uuid("user_id")).collect();
        ids.sort();
        ids.dedup();
        let mut names = Vec::new();
        for ids in ids.chunks(records::PAGE) {
            let ids = Operand::Values(ids.iter().copied().map(Value::Uuid).collect());
            let theirs = records::and(Request::new(USERS, Verb::Read), "id", Operator::In, ids);
            let users = self.engine.records(system, records::page(theirs, "id", None, records::PAGE)).await?;
            names.extend(users.iter().filter_map(|user| Some((user.uuid("id")?, user.text("email")?.to_owned()))));
        }
        Ok(names)
    }
}

/// An entry as it is shown; `names` are in order of their ids.
fn event(row: &Record, names: &[(Uuid, String)]) -> AuditEvent {
    let text = |name: &str| row.text(name).unwrap_or_default().to_owned();
    let user = row.uuid("user_id");
    let (actor, actor_name) = match row.text("actor") {
        Some("owner") => (None, OWNER.to_owned()),
        Some(audit::SERVICE_KEY) => (None, audit::SERVICE_KEY.to_owned()),
        Some("system") => (None, SYSTEM.to_owned()),
        _ => {
            let name = user.and_then(|user| names.binary_search_by_key(&user, |(id, _)| *id).ok());
            (user, name.map(|place| names[place].1.clone()).unwrap_or_default())
        }
    };
    let mut traits = match records::json(row, "detail") {
        Json::Object(traits) => traits,
        _ => Map::new(),
    };
    if let Some(user) = user.filter(|_| actor.is_none()) {
        traits.insert("user_id".into(), user.to_string().into());
    }
    if let Some(session) = row.uuid("session_id") {
        traits.insert("session_id".into(), session.to_string().into());
    }
    let action = text("event");
    AuditEvent {
        id: row.uuid("id").unwrap_or_default(),
        at: row.int("at").unwrap_or_default(),
        kind: kind(&action),
        action,
        actor,
        actor_name,
        address: row.text("ip").map(str::to_owned),
        traits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GoTrue's `ActionLogTypeMap` has it, for each event of ours that has a name there.
    #[test]
    fn events_are_of_the_kinds_that_supabase_auth_says() {
        let there = [
            ("login", "account"),
            ("logout", "account"),
            ("invite_accepted", "account"),
            ("user_invited", "team"),
            ("user_deleted", "team"),
            ("token_revoked", "token"),
            ("token_refreshed", "token"),
            ("user_modified", "user"),
            ("user_repeated_signup", "user"),
            ("generate_recovery_codes", "user"),
            ("factor_in_progress", "factor"),
            ("factor_deleted", "factor"),
            ("recovery_codes_deleted", "recovery_codes"),
            ("passkey_created", "user"),
            ("passkey_updated", "user"),
            ("passkey_deleted", "user"),
        ];
        for (event, expected) in there {
            assert_eq!(kind(event), expected, "{event}");
        }
    }

    #[test]
    fn what_is_looked_for_stands_for_itself() {
        assert_eq!(anywhere(r"a_b%c\d"), Operand::Text(r"%a\_b\%c\\d%".into()));
    }
}
