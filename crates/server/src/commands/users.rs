//! `undergird users`: accounts from the command line, beside a running server.

use super::{Application, block_on, exit};
use crate::cli::Exit;
use crate::say::say;
use crate::server::{SchemaPolicy, Server};
use serde_json::{Value as Json, json};
use std::io::IsTerminal;
use undergird_auth::{AdminError, NewAccount};
use undergird_engine::accounts::{Account, AccountError, PasswordWeakness, Secret};

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
