//! `undergird.toml`, checked and with its defaults filled in. Every key has a default.
//!
//! Absent: reading the environment and flags (the server lays them over the file before it is checked).

use crate::networks::Network;
use std::time::Duration;

/// Everything that `undergird.toml` may say.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `name`: the application's name, shown in the contract.
    pub name: String,
    /// `[server]`.
    pub server: Server,
    /// `[stores.main]`.
    pub store: StoreSettings,
    /// `[auth]`.
    pub auth: Auth,
    /// `[mail]`.
    pub mail: Mail,
    /// `[limits]`.
    pub limits: Limits,
}

impl Settings {
    /// Those that a server takes at its start alone, and that are others in `now`: by their names.
    pub fn changed_for_next_start(&self, now: &Settings) -> Vec<&'static str> {
        let connections = |limits: &Limits| (limits.connections, limits.connections_per_address);
        let fixed = [
            ("[server] listen", self.server.listen != now.server.listen),
            ("[server] public_url", self.server.public_url != now.server.public_url),
            ("[stores.main]", self.store != now.store),
            ("[mail]", self.mail != now.mail),
            ("[limits] connections", connections(&self.limits) != connections(&now.limits)),
        ];
        fixed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `listen`: address and port. Default `127.0.0.1:8090`.
    pub listen: String,
    /// `public_url`: what links and the contract say; default `http://{listen}`.
    pub public_url: Option<String>,
    /// `cors_origins`: exact origins, or `["*"]` (the default), which never goes with credentials.
    pub cors_origins: Vec<String>,
    /// `trusted_proxies`: whose word about who calls (`X-Forwarded-For`) is taken. Nobody's by default.
    pub trusted_proxies: Vec<Network>,
    /// `metrics`: who may read `/metrics`. Default [`MetricsAccess::SecretKey`].
    pub metrics: MetricsAccess,
    /// `docs`: whether `/docs` and `/openapi.json` are served. Default true.
    pub docs: bool,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAccess {
    /// `"secret-key"`: callers with a secret key.
    SecretKey,
    /// `"public"`: everybody who reaches the port.
    Public,
}

/// What is on disk when a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `"full"`: the write.
    Full,
    /// `"relaxed"`: what was written some 0.2 s ago. SQLite only.
    Relaxed,
}

/// `[stores.main]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// `url`: `sqlite:data/main.db` by default, relative to the application's directory.
    pub url: String,
    /// `durability`: what is on disk when a write is answered. Default [`Durability::Full`].
    pub durability: Durability,
    /// `replicas`: where standbys of it are, for reads that may be old. None by default.
    pub replicas: Vec<String>,
    /// `replica_lag_seconds`: how old such a read may be. Default 5 seconds.
    pub replica_lag: Duration,
    /// `row_security`: whether policies of the database stand around what visitors and users read and write. Default false.
    pub row_security: bool,
    /// `reader_url`: the login whose rights these reads and writes have. There when, and only when, `row_security` is.
    pub reader_url: Option<String>,
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// `profile`: the collection whose rows are the users.
    pub profile: Option<String>,
    /// `sign_up`: whether anybody may sign up. Default true.
    pub sign_up: bool,
    /// `confirm_email`: whether an address must be confirmed by mail first. Default false.
    pub confirm_email: bool,
    /// `double_confirm_changes`: whether the old address must confirm a change as well as the new one. Default false.
    pub double_confirm_changes: bool,
    /// `password_min`: least characters of a password. Default 8.
    pub password_min: u32,
    /// `access_token_seconds`: life of a JWT. Default 3600.
    pub access_token_seconds: u32,
    /// `session_days`: absolute life of a session. Default 90.
    pub session_days: u32,
    /// `session_idle_days`: life of a session that nobody refreshes. Default 90.
    pub session_idle_days: u32,
    /// `anonymous`: whether accounts without an address are made. Default false.
    pub anonymous: bool,
    /// `anonymous_days`: after how many days without a refresh such an account is removed; never when 0. Default 0.
    pub anonymous_days: u32,
    /// `unconfirmed_days`: after how many days an account that somebody signed up and nobody confirmed is removed; never when 0. Default 30.
    pub unconfirmed_days: u32,
    /// `audit_days`: for how many days entries of the audit log are kept at least; for ever when 0. Default 0.
    pub audit_days: u32,
    /// `tell_unconfirmed`: whether a right password tells that the address is not confirmed. Default true.
    pub tell_unconfirmed: bool,
    /// `link_page`: whether a followed link shows a page with a button first. Default false.
    pub link_page: bool,
    /// `link_needs_pkce`: whether an identity is linked only where the browser or the client that asked is known again. Default false.
    pub link_needs_pkce: bool,
    /// `site_url`: where links in mails lead in the end; default the server's `public_url`.
    pub site_url: Option<String>,
    /// `redirect_urls`: where else they may lead, as patterns. None by default.
    pub redirect_urls: Vec<String>,
    /// `mail_token_seconds`: life of the links and codes in mails. Default 3600.
    pub mail_token_seconds: u32,
    /// `[auth.hooks]`.
    pub hooks: Hooks,
    /// `[auth.captcha]`: who tells people from programs, if anybody is asked.
    pub captcha: Option<Captcha>,
    /// `[auth.passkeys]`.
    pub passkeys: Passkeys,
    /// `providers`: where else people can sign in, in order of their names. None by default.
    pub providers: Vec<Provider>,
    /// `[auth.ui]`.
    pub ui: Ui,
}

/// `[auth.ui]`: the sign-in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ui {
    /// `enabled`: whether there are any. Default: in `undergird dev` alone.
    pub enabled: Option<bool>,
    /// `title`: what they are called; default the application's `name`.
    pub title: Option<String>,
    /// `logo`: a picture, a file of the application.
    pub logo: Option<String>,
    /// `accent`: the colour of buttons and links, `#rrggbb`.
    pub accent: Option<String>,
    /// `stylesheet`: CSS after ours, a file of the application.
    pub stylesheet: Option<String>,
    /// `return_to`: where who came from nowhere finds the application. One of the URLs that are allowed.
    pub return_to: Option<String>,
}

/// `[auth.captcha]`: a service that says whether a person solved its puzzle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captcha {
    /// `url`: where a solution is verified; by default the provider's. Checked to be https, or http at this machine.
    pub url: String,
    /// `secret`: this application's there.
    pub secret: Concealed,
}

/// `[auth.hooks]`: those that are switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `before_user_created`: asked before an account begins.
    pub before_user_created: Option<Hook>,
    /// `custom_access_token`: asked before an access token is signed.
    pub custom_access_token: Option<Hook>,
}

/// A server that is asked, and must be able to tell who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `url`: checked to be https, or http at this machine.
    pub url: String,
    /// `secrets`: each signs; what stands behind `v1,whsec_`, decoded. At least one.
    pub secrets: Vec<HookSecret>,
}

/// A key of HMAC-SHA256, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret(Vec<u8>);

impl HookSecret {
    /// Wraps.
    pub fn new(octets: Vec<u8>) -> HookSecret {
        HookSecret(octets)
    }

    /// The octets themselves; each use is a place worth reviewing.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// `[auth.passkeys]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkeys {
    /// `enabled`: whether passkeys are registered and sign in. Default true.
    pub enabled: bool,
    /// `rp_id`: the domain that they are for; default the host of `site_url`, or of `public_url`.
    pub rp_id: Option<String>,
    /// `rp_origins`: the pages that may ask for them; by default those of `site_url` and `public_url`.
    pub rp_origins: Vec<String>,
}

/// `[auth.providers.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What clients call it.
    pub name: String,
    /// `enabled`. Default true.
    pub enabled: bool,
    /// `client_id`: this application's name there.
    pub client_id: String,
    /// `client_secret`: its secret there.
    pub client_secret: Option<Concealed>,
    /// `issuer`: who speaks there, checked to be an https URL (or http at this machine).
    pub issuer: Option<String>,
    /// `scopes`: what is asked for beside what signing in needs.
    pub scopes: Vec<String>,
    /// `audiences`: further client ids whose ID tokens are taken.
    pub audiences: Vec<String>,
    /// `trust_email`: whether each address that it tells counts as verified. Default false.
    pub trust_email: bool,
    /// `team_id`, `key_id`, `private_key`: by which a secret is signed, of Apple.
    pub signer: Option<SecretSigner>,
}

/// A key by which secrets are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSigner {
    /// Whose.
    pub team_id: String,
    /// Which.
    pub key_id: String,
    /// PKCS #8 in PEM.
    pub private_key: Concealed,
}

/// The providers that need no `issuer`. How each is spoken to, `auth` knows.
pub const READY_MADE: [&str; 8] =
    ["apple", "azure", "discord", "github", "gitlab", "google", "linkedin_oidc", "slack_oidc"];

/// `[mail]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `from`: the sender, checked to be an address, with a name or without.
    pub from: Option<String>,
    /// `host`: the SMTP server. None: no mail leaves.
    pub host: Option<String>,
    /// `port`: of it; by default what goes with `tls`.
    pub port: Option<u16>,
    /// `username`: to sign in with there.
    pub username: Option<String>,
    /// `password`: to sign in with there.
    pub password: Option<Concealed>,
    /// `tls`: how the way there is encrypted. Default [`MailTls::StartTls`].
    pub tls: MailTls,
    /// `ca`: a file of the authorities that the server's certificate must be of, in place of the public ones.
    pub ca: Option<String>,
    /// `per_hour`: most mails in an hour. Default 1,000.
    pub per_hour: u32,
    /// `notices`: whether users are told what happened to their accounts. Default true.
    pub notices: bool,
}

/// Text of the settings that is not shown, by whatever prints them.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed(String);

impl Concealed {
    /// Wraps.
    pub fn new(text: impl Into<String>) -> Concealed {
        Concealed(text.into())
    }

    /// The text itself; each use is a place worth reviewing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Concealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// How the way to the SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// `"starttls"`: begun in the clear, and gone on with encrypted or not at all.
    StartTls,
    /// `"implicit"`: encrypted from the first octet.
    Implicit,
    /// `"none"`: in the clear.
    None,
}

/// `[limits]`: a limit on everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// `body_bytes`: greatest request body. Default 10 MiB.
    pub body_bytes: u64,
    /// `url_bytes`: longest request target. Default 16 KiB.
    pub url_bytes: u32,
    /// `rows`: most rows in an answer; more are cut, and said so by `Content-Range`. Default 1,000.
    pub rows: u32,
    /// `insert_rows`: most rows in one create. Default 10,000.
    pub insert_rows: u32,
    /// `embed_depth`: deepest nesting of embedded collections. Default 6.
    pub embed_depth: u32,
    /// `embeds`: most embedded collections in one request. Default 20.
    pub embeds: u32,
    /// `filters`: most conditions in one request. Default 200.
    pub filters: u32,
    /// `list_items`: most items in one `in.(…)` list. Default 1,000.
    pub list_items: u32,
    /// `batch_steps`: most steps of a batch. Default 1,000.
    pub batch_steps: u32,
    /// `json_depth`: deepest nesting of a JSON body. Default 64.
    pub json_depth: u32,
    /// `statement_seconds`: longest time of a statement. Default 10.
    pub statement: Duration,
    /// `request_seconds`: longest time of a request. Default 30.
    pub request: Duration,
    /// `connections`: most open connections. Default 10,000.
    pub connections: u32,
    /// `connections_per_address`: most from one address. Default 1,000.
    pub connections_per_address: u32,
    /// `writes_waiting`: most writes in the queue before new ones are shed with 503. Default 4,096.
    pub writes_waiting: u32,
    /// `cache_bytes`: most memory of the answers that are kept for models with `[cache]`. Default 64 MiB.
    pub cache_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            url: "sqlite:data/main.db".into(),
            durability: Durability::Full,
            replicas: Vec::new(),
            replica_lag: Duration::from_secs(5),
            row_security: false,
            reader_url: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: "app".into(),
            server: Server {
                listen: "127.0.0.1:8090".into(),
                public_url: None,
                cors_origins: vec!["*".into()],
                trusted_proxies: Vec::new(),
                metrics: MetricsAccess::SecretKey,
                docs: true,
            },
            store: StoreSettings::default(),
            auth: Auth {
                profile: None,
                sign_up: true,
                confirm_email: false,
                double_confirm_changes: false,
                password_min: 8,
                access_token_seconds: 3600,
                session_days: 90,
                session_idle_days: 90,
                anonymous: false,
                anonymous_days: 0,
                unconfirmed_days: 30,
                audit_days: 0,
                tell_unconfirmed: true,
                link_page: false,
                link_needs_pkce: false,
                site_url: None,
                redirect_urls: Vec::new(),
                mail_token_seconds: 3600,
                hooks: Hooks::default(),
                captcha: None,
                passkeys: Passkeys { enabled: true, rp_id: None, rp_origins: Vec::new() },
                providers: Vec::new(),
                ui: Ui::default(),
            },
            mail: Mail {
                from: None,
                host: None,
                port: None,
                username: None,
                password: None,
                tls: MailTls::StartTls,
                ca: None,
                per_hour: 1_000,
                notices: true,
            },
            limits: Limits {
                body_bytes: 10 << 20,
                url_bytes: 16 << 10,
                rows: 1_000,
                insert_rows: 10_000,
                embed_depth: 6,
                embeds: 20,
                filters: 200,
                list_items: 1_000,
                batch_steps: 1_000,
                json_depth: 64,
                statement: Duration::from_secs(10),
                request: Duration::from_secs(30),
                connections: 10_000,
                connections_per_address: 1_000,
                writes_waiting: 4_096,
                cache_bytes: 64 << 20,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn what_a_running_server_does_not_take_is_named() {
        let was = Settings::default();
        assert!(was.changed_for_next_start(&was).is_empty());
        let mut now = was.clone();
        now.name = "other".into();
        now.limits.rows += 1;
        assert!(was.changed_for_next_start(&now).is_empty(), "these hold at once");
        now.server.listen = "127.0.0.1:1".into();
        now.store.url = "sqlite:other.db".into();
        now.mail.host = Some("mail.example".into());
        assert_eq!(was.changed_for_next_start(&now), ["[server] listen", "[stores.main]", "[mail]"]);
    }
}
