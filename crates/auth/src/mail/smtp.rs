//! The last step: a mail in words becomes a message (RFC 5322) and is given to a server (RFC 5321), by `lettre`.
//!
//! Nothing from outside reaches a header as it is: addresses are parsed, the subject is one line and encoded, the rest is ours.

use super::Transport;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;
use undergird_engine::accounts::{InboxMail, Secret};
use uuid::Uuid;

/// One command and its answer.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);
/// A whole mail; the claim on it holds longer.
const MAIL_TIME_MAX: Duration = Duration::from_secs(90);

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// With what to sign in there.
    pub credentials: Option<(String, Secret)>,
    /// How the way there is encrypted.
    pub tls: SmtpTls,
    /// The authorities (PEM) that its certificate must be of, in place of the public ones.
    pub authorities: Option<String>,
    /// Who sends: an address, with a name or without.
    pub from: String,
}

/// How the way to a server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begun in the clear, and gone on with encrypted or not at all.
    StartTls,
    /// Encrypted from the first octet.
    Implicit,
    /// In the clear.
    None,
}

/// A mail in words.
pub(super) struct Mail {
    pub(super) id: Uuid,
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

impl Mail {
    /// As `dev` shows it.
    pub(super) fn shown(&self, at: i64) -> InboxMail {
        InboxMail {
            id: self.id.to_string(),
            at,
            to: self.to.clone(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            html: self.html.clone(),
        }
    }

    /// As it travels.
    pub(super) fn message(&self, from: &Mailbox) -> Result<Message, Undelivered> {
        let never = |message: String| Undelivered { is_final: true, message };
        let to: Address = self.to.parse().map_err(|error| never(format!("the address: {error}")))?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(one_line(&self.subject))
            .date_now()
            // The same at each try, so that a receiver that got it twice can tell.
            .message_id(Some(format!("<{}@{}>", self.id, from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".into()))
            .multipart(MultiPart::alternative_plain_html(self.text.clone(), self.html.clone()))
            .map_err(|error| never(error.to_string()))
    }
}

/// Without line ends and other control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Why a mail did not leave.
#[derive(Debug)]
pub(super) struct Undelivered {
    /// Whether another try is in vain.
    pub(super) is_final: bool,
    /// For the log.
    pub(super) message: String,
}

/// How a server shows that it is the one: by a certificate for its name, of an authority that is trusted.
fn parameters(smtp: &Smtp) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(pem) = &smtp.authorities {
        let bad = |error: String| format!("the authorities of the mail server: {error}");
        builder = builder.certificate_store(CertificateStore::None);
        let mut some = false;
        for one in certificates(pem) {
            let certificate = Certificate::from_pem(one.as_bytes()).map_err(|error| bad(error.to_string()))?;
            builder = builder.add_root_certificate(certificate);
            some = true;
        }
        if !some {
            return Err(bad("there is no certificate (PEM) in the file".into()));
        }
    }
    builder.build().map_err(|error| format!("the mail server: {error}"))
}

/// The certificates of a PEM file, each with its lines around it.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END)
        .filter_map(|part| part.find("-----BEGIN CERTIFICATE-----").map(|at| &part[at..]))
        .filter(|part| part.ends_with(END))
}

/// Who carries mails away.
pub(super) enum Carrier {
    None,
    Inbox,
    Smtp(Box<(AsyncSmtpTransport<Tokio1Executor>, Mailbox)>),
}

impl Carrier {
    pub(super) fn new(transport: &Transport, public_url: &str) -> Result<Carrier, String> {
        let smtp = match transport {
            Transport::None => return Ok(Carrier::None),
            Transport::Inbox => return Ok(Carrier::Inbox),
            Transport::Smtp(smtp) => smtp,
        };
        let from: Mailbox = smtp.from.parse().map_err(|error| format!("the sender of mails: {error}"))?;
        let tls = match smtp.tls {
            SmtpTls::StartTls => Tls::Required(parameters(smtp)?),
            SmtpTls::Implicit => Tls::Wrapper(parameters(smtp)?),
            SmtpTls::None => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host).tls(tls);
        let host = public_url.split_once("://").map_or(public_url, |(_, host)| host);
        let host = host.split(['/', ':', '?', '#']).next().filter(|host| !host.is_empty()).unwrap_or("localhost");
        let mut builder =
            builder.port(smtp.port).timeout(Some(COMMAND_TIME_MAX)).hello_name(ClientId::Domain(host.to_owned()));
        if let Some((name, password)) = &smtp.credentials {
            builder = builder.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
        }
        Ok(Carrier::Smtp(Box::new((builder.build(), from))))
    }

    /// Gives the mail to the server.
    pub(super) async fn carry(&self, mail: &Mail) -> Result<(), Undelivered> {
        let (transport, from) = match self {
            Carrier::None | Carrier::Inbox => return Ok(()),
            Carrier::Smtp(smtp) => (&smtp.0, &smtp.1),
        };
        let message = mail.message(from)?;
        match tokio::time::timeout(MAIL_TIME_MAX, transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Undelivered { is_final: error.is_permanent(), message: error.to_string() }),
            Err(_) => Err(Undelivered { is_final: false, message: "the server took too long".into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_is_read_whole_or_refused() {
        let one = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----";
        let two = format!("# ours\n{one}\n\nsubject=/CN=x\n{one}\n");
        assert_eq!(certificates(&two).collect::<Vec<_>>(), [one, one]);
        let smtp = |pem: &str| Smtp {
            host: "mail.example.org".into(),
            port: 587,
            credentials: None,
            tls: SmtpTls::StartTls,
            authorities: Some(pem.into()),
            from: "no-reply@example.org".into(),
        };
        for wrong in ["", "nothing of the kind", "-----BEGIN CERTIFICATE-----\nMA=="] {
            let told = parameters(&smtp(wrong)).err();
            assert!(told.is_some_and(|told| told.contains("no certificate (PEM)")), "{wrong:?}");
        }
        assert!(parameters(&smtp(one)).is_err(), "no certificate is in it");
    }
}
