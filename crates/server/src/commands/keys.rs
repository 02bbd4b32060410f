//! `undergird keys`: the publishable and the secret key, made on first use; and a new key that signs tokens.

use super::{Application, block_on};
use crate::cli::Exit;
use crate::config::{Environment, data_directory};
use crate::keys::{self, KeysProblem};
use crate::say::{say, tell};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use undergird_auth::{NewSigningKey, ServiceKey, SigningAlgorithm, SigningKeyError};
use undergird_engine::accounts::Secret;
use undergird_plan::{Scope, Scopes};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    print: Print,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a new key that signs tokens. Running servers take it up within seconds; tokens of the old one are good until they run out.
    Rotate {
        #[command(flatten)]
        application: Application,
        /// ES256, EdDSA, or HS256 with --secret-file; else that of the key before.
        #[arg(long, value_parser = algorithm)]
        algorithm: Option<SigningAlgorithm>,
        /// For HS256: a file with the secret that others have too, at least 32 octets (`-`: standard input). A line's end after it is no part of it.
        #[arg(long)]
        secret_file: Option<PathBuf>,
    },
    /// Makes a key for a service account and prints it, this once. Rules decide what it may, by its roles.
    Add {
        /// What it is called.
        name: String,
        #[command(flatten)]
        application: Application,
        /// Its roles, separated by commas.
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
        /// What it is held to beneath the rules, separated by commas: read, write, call, each alone or as read:COLLECTION, write:COLLECTION,
        /// call:FUNCTION; auth:read and auth:admin, which no rule gives. Without them: all that the rules permit, and no accounts.
        #[arg(long, value_delimiter = ',', value_parser = scope)]
        scopes: Option<Vec<Scope>>,
        /// How long it is good, in days.
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// Lists the keys of service accounts, never the keys themselves.
    List(Application),
    /// Ends a key of a service account, at once.
    Revoke {
        /// Its id, as `list` prints it.
        id: uuid::Uuid,
        #[command(flatten)]
        application: Application,
    },
}

#[derive(Debug, clap::Args)]
struct Print {
    #[command(flatten)]
    application: Application,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// 2 for keys that are no keys, 1 when they cannot be kept.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    match arguments.command {
        None => print(&arguments.print),
        Some(Command::Add { name, application, roles, scopes, days }) => block_on(async {
            let server = super::users::open(&application).await?;
            let made = server.auth().add_service_key(&name, roles, scopes.map(Scopes::new), days).await;
            server.close().await;
            let (key, secret) = made.map_err(|error| Exit::wrong(error.to_string()))?;
            tell!("{}  {}, good for {days} days. It is shown this once:", key.id, key.name);
            say!("{}", secret.expose())
        }),
        Some(Command::List(application)) => block_on(async {
            let server = super::users::open(&application).await?;
            let keys = server.auth().service_keys().await;
            server.close().await;
            for key in keys.map_err(|failure| Exit::failed(format!("cannot list keys: {failure:?}")))? {
                say!("{}", line(&key))?;
            }
            Ok(())
        }),
        Some(Command::Revoke { id, application }) => block_on(async {
            let server = super::users::open(&application).await?;
            let revoked = server.auth().revoke_service_key(id).await;
            server.close().await;
            match revoked {
                Ok(true) => Ok(()),
                Ok(false) => Err(Exit::failed("there is no such key")),
                Err(failure) => Err(Exit::failed(format!("the key was not revoked: {failure:?}"))),
            }
        }),
        Some(Command::Rotate { application, algorithm, secret_file }) => block_on(async {
            let new = new_signing_key(algorithm, secret_file.as_deref())?;
            let server = super::users::open(&application).await?;
            let rotated = server.auth().rotate_signing_key(new).await;
            server.close().await;
            rotated.map_err(|error| match error {
                SigningKeyError::SecretMissing | SigningKeyError::SecretTooShort => {
                    Exit::wrong(format!("{error}: {SHARED}"))
                }
                SigningKeyError::Failed(_) => Exit::failed(error.to_string()),
            })
        }),
    }
}

/// What HS256 wants.
const SHARED: &str = "name a file with it by --algorithm HS256 --secret-file FILE";

fn new_signing_key(algorithm: Option<SigningAlgorithm>, file: Option<&Path>) -> Result<NewSigningKey, Exit> {
    match (algorithm, file) {
        (Some(SigningAlgorithm::Hs256), Some(file)) => {
            let mut text = String::new();
            let read = if file == Path::new("-") {
                std::io::stdin().take(SECRET_OCTETS_MAX).read_to_string(&mut text)
            } else {
                std::fs::File::open(file).and_then(|file| file.take(SECRET_OCTETS_MAX).read_to_string(&mut text))
            };
            read.map_err(|error| Exit::wrong(format!("{}: {error}", file.display())))?;
            let end = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(end);
            Ok(NewSigningKey::Shared(Secret::new(text)))
        }
        (_, Some(_)) => Err(Exit::wrong(format!("--secret-file is for HS256 alone: {SHARED}"))),
        (Some(algorithm), None) => Ok(NewSigningKey::Of(algorithm)),
        (None, None) => Ok(NewSigningKey::AsBefore),
    }
}

/// Most octets of a secret's file.
const SECRET_OCTETS_MAX: u64 = 64 << 10;

/// A key in one line: whose, what it may, until when, and when it was last used.
fn line(key: &ServiceKey) -> String {
    let at = |micros: i64| jiff::Timestamp::from_microsecond(micros).map(|at| at.to_string()).unwrap_or_default();
    let scopes = match &key.scopes {
        Some(scopes) => scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        None => "all that the rules permit".into(),
    };
    let used = key.last_used_at.map_or("never used".into(), |micros| format!("last used {}", at(micros)));
    let ServiceKey { id, name, roles, expires_at, .. } = key;
    format!("{id}  {name}  roles [{}]  scopes [{scopes}]  until {}  {used}", roles.join(","), at(*expires_at))
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        "a scope is read, write or call, alone or with a name (read:posts, call:transfer), auth:read or auth:admin"
            .to_owned()
    })
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, String> {
    SigningAlgorithm::of(name).ok_or_else(|| "ES256, EdDSA or HS256".to_owned())
}

fn print(arguments: &Print) -> Result<(), Exit> {
    // So that a mistyped directory does not get keys.
    crate::config::read_sources(&arguments.application.directory).map_err(Exit::Wrong)?;
    let environment = Environment::of_process();
    let data = data_directory(&arguments.application.directory, &environment, arguments.application.data.as_deref());
    let keys = keys::load(&data, &environment, true).map_err(|problem| match problem {
        KeysProblem::Wrong(why) => Exit::Wrong(why),
        KeysProblem::Failed(why) => Exit::Failed(why),
    })?;
    if arguments.json {
        say!("{:#}", keys::to_json(&keys))?;
    } else {
        say!("publishable  {}\nsecret       {}", keys.publishable, keys.secret.expose())?;
        tell!(
            "The publishable key means \"a visitor\" and may stand in any client. The secret key passes all access rules: servers only."
        );
    }
    Ok(())
}
