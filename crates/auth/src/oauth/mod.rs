//! Signing in by other providers: OAuth 2.1 with OpenID Connect, as its client.
//!
//! A browser is sent away with a state, a nonce and a PKCE challenge of its own ([`flow`]); it comes back with a code, which is exchanged for
//! tokens ([`calls`]); those say who its user is ([`id_token`], [`providers`]), and that decides the account ([`settle`]). An ID token that an
//! application got by itself goes the last two steps. Issuers and their addresses come from the settings alone, never from a token or a
//! request. Why this is written here: docs/decisions, "Providers are spoken to by hand".
//!
//! Deliberately absent: HTTP ([`crate::fetch`]), cookies and redirects (`api::auth`).

mod calls;
mod directory;
mod flow;
mod id_token;
mod keys;
mod link;
mod person;
mod providers;
mod settle;
pub(crate) mod url;

pub(crate) use directory::Directory;
pub(crate) use flow::FlowKey;
pub(crate) use person::Person;

use crate::api_keys::sha256;
use crate::audit::{self, Actor, Event};
use crate::core::{Core, budget_key};
use crate::hooks::Gate;
use crate::one_time::{self, FLOW_PREFIX, NewFlow};
use crate::password::too_many;
use crate::pkce;
use crate::records::{IDENTITIES, USERS};
use crate::sessions::Started;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use calls::Exchange;
use directory::Discovery;
use flow::{Derived, Flow, Purpose};
use id_token::{Expected, Nonce};
use providers::{Dialect, Speech, dialect, person};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, Depart, Departure, Landed, Landing, ProviderError, Return, Secret, Session, TokenSignIn, Visit,
};
use undergird_engine::failure::Kind;
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::settings::Provider;
use undergird_plan::Caller;

/// The method of a session that a provider vouched for, as `amr` tells it.
pub(crate) const METHOD: &str = "oauth";
/// Longest text that an application may want from a provider.
const SCOPES_CHARS_MAX: usize = 1_000;
/// What an application may tell a provider, because none of it changes to whom the answer goes.
const HINTS: &[&str] = &[
    "access_type",
    "acr_values",
    "connection",
    "display",
    "domain_hint",
    "hd",
    "include_granted_scopes",
    "kc_idp_hint",
    "login_hint",
    "max_age",
    "organization",
    "prompt",
    "screen_hint",
    "ui_locales",
];
const HINT_CHARS_MAX: usize = 500;

/// A provider with what is known of it.
struct Open {
    set: Provider,
    dialect: &'static dyn Dialect,
    /// Of OpenID Connect: where it is found, and what it says of itself.
    discovery: Option<(String, Arc<Discovery>)>,
    authorize: String,
    token: String,
}

impl Open {
    /// How it names itself; the name of the settings where it does not.
    fn issuer(&self) -> &str {
        match &self.discovery {
            Some((_, discovery)) => &discovery.issuer,
            None => self.authorize.as_str(),
        }
    }
}

/// What an arrival led to.
enum Arrived {
    Session(Box<Started>),
    Code(Secret),
}

impl Core {
    /// The settings of a provider that may be used.
    fn provider(&self, name: &str) -> Result<Provider, ProviderError> {
        let app = self.engine.app();
        let all = &app.model().settings.auth.providers;
        all.iter().find(|set| set.name == name && set.enabled).cloned().ok_or(ProviderError::NotEnabled)
    }

    pub(crate) fn provider_names(&self) -> Vec<String> {
        let app = self.engine.app();
        let enabled = app.model().settings.auth.providers.iter().filter(|set| set.enabled);
        enabled.map(|set| set.name.clone()).collect()
    }

    async fn open_provider(&self, set: Provider, now: i64) -> Result<Open, ProviderError> {
        let dialect = dialect(&set.name);
        match dialect.speech(&set) {
            Speech::OpenId { issuer, written } => {
                let discovery = self.directory.discovery(&issuer, &written, now).await?;
                let (authorize, token) = (discovery.authorize.clone(), discovery.token.clone());
                Ok(Open { set, dialect, discovery: Some((issuer, discovery)), authorize, token })
            }
            Speech::OAuth { authorize, token } => Ok(Open { set, dialect, discovery: None, authorize, token }),
        }
    }

    /// Where providers send browsers back to.
    fn callback_url(&self) -> String {
        format!("{}/auth/v1/callback", self.public_url)
    }

    /// Where a browser goes to sign in.
    pub(crate) async fn depart(self: Arc<Self>, visit: Visit, asked: Depart) -> Result<Departure, AccountError> {
        self.send_away(visit, asked, Purpose::SignIn).await
    }

    async fn send_away(
        self: Arc<Self>,
        visit: Visit,
        asked: Depart,
        purpose: Purpose,
    ) -> Result<Departure, AccountError> {
        let set = self.provider(&asked.provider)?;
        if let Some(challenge) = &asked.challenge {
            pkce::check_challenge(challenge)?;
        }
        let is_link = matches!(purpose, Purpose::Link { .. });
        if is_link && asked.challenge.is_none() && self.engine.app().model().settings.auth.link_needs_pkce {
            let is_known = asked.browser.as_ref().is_some_and(|browser| flow::is_text(browser.expose()));
            if !is_known {
                return Err(ProviderError::LinkNeedsPkce.into());
            }
        }
        self.budgets.departures.take(&budget_key(visit.address), visit.moment.now).map_err(too_many)?;
        let open = self.open_provider(set, visit.moment.now).await?;
        let state = flow::text(self.random()?);
        let browser = match (purpose, asked.browser.filter(|browser| flow::is_text(browser.expose()))) {
            (_, Some(known)) => Some(known),
            (Purpose::SignIn, None) => Some(flow::text(self.random()?)),
            // Asked for by a script, whose answer leaves no cookie behind with most applications; so none is demanded.
            (Purpose::Link { .. }, None) => None,
        };
        let flow = Flow {
            provider: asked.provider,
            redirect_to: self.allowed(asked.redirect_to.as_deref()).unwrap_or_else(|| self.site_url()),
            challenge: asked.challenge,
            purpose,
        };
        let url = self.way(&open, &state, asked.scopes.as_deref(), &asked.hints);
        let (kept, of_browser) = (state.clone(), browser.clone());
        let moment = visit.moment;
        let put = self.engine.transaction(Isolation::Committed, move |transaction| {
            let (state, browser, flow) = (kept.clone(), of_browser.clone(), flow.clone());
            Box::pin(async move {
                flow::put(transaction, &Caller::system(moment), &state, browser.as_ref(), &flow).await?;
                Ok(Outcome::commit(()))
            })
        });
        put.await?;
        Ok(Departure { url, browser, browser_seconds: flow::LIFE_SECONDS, posted: open.dialect.posts() })
    }

    /// The URL of the provider's page.
    fn way(&self, open: &Open, state: &Secret, wanted: Option<&str>, hints: &[(String, String)]) -> String {
        let Derived { nonce, verifier } = self.flow_key.derived(state);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let callback = self.callback_url();
        let mut scopes: Vec<&str> = open.dialect.scopes().to_vec();
        let wanted = wanted.filter(|wanted| wanted.len() <= SCOPES_CHARS_MAX).unwrap_or_default();
        let more = open.set.scopes.iter().flat_map(|scope| words(scope)).chain(words(wanted));
        for scope in more {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let scopes = scopes.join(" ");
        let mut members = vec![
            ("client_id", open.set.client_id.as_str()),
            ("redirect_uri", &callback),
            ("response_type", "code"),
            ("scope", &scopes),
            ("state", state.expose()),
        ];
        if open.dialect.has_pkce() {
            members.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        if open.discovery.is_some() && open.dialect.has_nonce() {
            members.push(("nonce", &nonce));
        }
        members.extend(open.dialect.members());
        let fits = |(name, value): &&(String, String)| {
            HINTS.contains(&name.as_str()) && value.len() <= HINT_CHARS_MAX && !value.contains(char::is_control)
        };
        members.extend(hints.iter().filter(fits).map(|(name, value)| (name.as_str(), value.as_str())));
        url::with_query(&open.authorize, &members)
    }

    /// Where a browser that came back goes on.
    pub(crate) async fn come_back(self: Arc<Self>, visit: Visit, told: Return) -> Landing {
        let mut to = self.site_url();
        let arrived = self.clone().arrive(visit.clone(), told, &mut to).await;
        let arrived = self.tell_refused(&visit, arrived).await;
        let outcome = match arrived {
            Ok(Arrived::Session(started)) => {
                self.tokens(*started).await.map(|session| Landed::SignedIn(Box::new(session)))
            }
            Ok(Arrived::Code(code)) => Ok(Landed::Code(code)),
            Err(error) => Err(error),
        };
        Landing { to, outcome }
    }

    /// Notes that nobody was signed in by a provider; the verdict as it was.
    async fn tell_refused<T>(&self, visit: &Visit, verdict: Result<T, AccountError>) -> Result<T, AccountError> {
        // What a budget refuses is not written, and a state that is not there comes from who knows nothing.
        let is_told = match &verdict {
            Ok(_) | Err(AccountError::Failed(_) | AccountError::TooManyAttempts { .. }) => false,
            Err(error) => *error != AccountError::Provider(ProviderError::StateMissing),
        };
        if is_told {
            let event = Event::new("login_failed", Actor::Nobody, None).from(visit.address);
            self.note_alone(visit.moment, event.with(json!({ "method": METHOD }))).await?;
        }
        verdict
    }

    async fn arrive(self: Arc<Self>, visit: Visit, told: Return, to: &mut String) -> Result<Arrived, AccountError> {
        let state = told.state.ok_or(ProviderError::StateMissing)?;
        self.budgets.departures.take(&budget_key(visit.address), visit.moment.now).map_err(too_many)?;
        let (taken, browser) = (state.clone(), told.browser);
        let moment = visit.moment;
        // Used up before the provider is asked, so by nobody twice, however that ends.
        let flow = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (state, browser) = (taken.clone(), browser.clone());
            Box::pin(async move {
                let flow = flow::take(transaction, &Caller::system(moment), &state, browser.as_ref()).await?;
                Ok(Outcome::commit(flow))
            })
        });
        let flow: Option<Flow> = flow.await?;
        let flow = flow.ok_or(ProviderError::StateUnknown)?;
        // What was allowed when the browser left may not be any more.
        if let Some(allowed) = self.allowed(Some(&flow.redirect_to)) {
            *to = allowed;
        }
        let open = self.open_provider(self.provider(&flow.provider)?, visit.moment.now).await?;
        let names_itself = open.discovery.as_ref().is_some_and(|(_, discovery)| discovery.names_itself);
        let is_it = match (&told.issuer, &open.discovery) {
            (Some(issuer), Some((_, discovery))) => *issuer == discovery.issuer,
            // Who speaks no OpenID Connect has no name that could be compared.
            (Some(_), None) => true,
            (None, _) => !names_itself,
        };
        if !is_it {
            return Err(ProviderError::WrongIssuer.into());
        }
        if let Some(word) = told.error {
            let word: String = word.chars().filter(|char| char.is_ascii_graphic()).take(60).collect();
            return Err(ProviderError::Refused(word).into());
        }
        let code = told.code.ok_or_else(|| ProviderError::Refused("no_code".into()))?;
        let person = self.person(&open, &state, &code, told.user.as_deref(), visit.moment.now).await?;
        self.finish(visit, flow, person).await
    }

    /// Who a code is of.
    async fn person(
        &self,
        open: &Open,
        state: &Secret,
        code: &Secret,
        user: Option<&str>,
        now: i64,
    ) -> Result<Person, ProviderError> {
        let Derived { nonce, verifier } = self.flow_key.derived(state);
        let secret = open.dialect.client_secret(&open.set, now)?;
        let in_form = open.dialect.takes_secret_in_form()
            || open.discovery.as_ref().is_none_or(|(_, discovery)| discovery.secret_in_form);
        let asked = Exchange {
            url: &open.token,
            client_id: &open.set.client_id,
            client_secret: secret.as_ref(),
            secret_in_form: in_form,
            code,
            redirect_uri: &self.callback_url(),
            verifier: open.dialect.has_pkce().then_some(verifier.as_str()),
        };
        let tokens = calls::exchange(&self.fetcher, asked).await?;
        let Some((_, discovery)) = &open.discovery else {
            let claims = open.dialect.claims(&self.fetcher, &open.set, &tokens.access).await?;
            return person(open.dialect, &open.set, &claims, open.issuer());
        };
        let token = tokens.id.ok_or_else(|| ProviderError::Unreachable("it gave no ID token".into()))?;
        let audiences = [open.set.client_id.as_str()];
        let nonce = if open.dialect.has_nonce() { Nonce::Is(&nonce) } else { Nonce::None };
        let mut claims = self.claims(open, &token, &audiences, nonce, now).await?;
        if !id_token::is_of(&claims, tokens.access.expose()) {
            return Err(ProviderError::BadToken("it came with another access token"));
        }
        // Some tell the address to who asks, and not in the token.
        if claims.get("email").is_none()
            && let Some(url) = &discovery.user_info
        {
            let more = calls::with_token(&self.fetcher, url, &tokens.access).await?;
            if more.get("sub") != claims.get("sub") {
                return Err(ProviderError::BadToken("its issuer tells another user for the access token"));
            }
            if let (Json::Object(claims), Json::Object(more)) = (&mut claims, more) {
                // Whether an address is verified is said by who tells the address.
                claims.remove("email_verified");
                for (name, value) in more {
                    claims.entry(name).or_insert(value);
                }
            }
        }
        let user = user.filter(|user| user.len() <= 4_096).and_then(|user| serde_json::from_str(user).ok());
        if let Some(user) = user {
            open.dialect.add(&mut claims, &user);
        }
        person(open.dialect, &open.set, &claims, open.issuer())
    }

    /// The claims of an ID token of this provider.
    async fn claims(
        &self,
        open: &Open,
        token: &Secret,
        audiences: &[&str],
        nonce: Nonce<'_>,
        now: i64,
    ) -> Result<Json, ProviderError> {
        let (issuer, discovery) = open.discovery.as_ref().ok_or(ProviderError::NoIdTokens)?;
        let is_issuer = |told: &str, claims: &Json| open.dialect.is_issuer(&discovery.issuer, told, claims);
        let expected = Expected { is_issuer: &is_issuer, audiences, nonce, now: now.div_euclid(1_000_000) };
        self.directory.verify((issuer, &discovery.issuer), token.expose(), &expected, now).await
    }

    /// What the arrival of a person leads to.
    async fn finish(self: Arc<Self>, visit: Visit, flow: Flow, person: Person) -> Result<Arrived, AccountError> {
        let core = self.clone();
        let now = visit.moment.now;
        let (gate, address) = (self.gate(), visit.address);
        let mut again = true;
        let (arrived, ended) = loop {
            let (core, visit, flow, person) = (core.clone(), visit.clone(), flow.clone(), person.clone());
            let gate_of = gate.clone();
            let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
                let (core, visit, flow, person) = (core.clone(), visit.clone(), flow.clone(), person.clone());
                let gate = gate_of.clone();
                Box::pin(async move {
                    match core.finish_in(transaction, &visit, &flow, (&person, &gate)).await {
                        Ok(done) => Ok(Outcome::commit(Ok(done))),
                        Err(AccountError::Failed(failure)) => Err(failure),
                        Err(refused) => Ok(Outcome::rollback(Err(refused))),
                    }
                })
            });
            let done = done.await;
            if self.past(&gate, address).await? {
                continue;
            }
            match done {
                // Two arrivals of one new person at once: the second finds what the first made.
                Err(failure) if again && is_taken(&failure) => again = false,
                done => break done??,
            }
        };
        self.revoked(ended, now);
        Ok(arrived)
    }

    async fn finish_in(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        flow: &Flow,
        (person, gate): (&Person, &Gate),
    ) -> Result<(Arrived, Vec<crate::revocations::Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let provider = flow.provider.as_str();
        let mut ended = Vec::new();
        let mut detail = json!({ "provider": provider });
        let user = match flow.purpose {
            Purpose::SignIn => {
                let (user, more) = self.settle(transaction, visit, provider, (person, gate)).await?;
                ended = more;
                user
            }
            // Only who can show the verifier is who asked, so it is then that the identity is linked.
            Purpose::Link { user, session } if flow.challenge.is_some() => {
                detail["session"] = session.to_string().into();
                detail["link"] = person.to_json();
                user
            }
            Purpose::Link { user, session } => {
                self.link_person(transaction, visit, (user, session), provider, person).await?;
                user
            }
        };
        if let Some(challenge) = &flow.challenge {
            let code = Secret::new(format!("{FLOW_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.random()?)));
            let new = NewFlow { user, email: None, via: METHOD, detail: Some(detail), challenge };
            one_time::put_flow(transaction, &system, &code, &new).await?;
            return Ok((Arrived::Code(code), ended));
        }
        let started = self.start_provided(transaction, visit, user, provider).await?;
        Ok((Arrived::Session(Box::new(started)), ended))
    }

    /// A session that a provider vouched for.
    pub(crate) async fn start_provided(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        user: uuid::Uuid,
        provider: &str,
    ) -> Result<Started, AccountError> {
        let system = Caller::system(visit.moment);
        let now = undergird_model::Value::Timestamp(visit.moment.now);
        let row = crate::records::by("id", undergird_model::Value::Uuid(user), USERS);
        let row = crate::records::as_verb(row, undergird_plan::request::Verb::Update);
        transaction.write(&system, row.with_row([("last_sign_in_at", now)]), None).await?;
        let started = self.new_session(transaction, visit, user, METHOD).await?;
        let event = Event::new("login", Actor::User, user).in_session(started.session).from(visit.address);
        let told = json!({ "method": METHOD, "provider": provider });
        audit::note(transaction, visit.moment, event.with(told)).await?;
        Ok(started)
    }

    /// Who an ID token is of, that the application got by itself.
    async fn person_of_token(&self, visit: &Visit, asked: &TokenSignIn) -> Result<Person, AccountError> {
        let set = self.provider(&asked.provider)?;
        if matches!(dialect(&set.name).speech(&set), Speech::OAuth { .. }) {
            return Err(ProviderError::NoIdTokens.into());
        }
        self.spend_guess(visit)?;
        let now = visit.moment.now;
        let open = self.open_provider(set, now).await?;
        let all = std::iter::once(&open.set.client_id).chain(&open.set.audiences);
        let audiences: Vec<&str> = all.map(String::as_str).collect();
        let nonce = asked.nonce.as_deref().map_or(Nonce::None, Nonce::HashOf);
        let claims = self.claims(&open, &asked.id_token, &audiences, nonce, now).await?;
        if asked.access_token.as_ref().is_some_and(|access| !id_token::is_of(&claims, access.expose())) {
            return Err(ProviderError::BadToken("it came with another access token").into());
        }
        let person = person(open.dialect, &open.set, &claims, open.issuer())?;
        self.give_back_guess(visit);
        Ok(person)
    }

    pub(crate) async fn sign_in_by_token(
        self: Arc<Self>,
        visit: Visit,
        asked: TokenSignIn,
    ) -> Result<Session, AccountError> {
        let person = self.person_of_token(&visit, &asked).await;
        let person = self.tell_refused(&visit, person).await?;
        self.session_for(visit, asked.provider, person, Purpose::SignIn).await
    }

    async fn session_for(
        self: Arc<Self>,
        visit: Visit,
        provider: String,
        person: Person,
        purpose: Purpose,
    ) -> Result<Session, AccountError> {
        let flow = Flow { provider, redirect_to: String::new(), challenge: None, purpose };
        match self.clone().finish(visit, flow, person).await? {
            Arrived::Session(started) => self.tokens(*started).await,
            Arrived::Code(_) => Err(Failure::Internal("a code where a session was asked for".into()).into()),
        }
    }
}

/// The words of a scope, separated by spaces as OAuth has it or by commas as some write it; what cannot be one is left out.
fn words(scopes: &str) -> impl Iterator<Item = &str> {
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    scopes.split([' ', ',']).filter(is_word)
}

fn is_taken(failure: &Failure) -> bool {
    match failure {
        Failure::Constraint(constraint) => {
            constraint.kind == Kind::Unique && [USERS, IDENTITIES].contains(&constraint.collection.as_str())
        }
        _ => false,
    }
}
