//! The pages' part of the port, for accounts that answer what the test says. The pages themselves are tested with real ones (`server`).

use super::{BoxFuture, Caller, Told};
use undergird_engine::accounts::{AccountError, Errand, HandedOver, Held, Hold, PageSecret, Pages, Secret, Visit};

impl Pages for Told {
    fn check_errand(&self, _: &Errand) -> Result<(), AccountError> {
        self.0.clone()
    }
    fn new_browser(&self) -> Result<Secret, AccountError> {
        self.0.clone().map(|()| Secret::new("b".repeat(43)))
    }
    fn page_secret(&self, _: PageSecret, browser: &Secret) -> Secret {
        browser.clone()
    }
    fn page_challenge(&self, browser: &Secret) -> String {
        browser.expose().to_owned()
    }
    fn hold<'a>(&'a self, _: Visit, _: &'a Caller, _: Hold) -> BoxFuture<'a, Result<Secret, AccountError>> {
        self.give(Secret::new("c".repeat(43)))
    }
    fn held<'a>(&'a self, _: Visit, _: &'a Secret) -> BoxFuture<'a, Result<Option<Held>, AccountError>> {
        self.give(None)
    }
    fn hand_over<'a>(&'a self, _: Visit, _: &'a Secret) -> BoxFuture<'a, Result<HandedOver, AccountError>> {
        Box::pin(std::future::ready(Err(AccountError::SessionMissing)))
    }
}
