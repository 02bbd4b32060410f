//! For which domain passkeys are, and which pages may ask for them. All of it is said by the settings, and nothing by a request.

use undergird_model::settings::Settings;

/// Web Authentication's relying party: this application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelyingParty {
    /// The domain.
    pub(crate) id: String,
    /// What the application is called.
    pub(crate) name: String,
    /// As browsers write them.
    pub(crate) origins: Vec<String>,
}

/// A page's origin, in parts.
struct Page {
    is_secure: bool,
    host: String,
    port: Option<u16>,
}

impl Page {
    fn of(url: &str) -> Option<Page> {
        let (scheme, rest) = url.split_once("://")?;
        let is_secure = scheme.eq_ignore_ascii_case("https");
        if !is_secure && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit('@').next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(six) => {
                let (host, rest) = six.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = port.filter(|port| !port.is_empty()).map(str::parse::<u16>).transpose().ok()?;
        let usual = if is_secure { 443 } else { 80 };
        Some(Page { is_secure, host: host.to_ascii_lowercase(), port: port.filter(|port| *port != usual) })
    }

    /// The domain; of this machine's own addresses, by which no browser has passkeys, the name. None of other addresses.
    fn domain(&self) -> Option<&str> {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback().then_some("localhost"),
            Err(_) => Some(self.host.as_str()).filter(|host| !host.is_empty()),
        }
    }

    fn origin(&self) -> Option<String> {
        let scheme = if self.is_secure { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{scheme}://{}{port}", self.domain()?))
    }
}

/// The relying party of an application; none when it takes no passkeys, or has no domain that they could be for.
pub(crate) fn of(settings: &Settings, public_url: &str) -> Option<RelyingParty> {
    let told = &settings.auth.passkeys;
    if !told.enabled {
        return None;
    }
    let pages: Vec<Page> =
        [settings.auth.site_url.as_deref(), Some(public_url)].into_iter().flatten().filter_map(Page::of).collect();
    let id = match &told.rp_id {
        Some(id) => id.clone(),
        None => pages.first()?.domain()?.to_owned(),
    };
    let is_within = |page: &&Page| {
        page.domain()
            .is_some_and(|host| host == id || host.strip_suffix(id.as_str()).is_some_and(|rest| rest.ends_with('.')))
    };
    let mut origins = told.rp_origins.clone();
    if origins.is_empty() {
        origins = pages.iter().filter(is_within).filter_map(Page::origin).collect();
        origins.dedup();
    }
    Some(RelyingParty { id, name: settings.name.clone(), origins })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(public_url: &str, site_url: Option<&str>, rp_id: Option<&str>, expected: Option<(&str, &[&str])>) {
        let mut settings = Settings::default();
        settings.auth.site_url = site_url.map(str::to_owned);
        settings.auth.passkeys.rp_id = rp_id.map(str::to_owned);
        let found = of(&settings, public_url).map(|party| (party.id, party.origins));
        let expected =
            expected.map(|(id, origins)| (id.to_owned(), origins.iter().map(|one| (*one).to_owned()).collect()));
        assert_eq!(found, expected, "{public_url} {site_url:?} {rp_id:?}");
    }

    #[test]
    fn the_domain_is_that_of_the_site() {
        check("http://127.0.0.1:8090", None, None, Some(("localhost", &["http://localhost:8090"])));
        check("http://[::1]:8090", None, None, Some(("localhost", &["http://localhost:8090"])));
        check("http://localhost:8090", None, None, Some(("localhost", &["http://localhost:8090"])));
        check("https://Example.org/", None, None, Some(("example.org", &["https://example.org"])));
        check("https://example.org:443", None, None, Some(("example.org", &["https://example.org"])));
        check("https://example.org:8443/base", None, None, Some(("example.org", &["https://example.org:8443"])));
        check(
            "https://api.example.org",
            Some("https://example.org/app?x#y"),
            None,
            Some(("example.org", &["https://example.org", "https://api.example.org"])),
        );
        // Not within the site's domain: what the API's own pages would ask for, no browser gives them.
        check(
            "https://api.example.org",
            Some("https://app.example.org"),
            None,
            Some(("app.example.org", &["https://app.example.org"])),
        );
        check(
            "https://api.example.org",
            Some("https://app.example.org"),
            Some("example.org"),
            Some(("example.org", &["https://app.example.org", "https://api.example.org"])),
        );
        check("https://evilexample.org", None, Some("example.org"), Some(("example.org", &[])));
        for address in
            ["http://192.0.2.7:8090", "https://[2001:db8::1]", "http://0.0.0.0:8090", "ftp://example.org", ""]
        {
            check(address, None, None, None);
        }
    }

    #[test]
    fn what_is_said_is_taken() {
        let mut settings = Settings::default();
        settings.auth.passkeys.rp_id = Some("example.org".into());
        settings.auth.passkeys.rp_origins = vec!["https://app.example.org".into()];
        let party = of(&settings, "https://example.org").map(|party| party.origins);
        assert_eq!(party, Some(vec!["https://app.example.org".to_owned()]));
        settings.auth.passkeys.enabled = false;
        assert_eq!(of(&settings, "https://example.org"), None);
    }
}
