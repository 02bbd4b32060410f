//! `undergird users`: accounts from the command line, beside a running server.

use super::{Application, block_on, exit};
use crate::cli::Exit;
use crate::say::say;
use crate::server::{SchemaPolicy, Server};
use serde_json::{Value as Json, json};
use std::io::IsTerminal;
use std::time::Duration;
use undergird_auth::{AdminError, NewAccount};
use undergird_engine::accounts::{
    Account, AccountError, AccountFactor, AccountIdentity, AccountSession, PasswordWeakness, Secret,
};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a confirmed account. The password is read from the first line of standard input.
    Add {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
        /// Its roles, separated by commas.
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
        /// Fields of its profile, as a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        profile: String,
    },
    /// Keeps an account from signing in, which ends its sessions at once.
    Ban {
        /// Its e-mail address.
        email: String,
        /// For so long; without it for good.
        #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=876_000))]
        hours: Option<u32>,
        #[command(flatten)]
        application: Application,
    },
    /// Lifts a ban.
    Unban {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
    },
    /// Shows an account as JSON: what it is, how it signs in, its sessions.
    Show {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
    },
    /// Lists accounts.
    List {
        #[command(flatten)]
        application: Application,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Ends all sessions of an account, at once.
    SignOut {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
    },
    /// Sets a new password, which ends all sessions. It is read from the first line of standard input.
    Password {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
    },
    /// Removes an account with its profile row.
    #[command(alias = "delete")]
    Remove {
        /// Its e-mail address.
        email: String,
        #[command(flatten)]
        application: Application,
    },
    /// Sets the roles of an account; its sessions get them at once.
    Roles {
        /// Its e-mail address.
        email: String,
        /// All its roles from now on, separated by commas; empty for none.
        roles: String,
        #[command(flatten)]
        application: Application,
    },
}

/// Accounts read at once.
const PAGE: usize = 500;

/// # Errors
/// 2 for what an account cannot have, 1 for anything else.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    block_on(async {
        match arguments.command {
            Command::Add { email, application, roles, profile } => {
                let data = match serde_json::from_str(&profile) {
                    Ok(Json::Object(data)) => data,
                    _ => return Err(Exit::wrong("--profile is no JSON object")),
                };
                let password = read_password()?;
                let server = open(&application).await?;
                let added = server.auth().add_account(NewAccount { email, password, roles, data }).await;
                server.close().await;
                say!("{}", shown(&added.map_err(refused)?))?;
                Ok(())
            }
            Command::Ban { email, hours, application } => {
                let length = hours.map_or(Duration::MAX, |hours| Duration::from_secs(u64::from(hours) * 3_600));
                let server = open(&application).await?;
                let banned = server.auth().ban_account(&email, Some(length)).await;
                server.close().await;
                say!("{}", shown(&banned.map_err(refused)?))
            }
            Command::Unban { email, application } => {
                let server = open(&application).await?;
                let lifted = server.auth().ban_account(&email, None).await;
                server.close().await;
                say!("{}", shown(&lifted.map_err(refused)?))
            }
            Command::Show { email, application } => {
                let server = open(&application).await?;
                let found = server.auth().show_account(&email).await;
                server.close().await;
                let (account, sessions) = found.map_err(refused)?;
                say!("{}", in_full(&account, &sessions))
            }
            Command::List { application, json } => {
                let server = open(&application).await?;
                let listed = list(&server, json).await;
                server.close().await;
                listed
            }
            Command::SignOut { email, application } => {
                let server = open(&application).await?;
                let ended = server.auth().end_sessions(&email).await;
                server.close().await;
                say!("{} sessions ended", ended.map_err(refused)?)
            }
            Command::Password { email, application } => {
                let password = read_password()?;
                let server = open(&application).await?;
                let set = server.auth().set_password(&email, &password).await;
                server.close().await;
                say!("{}", shown(&set.map_err(refused)?))
            }
            Command::Remove { email, application } => {
                let server = open(&application).await?;
                let removed = server.auth().remove_account(&email).await;
                server.close().await;
                removed.map_err(refused)
            }
            Command::Roles { email, roles, application } => {
                let roles =
                    roles.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect();
                let server = open(&application).await?;
                let set = server.auth().set_roles(&email, roles).await;
                server.close().await;
                say!("{}", shown(&set.map_err(refused)?))?;
                Ok(())
            }
        }
    })
}

pub(super) async fn open(application: &Application) -> Result<Server, Exit> {
    let builder = application.builder(Vec::new()).schema(SchemaPolicy::Demand).beside_server(true);
    builder.build().await.map_err(exit)
}

async fn list(server: &Server, json: bool) -> Result<(), Exit> {
    let mut after = None;
    loop {
        let page = server.auth().list_accounts(after, PAGE).await;
        let page = page.map_err(|failure| Exit::failed(format!("cannot list accounts: {failure:?}")))?;
        for account in &page {
            if json {
                say!("{}", as_json(account))?;
            } else {
                say!("{}", shown(account))?;
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.id),
            _ => return Ok(()),
        }
    }
}

fn read_password() -> Result<Secret, Exit> {
    if std::io::stdin().is_terminal() {
        crate::say::aside(format_args!("Password (it is shown as you type): "));
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Exit::failed(format!("cannot read the password: {error}")))?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

fn roles(account: &Account) -> Vec<&str> {
    let roles = account.app_metadata.get("roles").and_then(Json::as_array);
    roles.into_iter().flatten().filter_map(Json::as_str).collect()
}

fn shown(account: &Account) -> String {
    let email = account.email.as_deref().unwrap_or("-");
    format!("{}  {email}  {}", account.id, roles(account).join(","))
}

fn as_json(account: &Account) -> Json {
    json!({ "id": account.id.to_string(), "email": account.email, "roles": roles(account) })
}

/// All that there is to say of an account; never a secret.
fn in_full(account: &Account, sessions: &[AccountSession]) -> Json {
    let time = |micros: i64| jiff::Timestamp::from_microsecond(micros).map(|at| at.to_string()).unwrap_or_default();
    let maybe = |micros: Option<i64>| micros.map(time);
    let identity = |identity: &AccountIdentity| json!({ "id": identity.id.to_string(), "provider": identity.provider, "last_sign_in_at": maybe(identity.last_sign_in_at) });
    let factor = |factor: &AccountFactor| json!({ "id": factor.id.to_string(), "kind": factor.kind, "name": factor.name, "verified": factor.verified });
    let session = |session: &AccountSession| {
        json!({
            "id": session.id.to_string(), "created_at": time(session.created_at), "refreshed_at": time(session.refreshed_at),
            "not_after": time(session.not_after), "aal": session.aal, "method": session.method, "ip": session.ip,
            "user_agent": session.user_agent,
        })
    };
    json!({
        "id": account.id.to_string(),
        "email": account.email,
        "new_email": account.new_email,
        "is_anonymous": account.is_anonymous,
        "created_at": time(account.created_at),
        "email_confirmed_at": maybe(account.email_confirmed_at),
        "invited_at": maybe(account.invited_at),
        "last_sign_in_at": maybe(account.last_sign_in_at),
        "banned_until": maybe(account.banned_until),
        "app_metadata": account.app_metadata,
        "user_metadata": account.user_metadata,
        "identities": account.identities.iter().map(identity).collect::<Vec<_>>(),
        "factors": account.factors.iter().map(factor).collect::<Vec<_>>(),
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
    })
}

fn refused(error: AdminError) -> Exit {
    match error {
        AdminError::BadRole(role) => {
            Exit::wrong(format!("\"{role}\" is no role: letters, digits, _ - . :, at most 64, at most 32 roles"))
        }
        AdminError::NoSuchAccount => Exit::failed("nobody has this address"),
        AdminError::Account(AccountError::EmailTaken) => Exit::failed("somebody has this address already"),
        AdminError::Account(AccountError::InvalidEmail) => Exit::wrong("this is no e-mail address"),
        AdminError::Account(AccountError::WeakPassword(weakness)) => Exit::wrong(match weakness {
            PasswordWeakness::TooShort { min } => format!("the password has fewer than {min} characters"),
            PasswordWeakness::TooLong { max } => format!("the password has more than {max} characters"),
            PasswordWeakness::Common => "the password is on the list that guessers try first".to_owned(),
        }),
        AdminError::Account(AccountError::InvalidData(errors)) => {
            let errors: Vec<String> =
                errors.iter().map(|error| format!("{}: {}", error.pointer, error.message)).collect();
            Exit::wrong(format!("the profile is not good: {}", errors.join("; ")))
        }
        AdminError::Account(error) => Exit::failed(format!("it was not done: {error:?}")),
    }
}
