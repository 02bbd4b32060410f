//! How each page is written. Names of fields and their `autocomplete` are what password managers look for (HTML, §4.10.18.7).

use super::form::{self, TOKEN};
use super::html::{Attribute, Html};
use super::steps::{Awaited, usable};
use super::{Answer, Room, Shown, texts};
use undergird_engine::accounts::{AccountError, Held};

/// The frame of every page.
pub(super) fn layout(room: &Room<'_>, shown: &Shown, write: impl FnOnce(&mut Html)) -> String {
    let ui = &room.settings.auth.ui;
    let name = ui.title.as_deref().unwrap_or(&room.settings.name);
    Html::document(room.texts.language, |html| {
        html.element("head", &[], |html| {
            html.empty("meta", &[("charset", "utf-8")]);
            html.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            html.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            html.empty("meta", &[("name", "robots"), ("content", "noindex")]);
            html.line("title", &[], &format!("{} · {name}", shown.title));
            html.empty("link", &[("rel", "stylesheet"), ("href", "style.css")]);
            if room.dress.stylesheet.is_some() {
                html.empty("link", &[("rel", "stylesheet"), ("href", "own.css")]);
            }
        });
        html.element("body", &[], |html| {
            html.element("main", &[("class", "card")], |html| {
                html.element("header", &[], |html| {
                    if room.dress.logo.is_some() {
                        html.empty("img", &[("class", "logo"), ("src", "logo"), ("alt", "")]);
                    }
                    html.line("p", &[("class", "name")], name);
                });
                html.line("h1", &[], shown.title);
                if let Some(alert) = &shown.alert {
                    html.line("p", &[("class", "alert"), ("role", "alert"), ("id", "alert")], alert);
                }
                write(html);
            });
        });
    })
}

impl Room<'_> {
    fn shown(&self, title: &'static str, error: Option<&AccountError>) -> Shown {
        match error {
            Some(error) => Shown::failed(title, error, self.texts),
            None => Shown::well(title),
        }
    }

    pub(super) fn sign_in(&self, error: Option<&AccountError>, email: &str) -> Answer {
        let shown = self.shown(self.texts.sign_in, error);
        self.page(shown, self.errand.as_ref(), |html| sign_in(html, self, email))
    }

    pub(super) fn sign_up(&self, error: Option<&AccountError>, email: &str) -> Answer {
        let texts = self.texts;
        let closed = (!self.accounts.offers().sign_up).then_some(AccountError::SignUpClosed);
        let shown = self.shown(texts.sign_up, error.or(closed.as_ref()));
        self.page(shown, self.errand.as_ref(), |html| {
            if closed.is_none() {
                providers(html, self);
                form(html, self, "sign-up", |html| {
                    email_field(html, self, email);
                    let min = self.settings.auth.password_min.to_string();
                    new_password_field(html, texts.password, &texts.about_password.replace("{}", &min));
                    button(html, texts.do_sign_up);
                });
            }
            html.element("p", &[("class", "ways")], |html| {
                html.text(texts.has_account);
                html.text(" ");
                self.link(html, "sign-in", texts.to_sign_in);
            });
        })
    }

    pub(super) fn mail(&self, error: Option<&AccountError>, email: &str) -> Answer {
        self.asks_for_mail("mail", self.texts.mail, self.texts.about_mail, self.texts.do_mail, error, email)
    }

    pub(super) fn recover(&self, error: Option<&AccountError>, email: &str) -> Answer {
        self.asks_for_mail("recover", self.texts.recover, self.texts.about_recover, self.texts.do_recover, error, email)
    }

    fn asks_for_mail(
        &self,
        page: &'static str,
        title: &'static str,
        about: &str,
        action: &str,
        error: Option<&AccountError>,
        email: &str,
    ) -> Answer {
        self.page(self.shown(title, error), self.errand.as_ref(), |html| {
            html.line("p", &[], about);
            form(html, self, page, |html| {
                email_field(html, self, email);
                button(html, action);
            });
            html.element("p", &[("class", "ways")], |html| self.link(html, "sign-in", self.texts.to_sign_in));
        })
    }

    /// Takes the code of a mail; says the same whether there is one on its way.
    pub(super) fn code(&self, awaited: Awaited, email: &str, shown: Shown) -> Answer {
        let texts = self.texts;
        self.page(shown, self.errand.as_ref(), |html| {
            let about = match awaited {
                Awaited::Confirmation => texts.about_confirmation,
                Awaited::SignIn | Awaited::Recovery => texts.about_check,
            };
            html.line("p", &[], about);
            html.line("p", &[("class", "whose")], email);
            form(html, self, "code", |html| {
                hidden(html, "email", email);
                hidden(html, "kind", awaited.name());
                code_field(html, texts.code);
                button(html, texts.do_code);
            });
            html.line("p", &[("class", "hint")], texts.about_code_browser);
            form(html, self, "code", |html| {
                hidden(html, "email", email);
                hidden(html, "kind", awaited.name());
                hidden(html, "again", "yes");
                html.line("button", &[("type", "submit"), ("class", "quiet")], texts.do_resend);
            });
            html.element("p", &[("class", "ways")], |html| self.link(html, "sign-in", texts.to_sign_in));
        })
    }

    pub(super) fn second_factor(&self, held: &Held, error: Option<&AccountError>) -> Answer {
        let texts = self.texts;
        self.page(self.shown(texts.second_factor, error), held.errand.as_ref(), |html| {
            whose(html, held);
            let all: Vec<_> = usable(held).collect();
            let has_app = !all.is_empty();
            html.line("p", &[], if has_app { texts.about_second_factor } else { texts.about_other_factor });
            if has_app {
                form(html, self, "second-factor", |html| {
                    if all.len() > 1 {
                        html.line("label", &[("for", "factor")], texts.factor);
                        html.element("select", &[("id", "factor"), ("name", "factor")], |html| {
                            for factor in all {
                                let name = factor.name.as_deref().unwrap_or(texts.unnamed_factor);
                                html.line("option", &[("value", &factor.id.to_string())], name);
                            }
                        });
                    }
                    code_field(html, texts.code);
                    button(html, texts.do_code);
                });
            }
            html.element("details", &[], |html| {
                html.line("summary", &[], texts.lost_device);
                html.line("p", &[], texts.about_recovery_code);
                form(html, self, "second-factor", |html| {
                    html.line("label", &[("for", "recovery_code")], texts.recovery_code);
                    html.empty(
                        "input",
                        &[
                            ("id", "recovery_code"),
                            ("name", "recovery_code"),
                            ("type", "text"),
                            ("autocomplete", "off"),
                            ("autocapitalize", "none"),
                            ("spellcheck", "false"),
                            ("maxlength", "64"),
                            ("required", ""),
                        ],
                    );
                    html.line("button", &[("type", "submit"), ("class", "quiet")], texts.do_recovery_code);
                });
            });
            html.element("p", &[("class", "ways")], |html| self.link(html, "sign-in", texts.start_again));
        })
    }

    pub(super) fn new_password(&self, held: &Held, error: Option<&AccountError>) -> Answer {
        let texts = self.texts;
        self.page(self.shown(texts.new_password, error), held.errand.as_ref(), |html| {
            html.line("p", &[], texts.about_new_password);
            whose(html, held);
            form(html, self, "new-password", |html| {
                // For password managers, which otherwise ask whose it is.
                let email = held.account.email.as_deref().unwrap_or_default();
                html.empty(
                    "input",
                    &[
                        ("type", "text"),
                        ("name", "email"),
                        ("autocomplete", "username"),
                        ("value", email),
                        ("hidden", ""),
                    ],
                );
                let min = self.settings.auth.password_min.to_string();
                new_password_field(html, texts.new_password_field, &texts.about_password.replace("{}", &min));
                button(html, texts.do_new_password);
            });
        })
    }

    pub(super) fn account(&self, held: &Held) -> Answer {
        let texts = self.texts;
        self.page(Shown::well(texts.account), None, |html| {
            whose(html, held);
            html.line("p", &[("class", "hint")], texts.no_errand);
            return_to(html, self);
            form(html, self, "sign-out", |html| {
                html.line("button", &[("type", "submit"), ("class", "quiet")], texts.sign_out);
            });
        })
    }

    pub(super) fn signed_out(&self) -> Answer {
        self.page(Shown::well(self.texts.sign_out), None, |html| {
            html.line("p", &[], self.texts.signed_out);
            ways_on(html, self);
        })
    }

    /// A link to another page, which takes along what the browser was sent for.
    fn link(&self, html: &mut Html, page: &str, text: &str) {
        html.line("a", &[("href", &form::at(page, &self.carried()))], text);
    }
}

/// What stands on the first page.
pub(super) fn sign_in(html: &mut Html, room: &Room<'_>, email: &str) {
    let texts = room.texts;
    providers(html, room);
    form(html, room, "sign-in", |html| {
        email_field(html, room, email);
        html.line("label", &[("for", "password")], texts.password);
        html.empty(
            "input",
            &[
                ("id", "password"),
                ("name", "password"),
                ("type", "password"),
                ("autocomplete", "current-password"),
                ("maxlength", "1024"),
                ("required", ""),
            ],
        );
        button(html, texts.do_sign_in);
    });
    html.element("ul", &[("class", "ways")], |html| {
        if room.has_mail() {
            html.element("li", &[], |html| room.link(html, "recover", texts.to_recover));
            html.element("li", &[], |html| room.link(html, "mail", texts.to_mail));
        }
        if room.accounts.offers().sign_up {
            html.element("li", &[], |html| {
                html.text(texts.no_account);
                html.text(" ");
                room.link(html, "sign-up", texts.to_sign_up);
            });
        }
    });
}

/// The ways on from a page that only says something.
pub(super) fn ways_on(html: &mut Html, room: &Room<'_>) {
    return_to(html, room);
    html.element("p", &[("class", "ways")], |html| room.link(html, "sign-in", room.texts.to_sign_in));
}

fn return_to(html: &mut Html, room: &Room<'_>) {
    if let Some(url) = &room.settings.auth.ui.return_to {
        html.element("p", &[], |html| html.line("a", &[("class", "button"), ("href", url)], room.texts.to_application));
    }
}

/// A link for each provider: it leaves by the API's own way, and comes back to where this browser alone goes on.
fn providers(html: &mut Html, room: &Room<'_>) {
    let all = room.accounts.providers();
    if all.is_empty() {
        return;
    }
    let (back, challenge) = (room.way_back(&[]), room.accounts.page_challenge(&room.browser));
    html.element("ul", &[("class", "providers")], |html| {
        for name in &all {
            let query = form::encode(&[
                ("provider", name),
                ("redirect_to", &back),
                ("code_challenge", &challenge),
                ("code_challenge_method", "s256"),
            ]);
            html.element("li", &[], |html| {
                let text = format!("{} {}", room.texts.with_provider, texts::provider(name));
                html.line("a", &[("class", "provider"), ("href", &format!("../v1/authorize?{query}"))], &text);
            });
        }
    });
    html.line("p", &[("class", "or")], room.texts.or);
}

fn form(html: &mut Html, room: &Room<'_>, page: &str, write: impl FnOnce(&mut Html)) {
    let action = form::at(page, &room.carried());
    html.element("form", &[("method", "post"), ("action", &action)], |html| {
        hidden(html, TOKEN, &room.form_token());
        write(html);
    });
}

fn hidden(html: &mut Html, name: &'static str, value: &str) {
    html.empty("input", &[("type", "hidden"), ("name", name), ("value", value)]);
}

fn email_field(html: &mut Html, room: &Room<'_>, email: &str) {
    html.line("label", &[("for", "email")], room.texts.email);
    let mut attributes: Vec<Attribute<'_>> = vec![
        ("id", "email"),
        ("name", "email"),
        ("type", "email"),
        ("autocomplete", "username"),
        ("autocapitalize", "none"),
        ("spellcheck", "false"),
        ("maxlength", "254"),
        ("value", email),
        ("required", ""),
    ];
    if email.is_empty() {
        attributes.push(("autofocus", ""));
    }
    html.empty("input", &attributes);
}

fn new_password_field(html: &mut Html, label: &str, hint: &str) {
    html.line("label", &[("for", "password")], label);
    html.empty(
        "input",
        &[
            ("id", "password"),
            ("name", "password"),
            ("type", "password"),
            ("autocomplete", "new-password"),
            ("aria-describedby", "about-password"),
            ("maxlength", "1024"),
            ("required", ""),
        ],
    );
    html.line("p", &[("class", "hint"), ("id", "about-password")], hint);
}

fn code_field(html: &mut Html, label: &str) {
    html.line("label", &[("for", "code")], label);
    html.empty(
        "input",
        &[
            ("id", "code"),
            ("name", "code"),
            ("class", "code"),
            ("type", "text"),
            ("inputmode", "numeric"),
            ("autocomplete", "one-time-code"),
            ("maxlength", "16"),
            ("required", ""),
            ("autofocus", ""),
        ],
    );
}

fn button(html: &mut Html, text: &str) {
    html.line("button", &[("type", "submit")], text);
}

fn whose(html: &mut Html, held: &Held) {
    let email = held.account.email.as_deref().unwrap_or_default();
    html.line("p", &[("class", "whose")], email);
}
