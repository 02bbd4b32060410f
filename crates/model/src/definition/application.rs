//! `undergird.toml` → [`Settings`]. The shapes are checked before; what is left are formats and names of collections.

use super::captcha;
use super::hooks;
use super::keys;
use super::passkeys;
use super::providers;
use super::report::{Place, Report, codes};
use super::shape;
use super::tree::{Data, Node, Table};
use super::ui;
use crate::networks::Network;
use crate::redirects;
use crate::settings::{Auth, Concealed, Durability, Mail, MailTls, MetricsAccess, Settings, StoreSettings};
use std::net::IpAddr;
use std::time::Duration;

/// The settings, and where the profile collection is named.
pub(super) fn read(mut table: Table, report: &mut Report) -> (Settings, Option<Place>) {
    shape::verify(&mut table, keys::APPLICATION, "undergird.toml", report);
    let mut settings = Settings::default();
    if let Some((name, place)) = table.text("name") {
        if name.trim().is_empty() {
            report.error(place, codes::BAD_VALUE, "\"name\" is empty");
        }
        settings.name = name.to_owned();
    }
    if let Some(server) = table.table("server") {
        read_server(server, &mut settings, report);
    }
    if let Some(store) = table.table("stores").and_then(|stores| stores.table("main")) {
        read_store(store, &mut settings.store, report);
    }
    let mut profile = None;
    if let Some(auth) = table.table("auth") {
        if let Some((name, place)) = auth.text("profile") {
            settings.auth.profile = Some(name.to_owned());
            profile = Some(place);
        }
        settings.auth.sign_up = auth.bool("sign_up").unwrap_or(settings.auth.sign_up);
        settings.auth.confirm_email = auth.bool("confirm_email").unwrap_or(settings.auth.confirm_email);
        set(auth, "password_min", &mut settings.auth.password_min);
        set(auth, "access_token_seconds", &mut settings.auth.access_token_seconds);
        set(auth, "session_days", &mut settings.auth.session_days);
        set(auth, "session_idle_days", &mut settings.auth.session_idle_days);
        flag(auth, "double_confirm_changes", &mut settings.auth.double_confirm_changes);
        settings.auth.anonymous = auth.bool("anonymous").unwrap_or(settings.auth.anonymous);
        set(auth, "anonymous_days", &mut settings.auth.anonymous_days);
        set(auth, "unconfirmed_days", &mut settings.auth.unconfirmed_days);
        set(auth, "audit_days", &mut settings.auth.audit_days);
        flag(auth, "tell_unconfirmed", &mut settings.auth.tell_unconfirmed);
        flag(auth, "link_page", &mut settings.auth.link_page);
        flag(auth, "link_needs_pkce", &mut settings.auth.link_needs_pkce);
        set(auth, "mail_token_seconds", &mut settings.auth.mail_token_seconds);
        if let Some(table) = auth.table("hooks") {
            settings.auth.hooks = hooks::read(table, report);
        }
        settings.auth.captcha = auth.table("captcha").and_then(|table| captcha::read(table, report));
        if let Some(table) = auth.table("passkeys") {
            settings.auth.passkeys = passkeys::read(table, report);
        }
        settings.auth.providers = auth.table("providers").map(|all| providers::read(all, report)).unwrap_or_default();
        read_redirects(auth, &mut settings.auth, report);
        if let Some(table) = auth.table("ui") {
            ui::read(table, &mut settings, report);
            captcha::check_pages(table, &settings, report);
        }
    }
    if let Some(mail) = table.table("mail") {
        read_mail(mail, &mut settings.mail, report);
    }
    if let Some(limits) = table.table("limits") {
        read_limits(limits, &mut settings);
    }
    (settings, profile)
}

fn read_store(store: &Table, settings: &mut StoreSettings, report: &mut Report) {
    if let Some((url, place)) = store.text("url") {
        if url.trim().is_empty() {
            report.error(place, codes::BAD_VALUE, "\"url\" is empty").hint("the default is \"sqlite:data/main.db\"");
        }
        settings.url = url.to_owned();
    }
    for node in store.items("replicas") {
        match node.text() {
            Some(url) if !url.trim().is_empty() => settings.replicas.push(url.to_owned()),
            _ => {
                report
                    .error(node.place, codes::BAD_VALUE, "a URL in \"replicas\" is empty")
                    .hint("write it like \"postgres://user:password@standby:5432/database\"");
            }
        }
    }
    if let Some(seconds) = store.int("replica_lag_seconds") {
        settings.replica_lag = Duration::from_secs(seconds.unsigned_abs());
    }
    if let Some((durability, place)) = store.text("durability")
        && durability == "relaxed"
    {
        settings.durability = Durability::Relaxed;
        if !settings.url.starts_with("sqlite:") {
            report
                .error(place, codes::BAD_VALUE, "\"durability\" is for SQLite alone, and \"url\" names another store")
                .hint(
                    "remove it, and tell the server: ALTER DATABASE … SET synchronous_commit = off (PostgreSQL), \
                     innodb_flush_log_at_trx_commit = 2 (MySQL, MariaDB)",
                );
        }
    }
    settings.row_security = store.bool("row_security").unwrap_or(settings.row_security);
    settings.reader_url = store.text("reader_url").map(|(url, _)| url.to_owned());
    read_wall(store, settings, report);
}

/// That what `row_security` needs is there, and nothing that it cannot be with.
fn read_wall(store: &Table, settings: &StoreSettings, report: &mut Report) {
    if !settings.row_security {
        if let Some((_, place)) = store.text("reader_url") {
            report
                .error(place, codes::BAD_VALUE, "\"reader_url\" without row_security does nothing")
                .hint("write row_security = true beside it, or remove it");
        }
        return;
    }
    let Some(place) = store.get("row_security").map(|node| node.place) else { return };
    if !settings.url.starts_with("postgres:") && !settings.url.starts_with("postgresql:") {
        report
            .error(place, codes::BAD_VALUE, "\"row_security\" is for PostgreSQL alone, and \"url\" names another store")
            .hint("remove it, or keep the data in PostgreSQL");
    }
    if settings.reader_url.as_ref().is_none_or(|url| url.trim().is_empty()) {
        report
            .error(place, codes::BAD_VALUE, "\"row_security\" needs a second login, \"reader_url\"")
            .hint("write reader_url = \"postgres://reader:password@host:5432/database\"");
    }
    if !settings.replicas.is_empty() {
        report
            .error(place, codes::BAD_VALUE, "\"row_security\" and \"replicas\" cannot be had together")
            .hint("reads of replicas are not behind policies: remove one of the two");
    }
}

fn read_server(server: &Table, settings: &mut Settings, report: &mut Report) {
    if let Some((listen, place)) = server.text("listen") {
        let port = listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            report
                .error(place, codes::BAD_VALUE, "\"listen\" is not an address and a port")
                .hint("write it like \"127.0.0.1:8090\" or \"[::]:8090\"");
        }
        settings.server.listen = listen.to_owned();
    }
    if let Some((url, place)) = server.text("public_url") {
        let http = url.starts_with("http://") || url.starts_with("https://");
        if !http || crate::field_type::FieldType::Url.validate(&crate::Value::text(url)).is_err() {
            report
                .error(place, codes::BAD_VALUE, "\"public_url\" is not an absolute http or https URL")
                .hint("write it like \"https://blog.example.org\"");
        }
        settings.server.public_url = Some(url.trim_end_matches('/').to_owned());
    }
    if server.get("cors_origins").is_some() {
        settings.server.cors_origins =
            server.items("cors_origins").iter().filter_map(|node| origin(node, report)).collect();
    }
    for node in server.items("trusted_proxies") {
        let Some(text) = node.text() else { continue };
        match Network::parse(text) {
            Some(network) => settings.server.trusted_proxies.push(network),
            None => {
                report
                    .error(node.place, codes::BAD_VALUE, format!("\"{text}\" is neither an address nor a network"))
                    .hint("write it like \"10.0.0.0/8\" or \"192.0.2.7\"");
            }
        }
    }
    if let Some((access, _)) = server.text("metrics") {
        settings.server.metrics = if access == "public" { MetricsAccess::Public } else { MetricsAccess::SecretKey };
    }
    settings.server.docs = server.bool("docs").unwrap_or(settings.server.docs);
}

fn read_redirects(auth: &Table, settings: &mut Auth, report: &mut Report) {
    if let Some((url, place)) = auth.text("site_url") {
        if !redirects::is_target(url) {
            report
                .error(place, codes::BAD_VALUE, "\"site_url\" is not an absolute URL")
                .hint("write it like \"https://blog.example.org\"");
        }
        settings.site_url = Some(url.to_owned());
    }
    for node in auth.items("redirect_urls") {
        let Some(pattern) = node.text() else { continue };
        if let Err(why) = redirects::check_pattern(pattern) {
            report
                .error(node.place, codes::BAD_VALUE, format!("\"{pattern}\" {why}"))
                .hint("write it like \"https://app.example.org/welcome\", \"https://*.example.org/**\" or \"com.example.app://callback\"");
        }
        settings.redirect_urls.push(pattern.to_owned());
    }
}

fn read_mail(mail: &Table, settings: &mut Mail, report: &mut Report) {
    if let Some((from, place)) = mail.text("from") {
        if !is_mailbox(from) {
            report
                .error(place, codes::BAD_VALUE, "\"from\" is not an address, with a name or without")
                .hint("write it like \"Blog <no-reply@blog.example.org>\"");
        }
        settings.from = Some(from.to_owned());
    }
    if let Some((tls, _)) = mail.text("tls") {
        settings.tls = match tls {
            "implicit" => MailTls::Implicit,
            "none" => MailTls::None,
            _ => MailTls::StartTls,
        };
    }
    settings.port = mail.int("port").and_then(|port| u16::try_from(port).ok());
    settings.username = mail.text("username").map(|(name, _)| name.to_owned());
    settings.password = mail.text("password").map(|(password, _)| Concealed::new(password));
    settings.ca = mail.text("ca").map(|(file, _)| file.to_owned());
    set(mail, "per_hour", &mut settings.per_hour);
    flag(mail, "notices", &mut settings.notices);
    let Some((host, place)) = mail.text("host") else { return };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        report.error(place, codes::BAD_VALUE, "\"host\" is not the name or address of a server");
    }
    if settings.from.is_none() {
        report
            .error(place, codes::BAD_VALUE, "mail needs a sender: \"from\" is missing")
            .hint("write it like \"Blog <no-reply@blog.example.org>\"");
    }
    let is_here = host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if settings.tls == MailTls::None && settings.password.is_some() && !is_here {
        report
            .error(place, codes::BAD_VALUE, "the password would travel in the clear")
            .hint("take tls = \"starttls\" or \"implicit\"");
    }
    settings.host = Some(host.to_owned());
}

/// `address`, or `name <address>`.
fn is_mailbox(text: &str) -> bool {
    let address = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((_, address)) => address,
        None => text,
    };
    let is_address = crate::field_type::FieldType::Email.validate(&crate::Value::text(address)).is_ok();
    is_address && !text.contains(char::is_control) && text.matches(['<', '>', '"', ',']).count() <= 2
}

/// `*`, or scheme, host and port without a path: what browsers send as `Origin`.
fn origin(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.text()?;
    let host = text.split_once("://").map(|(_, host)| host);
    let fine = text == "*"
        || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*']))
            && !text.contains(char::is_whitespace);
    if !fine {
        report
            .error(node.place, codes::BAD_VALUE, format!("\"{text}\" is not an origin"))
            .hint("write it like \"https://app.example.org\", without a path, or \"*\"");
    }
    Some(text.to_owned())
}

fn read_limits(limits: &Table, settings: &mut Settings) {
    let target = &mut settings.limits;
    if let Some(bytes) = limits.int("body_bytes") {
        target.body_bytes = bytes.unsigned_abs();
    }
    set(limits, "url_bytes", &mut target.url_bytes);
    set(limits, "rows", &mut target.rows);
    set(limits, "insert_rows", &mut target.insert_rows);
    set(limits, "embed_depth", &mut target.embed_depth);
    set(limits, "embeds", &mut target.embeds);
    set(limits, "filters", &mut target.filters);
    set(limits, "list_items", &mut target.list_items);
    set(limits, "batch_steps", &mut target.batch_steps);
    set(limits, "json_depth", &mut target.json_depth);
    set(limits, "connections", &mut target.connections);
    set(limits, "connections_per_address", &mut target.connections_per_address);
    set(limits, "writes_waiting", &mut target.writes_waiting);
    if let Some(bytes) = limits.int("cache_bytes") {
        target.cache_bytes = bytes.unsigned_abs();
    }
    for (name, target) in [("statement_seconds", &mut target.statement), ("request_seconds", &mut target.request)] {
        if let Some(seconds) = limits.int(name) {
            *target = Duration::from_secs(seconds.unsigned_abs());
        }
    }
}

/// A whole number whose range the inventory has bounded below 2^32.
fn flag(table: &Table, key: &str, target: &mut bool) {
    *target = table.bool(key).unwrap_or(*target);
}

fn set(table: &Table, key: &str, target: &mut u32) {
    if let Some(number) = table.int(key).and_then(|number| u32::try_from(number).ok()) {
        *target = number;
    }
}

/// A setting given as text from outside (environment, flag), typed by its key. `None`: it was reported.
pub(super) fn override_node(path: &[String], text: &str, place: Place, report: &mut Report) -> Option<Node> {
    let Some(key) = keys::setting_at(path) else {
        let all = keys::settings();
        let paths: Vec<String> = all.iter().map(|(path, _)| path.join(".")).collect();
        let wanted = path.join(".");
        report
            .error(place, codes::UNKNOWN_KEY, format!("there is no setting \"{wanted}\""))
            .suggest(&wanted, paths.iter().map(String::as_str));
        return None;
    };
    let data = match key.shape {
        keys::Shape::Bool => match text {
            "true" | "1" => Some(Data::Bool(true)),
            "false" | "0" => Some(Data::Bool(false)),
            _ => None,
        },
        keys::Shape::Int(..) | keys::Shape::Number => text.trim().parse().ok().map(Data::Int),
        keys::Shape::Texts | keys::Shape::Names => {
            let item = |text: &str| Node { place, data: Data::Text(text.trim().to_owned()) };
            Some(Data::Array(text.split(',').filter(|item| !item.trim().is_empty()).map(item).collect()))
        }
        keys::Shape::Text
        | keys::Shape::Rule
        | keys::Shape::Choice(_)
        | keys::Shape::Literal
        | keys::Shape::Schema
        | keys::Shape::Table(_)
        | keys::Shape::Map(_)
        | keys::Shape::Tables(_) => Some(Data::Text(text.to_owned())),
    };
    if data.is_none() {
        let expected = if matches!(key.shape, keys::Shape::Bool) { "true or false" } else { "a whole number" };
        report.error(place, codes::WRONG_TYPE, format!("\"{}\" must be {expected}", path.join(".")));
    }
    data.map(|data| Node { place, data })
}
