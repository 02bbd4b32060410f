//! Opens the accounts of an engine: the one place that chooses how callers are known, and how mails leave.

use crate::fetch::HttpFetch;
use std::path::Path;
use std::sync::Arc;
use undergird_auth::{Auth, Fetcher, Keys, Options, Smtp, SmtpTls, Templates, Transport};
use undergird_engine::Engine;
use undergird_engine::accounts::Secret;
use undergird_model::settings::{Mail, MailTls};

/// Most files in `mail/`.
const FILES_MAX: usize = 200;
/// Greatest of them; what is in it has a limit of its own.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The accounts of an engine whose store has the schema already. `shows_mails`: where no mail server is set up, mails are kept to be
/// looked at.
pub(crate) async fn open(
    engine: &Arc<Engine>,
    keys: &Keys,
    directory: &Path,
    shows_mails: bool,
) -> Result<Auth, String> {
    let settings = engine.app().model().settings.clone();
    // Tokens name their issuer. It comes from the settings and never from a request's `Host`.
    let url = settings.server.public_url.unwrap_or_else(|| format!("http://{}", settings.server.listen));
    let mut options = Options::new(url.trim_end_matches('/'));
    options.templates = templates(directory)?;
    options.fetch = Fetcher::new(HttpFetch::new()?);
    options.transport = match transport(&settings.mail, directory)? {
        Transport::None if shows_mails => Transport::Inbox,
        transport => transport,
    };
    if settings.auth.confirm_email && matches!(options.transport, Transport::None) {
        tracing::warn!("[auth] confirm_email is set and no mail server is: nobody who signs up can sign in");
    }
    let opened = Auth::open(engine.clone(), keys, &options).await;
    opened.map_err(|failure| format!("cannot open the accounts: {failure:?}"))
}

/// # Errors
/// The file of authorities cannot be read.
fn transport(mail: &Mail, directory: &Path) -> Result<Transport, String> {
    let (Some(host), Some(from)) = (&mail.host, &mail.from) else { return Ok(Transport::None) };
    let authorities = mail.ca.as_ref().map(|file| {
        let path = directory.join(file);
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read [mail] ca, {}: {error}", path.display()))
    });
    let (tls, port) = match mail.tls {
        MailTls::StartTls => (SmtpTls::StartTls, 587),
        MailTls::Implicit => (SmtpTls::Implicit, 465),
        MailTls::None => (SmtpTls::None, 25),
    };
    let credentials = mail
        .password
        .as_ref()
        .map(|password| (mail.username.clone().unwrap_or_default(), Secret::new(password.expose())));
    Ok(Transport::Smtp(Smtp {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: mail.port.unwrap_or(port),
        credentials,
        tls,
        authorities: authorities.transpose()?,
        from: from.clone(),
    }))
}

/// The application's own words, if it has a folder of them.
///
/// # Errors
/// A file cannot be read, or all mistakes in them.
pub(crate) fn templates(directory: &Path) -> Result<Templates, String> {
    let folder = directory.join("mail");
    if !folder.is_dir() {
        return Ok(Templates::default());
    }
    let shown = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') || name.ends_with('~') || path.is_dir() {
            continue;
        }
        if files.len() >= FILES_MAX {
            return Err(format!("{} has more than {FILES_MAX} files", folder.display()));
        }
        if path.metadata().map_err(shown)?.len() > FILE_BYTES_MAX {
            return Err(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()));
        }
        files.push((name, std::fs::read_to_string(&path).map_err(shown)?));
    }
    files.sort();
    Templates::with(&files).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
