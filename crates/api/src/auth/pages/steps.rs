//! What the pages do: one function for each that shows something of an account, and one for each that is filled in. All of it is asked of the
//! port, as the API asks it.

use super::form::{self, Fields};
use super::{Answer, Room, Shown, view};
use http::StatusCode;
use undergird_engine::accounts::{
    AccountChange, AccountError, AccountFactor, Credentials, FactorError, Held, Hold, LinkError, LinkKind, LinkRequest,
    PageSecret, PasswordSignIn, Proof, ResendRequest, Secret, Session, SignOutScope, SignUp, SignedUp, Wish,
};
use uuid::Uuid;

/// What a code of a mail is for, as the page that takes it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The confirmation of a sign-up.
    Confirmation,
    /// A mail that signs in.
    SignIn,
    /// A mail that recovers.
    Recovery,
}

impl Awaited {
    pub(super) fn name(self) -> &'static str {
        match self {
            Awaited::Confirmation => "signup",
            Awaited::SignIn => "email",
            Awaited::Recovery => "recovery",
        }
    }

    fn of(name: &str) -> Option<Awaited> {
        [Awaited::Confirmation, Awaited::SignIn, Awaited::Recovery].into_iter().find(|awaited| awaited.name() == name)
    }

    fn kinds(self) -> &'static [LinkKind] {
        match self {
            // Whether a mail confirmed a sign-up or signed in is not the reader's business.
            Awaited::Confirmation | Awaited::SignIn => &[LinkKind::Confirmation, LinkKind::MagicLink, LinkKind::Invite],
            Awaited::Recovery => &[LinkKind::Recovery],
        }
    }
}

/// Says of a way back that a new password is to be set.
const FOR: &str = "for";

impl Room<'_> {
    /// What a mail leads to, and that it is this browser that it leads back.
    fn wish(&self, awaited: Awaited) -> Wish {
        let more: &[(&str, &str)] = if awaited == Awaited::Recovery { &[(FOR, Awaited::Recovery.name())] } else { &[] };
        Wish { redirect_to: Some(self.way_back(more)), challenge: Some(self.accounts.page_challenge(&self.browser)) }
    }

    pub(super) async fn send_sign_in(&self, fields: &Fields) -> Answer {
        let email = fields.text("email");
        let asked = PasswordSignIn { email: email.to_owned(), password: fields.secret("password") };
        match self.accounts.sign_in(self.visit(), asked).await {
            Ok(session) => self.proved(&session, false).await,
            // The password was right.
            Err(AccountError::EmailNotConfirmed) if self.has_mail() => {
                self.code(Awaited::Confirmation, email, Shown::well(self.texts.check_mail))
            }
            Err(error) => self.sign_in(Some(&error), email),
        }
    }

    pub(super) async fn send_sign_up(&self, fields: &Fields) -> Answer {
        let email = fields.text("email");
        let asked = SignUp {
            email: email.to_owned(),
            password: fields.secret("password"),
            data: serde_json::Map::new(),
            wish: self.wish(Awaited::Confirmation),
        };
        match self.accounts.sign_up(self.visit(), asked).await {
            Ok(SignedUp::In(session)) => self.proved(&session, false).await,
            Ok(SignedUp::Unconfirmed(_)) => self.code(Awaited::Confirmation, email, Shown::well(self.texts.check_mail)),
            Err(error) => self.sign_up(Some(&error), email),
        }
    }

    pub(super) async fn send_mail(&self, fields: &Fields) -> Answer {
        let email = fields.text("email");
        match self.ask_mail(Awaited::SignIn, email).await {
            Ok(()) => self.code(Awaited::SignIn, email, Shown::well(self.texts.check_mail)),
            Err(error) => self.mail(Some(&error), email),
        }
    }

    pub(super) async fn send_recover(&self, fields: &Fields) -> Answer {
        let email = fields.text("email");
        match self.ask_mail(Awaited::Recovery, email).await {
            Ok(()) => self.code(Awaited::Recovery, email, Shown::well(self.texts.check_mail)),
            Err(error) => self.recover(Some(&error), email),
        }
    }

    async fn ask_mail(&self, awaited: Awaited, email: &str) -> Result<(), AccountError> {
        let (email, wish, visit) = (email.to_owned(), self.wish(awaited), self.visit());
        match awaited {
            Awaited::Confirmation => {
                self.accounts.resend(visit, ResendRequest { kind: LinkKind::Confirmation, email, wish }).await
            }
            Awaited::SignIn => {
                let data = serde_json::Map::new();
                let create = self.accounts.offers().sign_up;
                self.accounts.send_link(visit, LinkRequest { email, create, data, wish }).await
            }
            Awaited::Recovery => self.accounts.recover(visit, email, wish).await,
        }
    }

    pub(super) async fn send_code(&self, fields: &Fields) -> Answer {
        let email = fields.text("email");
        let Some(awaited) = Awaited::of(fields.text("kind")) else {
            let title = self.texts.not_like_this;
            return self.message(Shown::wrong(StatusCode::BAD_REQUEST, title, self.texts.not_a_form));
        };
        let title = self.texts.check_mail;
        if fields.get("again").is_some() {
            let shown = match self.ask_mail(awaited, email).await {
                Ok(()) => Shown::well(title),
                Err(error) => Shown::failed(title, &error, self.texts),
            };
            return self.code(awaited, email, shown);
        }
        let code: String = fields.text("code").chars().filter(|char| !char.is_whitespace()).collect();
        let proof = Proof::Code { email: email.to_owned(), code: Secret::new(code) };
        match self.accounts.verify(self.visit(), awaited.kinds(), proof).await {
            Ok(session) => self.proved(&session, awaited == Awaited::Recovery).await,
            Err(error) => self.code(awaited, email, Shown::failed(title, &error, self.texts)),
        }
    }

    /// A browser that followed a link of a mail, or comes from a provider: with a code that is of use to it alone, or in vain.
    pub(super) async fn come_back(&self) -> Answer {
        let Some(code) = self.query.get("code") else {
            if self.query.get("error").is_none() && self.query.get("error_code").is_none() {
                return self.go(&form::at("sign-in", &self.carried()));
            }
            // Whoever made the URL wrote its words; ours are said instead.
            let text = match (self.query.text("error_code"), self.query.text("error")) {
                ("otp_expired", _) => self.texts.link_in_vain,
                (_, "access_denied") => self.texts.cancelled,
                _ => self.texts.came_back_in_vain,
            };
            let shown = Shown::wrong(StatusCode::BAD_REQUEST, self.texts.sign_in, text);
            return self.page(shown, self.errand.as_ref(), |html| view::sign_in(html, self, ""));
        };
        let verifier = self.accounts.page_secret(PageSecret::Verifier, &self.browser);
        match self.accounts.exchange(self.visit(), Secret::new(code), verifier).await {
            Ok(session) => self.proved(&session, self.query.get(FOR) == Some(Awaited::Recovery.name())).await,
            Err(error) => self.sign_in(Some(&error), ""),
        }
    }

    pub(super) async fn show_second_factor(&self) -> Answer {
        match self.held().await {
            Ok(held) if held.second_factor_due => self.second_factor(&held, None),
            Ok(held) => self.onward(&held, &self.browser).await,
            Err(answer) => *answer,
        }
    }

    pub(super) async fn send_second_factor(&self, fields: &Fields) -> Answer {
        let held = match self.held().await {
            Ok(held) if held.second_factor_due => held,
            Ok(held) => return self.onward(&held, &self.browser).await,
            Err(answer) => return *answer,
        };
        match self.prove_second(&held, fields).await {
            Ok(session) => {
                let hold = Hold { errand: held.errand.clone(), new_password: held.new_password, before: None };
                self.hold(&session, hold).await
            }
            Err(error) => self.second_factor(&held, Some(&error)),
        }
    }

    async fn prove_second(&self, held: &Held, fields: &Fields) -> Result<Session, AccountError> {
        if fields.get("recovery_code").is_some() {
            let code = Secret::new(fields.text("recovery_code").trim());
            return self.accounts.verify_recovery_code(self.visit(), &held.caller, code).await;
        }
        let named = fields.get("factor").and_then(|id| Uuid::try_parse(id).ok());
        let mut usable = usable(held);
        let factor = match named {
            Some(id) => usable.find(|factor| factor.id == id),
            None => usable.next(),
        };
        let factor = factor.ok_or(FactorError::Missing)?.id;
        let code: String = fields.text("code").chars().filter(|char| !char.is_whitespace()).collect();
        let challenge = self.accounts.challenge_factor(self.visit(), &held.caller, factor).await?;
        self.accounts.verify_factor(self.visit(), &held.caller, factor, challenge.id, Secret::new(code)).await
    }

    pub(super) async fn show_new_password(&self) -> Answer {
        match self.held().await {
            Ok(held) if held.new_password && !held.second_factor_due => self.new_password(&held, None),
            Ok(held) => self.onward(&held, &self.browser).await,
            Err(answer) => *answer,
        }
    }

    pub(super) async fn send_new_password(&self, fields: &Fields) -> Answer {
        let held = match self.held().await {
            Ok(held) if held.new_password && !held.second_factor_due => held,
            Ok(held) => return self.onward(&held, &self.browser).await,
            Err(answer) => return *answer,
        };
        let change = AccountChange { password: Some(fields.secret("password")), ..AccountChange::default() };
        match self.accounts.update(self.visit(), &held.caller, change).await {
            Ok(_) => {
                // The change made void whatever was held before it.
                let hold = Hold { errand: held.errand.clone(), new_password: false, before: None };
                self.hold_caller(&held.caller, hold).await
            }
            Err(error) => self.new_password(&held, Some(&error)),
        }
    }

    pub(super) async fn show_account(&self) -> Answer {
        match self.accounts.held(self.visit(), &self.browser).await {
            Ok(Some(held)) if !held.second_factor_due && !held.new_password => self.account(&held),
            Ok(Some(held)) => self.onward(&held, &self.browser).await,
            Ok(None) => self.go("sign-in"),
            Err(error) => self.message(Shown::failed(self.texts.not_like_this, &error, self.texts)),
        }
    }

    pub(super) async fn send_sign_out(&self) -> Answer {
        let ended = match self.accounts.held(self.visit(), &self.browser).await {
            Ok(Some(held)) => self.accounts.sign_out(self.visit(), &held.caller, SignOutScope::Local).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => self.signed_out(),
            Err(error) => self.message(Shown::failed(self.texts.sign_out, &error, self.texts)),
        }
    }

    /// What is held for the browser; or the page that says that nothing is.
    async fn held(&self) -> Result<Held, Box<Answer>> {
        match self.accounts.held(self.visit(), &self.browser).await {
            Ok(Some(held)) => Ok(held),
            Ok(None) => {
                let shown = Shown::wrong(StatusCode::FORBIDDEN, self.texts.too_late, self.texts.held_no_more);
                Err(Box::new(self.message(shown)))
            }
            Err(error) => Err(Box::new(self.message(Shown::failed(self.texts.not_like_this, &error, self.texts)))),
        }
    }

    /// Somebody proved who they are.
    async fn proved(&self, session: &Session, new_password: bool) -> Answer {
        self.hold(session, Hold { errand: self.errand.clone(), new_password, before: None }).await
    }

    async fn hold(&self, session: &Session, hold: Hold) -> Answer {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        match self.accounts.identify(credentials, self.request.moment) {
            Ok(caller) => self.hold_caller(&caller, hold).await,
            Err(_) => {
                let shown = Shown::wrong(StatusCode::FORBIDDEN, self.texts.too_late, self.texts.held_no_more);
                self.message(shown)
            }
        }
    }

    /// Holds a session under a new name, and goes on to what is left to do.
    async fn hold_caller(&self, caller: &undergird_plan::Caller, hold: Hold) -> Answer {
        let hold = Hold { before: Some(self.browser.clone()), ..hold };
        let held = match self.accounts.hold(self.visit(), caller, hold).await {
            Ok(browser) => self.accounts.held(self.visit(), &browser).await.map(|held| (browser, held)),
            Err(error) => Err(error),
        };
        match held {
            Ok((browser, Some(held))) => self.onward(&held, &browser).await,
            Ok((_, None)) => {
                let shown = Shown::wrong(StatusCode::FORBIDDEN, self.texts.too_late, self.texts.held_no_more);
                self.message(shown)
            }
            Err(error) => self.message(Shown::failed(self.texts.not_like_this, &error, self.texts)),
        }
    }

    /// What is left to do for a session that is held: the second factor before all else, and the application at the end.
    async fn onward(&self, held: &Held, browser: &Secret) -> Answer {
        let query = form::query_of(held.errand.as_ref(), &[]);
        if held.second_factor_due {
            return self.go_known(&form::at("second-factor", &query), browser);
        }
        if held.new_password {
            return self.go_known(&form::at("new-password", &query), browser);
        }
        if held.errand.is_none() {
            return self.go_known("account", browser);
        }
        match self.accounts.hand_over(self.visit(), browser).await {
            Ok(handed) => {
                let (to, _) = handed.errand.redirect_to.split_once('#').unwrap_or((&handed.errand.redirect_to, ""));
                let mut pairs = vec![("code", handed.code.expose())];
                if let Some(state) = &handed.errand.state {
                    pairs.push(("state", state));
                }
                let joint = match to.split_once('?') {
                    None => "?",
                    Some((_, "")) => "",
                    Some(_) => "&",
                };
                self.go_known(&format!("{to}{joint}{}", form::encode(&pairs)), browser)
            }
            Err(AccountError::Link(LinkError::NotAllowed)) => {
                let title = self.texts.not_like_this;
                self.message(Shown::wrong(StatusCode::BAD_REQUEST, title, self.texts.not_allowed))
            }
            Err(error) => self.message(Shown::failed(self.texts.too_late, &error, self.texts)),
        }
    }
}

/// The second factors that can be asked for.
pub(super) fn usable(held: &Held) -> impl Iterator<Item = &AccountFactor> {
    held.account.factors.iter().filter(|factor| factor.verified && factor.kind == "totp")
}
