//! `undergird audit`: what happened to accounts, and whether the log of it is as it was written.

use super::users::open;
use super::{Application, block_on};
use crate::cli::Exit;
use crate::say::say;
use crate::server::Server;
use serde_json::json;
use undergird_auth::{AuditEntry, AuditFault, AuditHead, AuditVerdict};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Checks every entry against the one before it, and prints the newest: note it elsewhere.
    Verify {
        #[command(flatten)]
        application: Application,
        /// A newest entry that was printed before and must be in the log still.
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<String>,
    },
    /// Prints the entries, oldest first, as JSON lines.
    List {
        #[command(flatten)]
        application: Application,
        /// Only those after this place.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: i64,
    },
}

/// Entries read at once.
const PAGE: usize = 500;

/// # Errors
/// 1 when the log is not as it was written, 2 for a head that is none.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    block_on(async {
        match arguments.command {
            Command::Verify { application, head } => {
                let noted = head.as_deref().map(parse).transpose()?;
                let server = open(&application).await?;
                let verdict = verify(&server, noted).await;
                server.close().await;
                verdict
            }
            Command::List { application, after } => {
                let server = open(&application).await?;
                let listed = list(&server, after).await;
                server.close().await;
                listed
            }
        }
    })
}

async fn verify(server: &Server, noted: Option<AuditHead>) -> Result<(), Exit> {
    let failed = |failure| Exit::failed(format!("the audit log cannot be read: {failure:?}"));
    // What was noted a moment ago is bound first, so that it is covered.
    server.auth().chain_audit().await.map_err(failed)?;
    match server.auth().verify_audit(noted).await.map_err(failed)? {
        AuditVerdict::Whole { head, pending, removed } => {
            say!("{} entries, whole; newest {}", head.seq - removed, shown(head))?;
            if removed > 0 {
                say!("the {removed} before them were removed after their time, as the log itself tells")?;
            }
            match pending {
                0 => Ok(()),
                pending => say!("{pending} entries came meanwhile and are not bound yet"),
            }
        }
        AuditVerdict::Broken { seq, why } => Err(Exit::failed(format!(
            "the audit log is not as it was written: entry {seq} {}",
            match why {
                AuditFault::Missing => "is missing",
                AuditFault::Link => "does not follow the one before it",
                AuditFault::Content => "was changed",
                AuditFault::Head => "is not the one that was noted",
                AuditFault::Removed => "was removed after its time (`[auth] audit_days`): note a newer one",
            }
        ))),
    }
}

async fn list(server: &Server, mut after: i64) -> Result<(), Exit> {
    loop {
        let page = server.auth().audit_entries(after, PAGE).await;
        let page = page.map_err(|failure| Exit::failed(format!("the audit log cannot be read: {failure:?}")))?;
        for entry in &page {
            say!("{}", as_json(entry))?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.seq,
            _ => return Ok(()),
        }
    }
}

fn as_json(entry: &AuditEntry) -> serde_json::Value {
    let detail = entry.detail.as_deref().and_then(|detail| serde_json::from_str::<serde_json::Value>(detail).ok());
    json!({
        "seq": entry.seq,
        "at": jiff::Timestamp::from_microsecond(entry.at).map(|at| at.to_string()).unwrap_or_default(),
        "event": entry.event,
        "actor": entry.actor,
        "user_id": entry.user.map(|id| id.to_string()),
        "session_id": entry.session.map(|id| id.to_string()),
        "ip": entry.ip,
        "detail": detail,
    })
}

fn shown(head: AuditHead) -> String {
    let hash: String = head.hash.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{}:{hash}", head.seq)
}

fn parse(text: &str) -> Result<AuditHead, Exit> {
    let wrong = || Exit::wrong("--head is not as `undergird audit verify` prints it: SEQ:HASH");
    let (seq, hex) = text.split_once(':').ok_or_else(wrong)?;
    let seq = seq.parse().map_err(|_| wrong())?;
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (position, octet) in hash.iter_mut().enumerate() {
        let digits = &hex[2 * position..2 * position + 2];
        *octet = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(AuditHead { seq, hash })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let head = AuditHead { seq: 7, hash: std::array::from_fn(|position| position as u8 * 8) };
        assert_eq!(parse(&shown(head)).unwrap(), head);
        for wrong in
            ["", "7", "7:", "x:00", &shown(head)[1..], &shown(head).replace('0', "g"), &format!("{}0", shown(head))]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
