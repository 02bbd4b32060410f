//! [`Auth`] as the part of the port that has to do with mails. Nothing is decided here.

use crate::{Auth, BoxFuture};
use serde_json::{Map, Value as Json};
use undergird_engine::accounts::{
    Account, AccountError, FollowedLink, GenerateLink, GeneratedLink, InboxMail, InviteRequest, Landing, LinkKind,
    LinkRequest, Passwordless, Proof, ResendRequest, Secret, Session, Visit, Wish,
};
use undergird_plan::Caller;

type Answer<'a, T> = BoxFuture<'a, Result<T, AccountError>>;

impl Passwordless for Auth {
    fn send_link(&self, visit: Visit, request: LinkRequest) -> Answer<'_, ()> {
        Box::pin(self.0.clone().send_link(visit, request))
    }

    fn recover(&self, visit: Visit, email: String, wish: Wish) -> Answer<'_, ()> {
        Box::pin(self.0.clone().recover(visit, email, wish))
    }

    fn resend(&self, visit: Visit, request: ResendRequest) -> Answer<'_, ()> {
        Box::pin(self.0.clone().resend(visit, request))
    }

    fn verify(&self, visit: Visit, kinds: &'static [LinkKind], proof: Proof) -> Answer<'_, Session> {
        Box::pin(self.0.clone().verify_mail(visit, kinds, proof))
    }

    fn follow(&self, visit: Visit, link: FollowedLink) -> BoxFuture<'_, Landing> {
        Box::pin(self.0.clone().follow(visit, link))
    }

    fn exchange(&self, visit: Visit, code: Secret, verifier: Secret) -> Answer<'_, Session> {
        Box::pin(self.0.clone().exchange(visit, code, verifier))
    }

    fn reauthenticate<'a>(&'a self, visit: Visit, caller: &'a Caller) -> Answer<'a, ()> {
        Box::pin(self.0.clone().reauthenticate(visit, caller.clone()))
    }

    fn invite<'a>(&'a self, visit: Visit, caller: &'a Caller, request: InviteRequest) -> Answer<'a, Account> {
        Box::pin(self.0.clone().invite(visit, caller.clone(), request))
    }

    fn generate_link<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: GenerateLink,
    ) -> Answer<'a, GeneratedLink> {
        Box::pin(self.0.clone().generate_link(visit, caller.clone(), request))
    }

    fn sign_up_anonymously(&self, visit: Visit, data: Map<String, Json>) -> Answer<'_, Session> {
        Box::pin(self.0.clone().sign_up_anonymously(visit, data))
    }

    fn inbox(&self) -> Option<Vec<InboxMail>> {
        self.0.post.inbox()
    }
}
