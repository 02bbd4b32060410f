//! For how long entries of the audit log are kept (`[auth] audit_days`), and how what is left can be verified still.
//!
//! Entries go from the beginning of the chain alone, in the order of their places, in the transaction that writes one more entry:
//! `audit_removed`, with the place and the hash of the last that went. That entry is bound into the chain as any other. So a chain that
//! does not begin at 1 must carry the entry that says up to where it was cut, and the first one left must follow that hash. The newest
//! bound entry always stays: the chain goes on from it.
//!
//! Deliberately absent: removing single entries, those of one account among them. They hold no names.

use crate::audit::{self, Actor, AuditHead, Event};
use crate::core::Core;
use crate::records::{self, AUDIT_LOG};
use crate::sessions::DAY_MICROS;
use serde_json::{Value as Json, json};
use undergird_engine::{Engine, Failure, Isolation, Outcome, Record};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Operand, Operator, Request, Verb};

/// What is written in place of entries that went.
const REMOVED: &str = "audit_removed";
/// Removals in one sweep, each of a page of entries.
const REMOVALS_MAX: usize = 20;

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Core {
    /// Removes bound entries that are older than the settings keep them. Nothing is done until the oldest is a day older still, since each
    /// removal is an entry too.
    pub(crate) async fn sweep_audit(&self, moment: Moment) -> Result<(), Failure> {
        let days = self.engine.app().model().settings.auth.audit_days;
        if days == 0 {
            return Ok(());
        }
        let before = moment.now.saturating_sub(DAY_MICROS.saturating_mul(days.into()));
        let system = Caller::system(moment);
        let oldest = self.engine.records(&system, audit::bound_after(0, 1)).await?;
        if oldest.first().and_then(|row| row.int("at")).is_none_or(|at| at >= before.saturating_sub(DAY_MICROS)) {
            return Ok(());
        }
        for _ in 0..REMOVALS_MAX {
            let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
                Box::pin(async move {
                    let system = Caller::system(moment);
                    let newest = transaction.records(&system, audit::newest()).await?;
                    let newest = newest.first().and_then(|row| row.int("seq")).unwrap_or(0);
                    let rows = transaction.records(&system, audit::bound_after(0, records::PAGE)).await?;
                    // By place, not by time: clocks of nodes differ, and the chain has no holes.
                    let goes = |row: &&Record| {
                        row.int("at").is_some_and(|at| at < before) && row.int("seq").is_some_and(|seq| seq < newest)
                    };
                    let going: Vec<&Record> = rows.iter().take_while(goes).collect();
                    let Some(last) = going.last().and_then(|row| audit::head(row)) else {
                        return Ok(Outcome::rollback(false));
                    };
                    let gone = Operand::Value(Value::Int(last.seq));
                    let gone = records::and(Request::new(AUDIT_LOG, Verb::Delete), "seq", Operator::Lte(None), gone);
                    transaction.write(&system, gone, None).await?;
                    let told = json!({ "entries": going.len(), "seq": last.seq, "hash": hex(&last.hash) });
                    let event = Event::new(REMOVED, Actor::System, None).with(told);
                    audit::note(transaction, moment, event).await?;
                    Ok(Outcome::commit(going.len() == records::PAGE))
                })
            });
            match done.await {
                Ok(true) => {}
                // Another node was first.
                Ok(false) | Err(Failure::Conflict) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

/// Whether an entry says that all up to this place went, the last of them with this hash.
pub(crate) async fn is_told(engine: &Engine, system: &Caller, cut: AuditHead) -> Result<bool, Failure> {
    let removals = records::by("event", Value::text(REMOVED), AUDIT_LOG);
    let removals = records::all(engine, system, &removals).await?;
    let is_of = |row: &Record| {
        let told = records::json(row, "detail");
        told.get("seq").and_then(Json::as_i64) == Some(cut.seq)
            && told.get("hash").and_then(Json::as_str) == Some(hex(&cut.hash).as_str())
    };
    Ok(removals.iter().any(is_of))
}
