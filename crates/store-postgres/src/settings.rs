//! Where the database is and how to speak to it: the URL, its options, TLS. Secrets stay inside: nothing here prints a password.
//!
//! Deliberately absent: pools and sessions; this makes connections and gives them away.

use crate::ddl::HELPERS;
use crate::error::explain;
use crate::types::NAME_OCTETS_MAX;
use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use undergird_store::StoreError;

/// The driver's own side of a connection: who polls it moves the bytes.
pub(crate) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// How a store is set up. What the URL says of the same goes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most connections: `?pool=` in the URL. Of ten and more, a fifth is shared by quick reads.
    pub connections: usize,
    /// Most requests that wait for a connection before new ones are shed. Fewer, where the first of them waits for long already.
    pub waiting: usize,
    /// How long a request waits for a connection, the making of one included.
    pub wait: Duration,
    /// What no statement outlives on the server, even when this process is gone.
    pub statement: Duration,
    /// Behind a pooler that gives each transaction another server connection (PgBouncer in transaction mode): nothing is kept on the
    /// server between transactions. `?pooler=transaction` in the URL.
    pub transaction_pooler: bool,
    /// Where standbys of the database are, for reads that may be [a little old](undergird_store::Freshness).
    pub replicas: Vec<String>,
    /// How old such a read may be.
    pub replica_lag: Duration,
    /// The URL of the login that runs what visitors and users read, behind policies: see [`undergird_store::Store::raise_wall`].
    pub reader: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Options {
            connections: (5 * cores).max(20),
            waiting: 4_096,
            wait: Duration::from_millis(1_900),
            statement: Duration::from_secs(120),
            transaction_pooler: false,
            replicas: Vec::new(),
            replica_lag: Duration::from_secs(5),
            reader: None,
        }
    }
}

/// Most connections that a URL may ask for.
const CONNECTIONS_MAX: usize = 1_000;

/// A database, and how it is reached.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    /// Past a pooler, for what needs one server connection: listening, migrations.
    direct: Option<Config>,
    wait: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl Target {
    /// Reads a URL: `postgres://user:password@host:port/database?…`. Of the options, `pooler`, `pool`, `direct`, `sslmode` and
    /// `sslrootcert` are ours; the others are libpq's.
    pub(crate) fn parse(url: &str, options: &mut Options) -> Result<Target, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut passed = Vec::new();
        let (mut mode, mut root, mut direct, mut schema) = (None, None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "pooler" => match value.as_str() {
                    "transaction" => options.transaction_pooler = true,
                    "session" | "none" => options.transaction_pooler = false,
                    _ => return Err(wrong("pooler", "transaction, session or none")),
                },
                "pool" => match value.parse() {
                    Ok(number @ 1..=CONNECTIONS_MAX) => options.connections = number,
                    _ => return Err(wrong("pool", "a number from 1 to 1000")),
                },
                "direct" => direct = Some(value),
                "schema" if is_schema(&value) => schema = Some(value),
                "schema" => return Err(wrong("schema", SCHEMA_EXPECTED)),
                "sslmode" => mode = Some(value),
                "sslrootcert" => root = Some(value),
                _ => passed.push(pair),
            }
        }
        let mode = Mode::parse(mode.as_deref())?;
        let separator = if passed.is_empty() { "" } else { "?" };
        let url = format!("{base}{separator}{}", passed.join("&"));
        // The parser's own words may quote what it could not read, a password for one.
        let mut config: Config = url.parse().map_err(|_| {
            unavailable("the URL cannot be read; expected postgres://user:password@host:port/database".into())
        })?;
        if let Some(schema) = schema {
            let others = config.get_options().map_or(String::new(), |options| format!("{options} "));
            config.options(format!("{others}-c search_path={schema}"));
        }
        config.ssl_mode(mode.of_driver());
        if config.get_application_name().is_none() {
            config.application_name("undergird");
        }
        // A host that is silent is noticed within seconds, not within the hours that are the system's default.
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_millis(1_500));
        }
        // Less than the two seconds in which a request must fail: some of them try once more on a fresh connection.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(1));
        }
        // An answer that was lost on the way leaves nothing to send, so this alone notices: after as long again.
        config.keepalives_idle(Duration::from_secs(1));
        config.keepalives_interval(Duration::from_secs(1));
        config.keepalives_retries(2);
        let tls = MakeRustlsConnect::new(tls(mode, root.as_deref())?);
        let direct = direct.map(|place| elsewhere(&config, &place)).transpose()?;
        Ok(Target { config, tls, direct, wait: options.wait })
    }

    /// Where it is, for messages: without a password.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for (position, host) in self.config.get_hosts().iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            match host {
                Host::Tcp(name) => text.push_str(name),
                #[cfg(unix)]
                Host::Unix(path) => text.push_str(&path.display().to_string()),
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(position).or(ports.first()) {
                text.push_str(&format!(":{port}"));
            }
        }
        if let Some(name) = self.config.get_dbname() {
            text.push('/');
            text.push_str(name);
        }
        text
    }

    /// Whether there is a way past a pooler.
    pub(crate) fn has_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// The server's host and port, unless there are several to choose from.
    pub(crate) fn only_host(&self) -> Option<(&Host, u16)> {
        let [host] = self.config.get_hosts() else { return None };
        let port = self.config.get_ports().first().copied().unwrap_or(5_432);
        self.config.get_hostaddrs().is_empty().then_some((host, port))
    }

    /// How cancel requests are encrypted.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// A connection, through the pooler if there is one.
    pub(crate) async fn connect(&self) -> Result<(Client, Wire), StoreError> {
        self.connect_to(&self.config).await
    }

    /// A connection past any pooler, to be polled by whoever asked.
    pub(crate) async fn connect_direct(&self) -> Result<(Client, Wire), StoreError> {
        self.connect_to(self.direct.as_ref().unwrap_or(&self.config)).await
    }

    /// A connection past any pooler, with a task of its own.
    pub(crate) async fn dedicated(&self) -> Result<Dedicated, StoreError> {
        let (client, wire) = self.connect_direct().await?;
        let task = tokio::spawn(async move {
            // Whoever waits for an answer hears of it when the line breaks.
            let _ = wire.await;
        });
        Ok(Dedicated { client, task })
    }

    async fn connect_to(&self, config: &Config) -> Result<(Client, Wire), StoreError> {
        match tokio::time::timeout(self.wait, config.connect(self.tls())).await {
            Ok(Ok(pair)) => Ok(pair),
            Ok(Err(error)) => {
                let overloaded = error.code().is_some_and(|code| code.code() == "53300");
                if overloaded {
                    // All of the server's connections are taken, by others too.
                    return Err(StoreError::Overloaded);
                }
                Err(unavailable(format!("no connection to {}: {}", self.shown(), explain(&error))))
            }
            Err(_) => Err(unavailable(format!("no connection to {} within {:?}", self.shown(), self.wait))),
        }
    }
}

/// A connection of its own, outside the pool and past any pooler, without limits of time: for migrations and introspection.
pub(crate) struct Dedicated {
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

impl Deref for Dedicated {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Dedicated {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn unavailable(why: String) -> StoreError {
    StoreError::Unavailable(why)
}

/// What a schema's name must be, for it stands in the session's options as it is.
const SCHEMA_EXPECTED: &str = "at most 63 small letters, digits and underscores, none of the database's own";

fn is_schema(name: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    let begins = name.bytes().next().is_some_and(|octet| !octet.is_ascii_digit());
    begins && name.len() <= NAME_OCTETS_MAX && name.bytes().all(plain) && !name.starts_with("pg_") && name != HELPERS
}

fn wrong(option: &str, expected: &str) -> StoreError {
    unavailable(format!("the option {option} in the database's URL must be {expected}"))
}

/// The same database at another `host:port`.
fn elsewhere(config: &Config, place: &str) -> Result<Config, StoreError> {
    let (host, port) = place.rsplit_once(':').ok_or_else(|| wrong("direct", "host:port"))?;
    let port: u16 = port.parse().map_err(|_| wrong("direct", "host:port"))?;
    let mut other = Config::new();
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    if let Some(name) = config.get_dbname() {
        other.dbname(name);
    }
    other.host(host.trim_start_matches('[').trim_end_matches(']')).port(port);
    other.ssl_mode(config.get_ssl_mode()).application_name("undergird");
    if let Some(time) = config.get_connect_timeout() {
        other.connect_timeout(*time);
    }
    if let Some(time) = config.get_tcp_user_timeout() {
        other.tcp_user_timeout(*time);
    }
    other.keepalives_idle(Duration::from_secs(1));
    other.keepalives_interval(Duration::from_secs(1));
    other.keepalives_retries(2);
    Ok(other)
}

/// How much of TLS is asked for; the words are libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    /// When the server can; whoever it is.
    Prefer,
    /// Always; whoever it is, unless a root certificate is named.
    Require,
    /// Always, and only with the server of that name.
    VerifyFull,
}

impl Mode {
    fn parse(word: Option<&str>) -> Result<Mode, StoreError> {
        match word {
            None | Some("prefer" | "allow") => Ok(Mode::Prefer),
            Some("disable") => Ok(Mode::Disable),
            Some("require") => Ok(Mode::Require),
            // The name is checked too: a certificate of the same authority for another host proves nothing about this one.
            Some("verify-full" | "verify-ca") => Ok(Mode::VerifyFull),
            Some(_) => Err(wrong("sslmode", "disable, prefer, require or verify-full")),
        }
    }

    fn of_driver(self) -> tokio_postgres::config::SslMode {
        use tokio_postgres::config::SslMode;
        match self {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyFull => SslMode::Require,
        }
    }
}

/// Where systems keep the certificates that they trust.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn tls(mode: Mode, root: Option<&str>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unavailable(format!("TLS: {error}")))?;
    let verified = mode == Mode::VerifyFull || (mode == Mode::Require && root.is_some());
    if !verified {
        let anyone = Arc::new(Anyone(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth());
    }
    let roots = match root {
        None | Some("system") => {
            let path = SYSTEM_ROOTS.iter().find(|path| Path::new(path).exists());
            let path =
                path.ok_or_else(|| unavailable("no system certificates were found; name some by sslrootcert".into()))?;
            roots(path)?
        }
        Some(path) => roots(path)?,
    };
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots(path: &str) -> Result<RootCertStore, StoreError> {
    let unread = |error: &dyn fmt::Display| unavailable(format!("the certificates in {path}: {error}"));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))?;
    for certificate in certificates {
        // A system's list may have one of a kind that we do not know; the others are still good.
        let _ = roots.add(certificate.map_err(|error| unread(&error))?);
    }
    if roots.is_empty() { Err(unread(&"there are none")) } else { Ok(roots) }
}

/// Takes every server for the one that was meant, as libpq does for `prefer` and `require`: against listeners, not against impostors.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(url: &str) -> String {
        let mut options = Options { connections: 16, ..Options::default() };
        match Target::parse(url, &mut options) {
            Ok(target) => {
                format!("{target:?} pool={} transaction={}", options.connections, options.transaction_pooler)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("postgres://u:hush@h:1/d", "h:1/d pool=16 transaction=false"),
            ("postgresql://u@h/d?pool=3&pooler=transaction", "h:5432/d pool=3 transaction=true"),
            ("postgres://u:hush@a:1,b:2/d?sslmode=disable", "a:1,b:2/d pool=16 transaction=false"),
            (
                "postgres://u:hush@h/d?pool=0",
                "unavailable: the option pool in the database's URL must be a number from 1 to 1000",
            ),
            ("postgres://u:hush@h/d?schema=app_2&pool=4", "h:5432/d pool=4 transaction=false"),
            (
                "postgres://u:hush@h/d?schema=a%20b",
                "unavailable: the option schema in the database's URL must be at most 63 small letters, digits and underscores, none of \
                 the database's own",
            ),
            (
                "postgres://u:hush@h/d?schema=undergird",
                "unavailable: the option schema in the database's URL must be at most 63 small letters, digits and underscores, none of \
                 the database's own",
            ),
            (
                "postgres://u:hush@h/d?pooler=odd",
                "unavailable: the option pooler in the database's URL must be transaction, session or none",
            ),
            (
                "postgres://u:hush@h/d?sslmode=odd",
                "unavailable: the option sslmode in the database's URL must be disable, prefer, require or verify-full",
            ),
            (
                "postgres://u:hush@h:port/d",
                "unavailable: the URL cannot be read; expected postgres://user:password@host:port/database",
            ),
            (
                "postgres://u:hush@h/d?direct=nowhere",
                "unavailable: the option direct in the database's URL must be host:port",
            ),
        ] {
            let told = check(url);
            assert_eq!(told, expected, "{url}");
            assert!(!told.contains("hush"));
        }
        let missing = check("postgres://u@h/d?sslmode=verify-full&sslrootcert=/no/such.pem");
        assert!(missing.starts_with("unavailable: the certificates in /no/such.pem"), "{missing}");
    }
}
