//! Queries and forms (`application/x-www-form-urlencoded`), written.

/// As the value of a member: everything but RFC 3986's unreserved characters is encoded.
pub(crate) fn encode(text: &str) -> String {
    crate::redirect::encode(text)
}

/// Names and values.
pub(crate) fn form(members: &[(&str, &str)]) -> String {
    members.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// A URL with more members in its query.
pub(crate) fn with_query(url: &str, members: &[(&str, &str)]) -> String {
    format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, form(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_member() {
        let told = with_query("https://a.org/x?y=1", &[("state", "a&b=c#d"), ("scope", "openid email")]);
        assert_eq!(told, "https://a.org/x?y=1&state=a%26b%3Dc%23d&scope=openid%20email");
        assert_eq!(with_query("https://a.org", &[("a", "ü")]), "https://a.org?a=%C3%BC");
    }
}
