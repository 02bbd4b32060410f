//! [`Auth`] as the parts of the port that are for second factors, for passkeys, for providers and for the owner. Nothing is decided here.

use crate::{Auth, BoxFuture};
use undergird_engine::accounts::{
    Account, AccountError, AccountPage, AccountSession, AccountSettings, Administration, Assertion, AuditFilter,
    AuditPage, Depart, Departure, EnrollFactor, EnrolledFactor, EnrolledKey, FactorChallenge, Factors, KeyAnswer,
    Landing, MakeRecoveryCodes, NewCredential, Page, Passkey, PasskeyCreation, PasskeyRequest, Passkeys, Providers,
    RecoveryCodes, RecoveryStatus, Return, Secret, Session, TokenSignIn, Visit,
};
use undergird_plan::Caller;
use uuid::Uuid;

type Answer<'a, T> = BoxFuture<'a, Result<T, AccountError>>;

impl Factors for Auth {
    fn enroll_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        asked: EnrollFactor,
    ) -> Answer<'a, EnrolledFactor> {
        Box::pin(self.0.clone().enroll_factor(visit, caller.clone(), asked))
    }

    fn challenge_factor<'a>(&'a self, visit: Visit, caller: &'a Caller, factor: Uuid) -> Answer<'a, FactorChallenge> {
        Box::pin(self.0.clone().challenge_factor(visit, caller.clone(), factor))
    }

    fn verify_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
        challenge: Uuid,
        code: Secret,
    ) -> Answer<'a, Session> {
        Box::pin(self.0.clone().verify_factor(visit, caller.clone(), factor, challenge, code))
    }

    fn remove_factor<'a>(&'a self, visit: Visit, caller: &'a Caller, factor: Uuid) -> Answer<'a, ()> {
        Box::pin(self.0.clone().remove_factor(visit, caller.clone(), factor))
    }

    fn recovery_codes<'a>(&'a self, caller: &'a Caller) -> Answer<'a, RecoveryStatus> {
        Box::pin(self.0.recovery_codes(caller))
    }

    fn make_recovery_codes<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        asked: MakeRecoveryCodes,
    ) -> Answer<'a, RecoveryCodes> {
        Box::pin(self.0.clone().make_recovery_codes(visit, caller.clone(), asked))
    }

    fn verify_recovery_code<'a>(&'a self, visit: Visit, caller: &'a Caller, code: Secret) -> Answer<'a, Session> {
        Box::pin(self.0.clone().verify_recovery_code(visit, caller.clone(), code))
    }

    fn remove_recovery_codes<'a>(&'a self, visit: Visit, caller: &'a Caller) -> Answer<'a, Uuid> {
        Box::pin(self.0.clone().remove_recovery_codes(visit, caller.clone()))
    }
}

impl Passkeys for Auth {
    fn begin_passkey_registration<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        current_password: Option<Secret>,
    ) -> Answer<'a, PasskeyCreation> {
        Box::pin(self.0.clone().begin_passkey_registration(visit, caller.clone(), current_password))
    }

    fn finish_passkey_registration<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        challenge: Uuid,
        credential: NewCredential,
        name: Option<String>,
    ) -> Answer<'a, Passkey> {
        let core = self.0.clone();
        Box::pin(core.finish_passkey_registration(visit, caller.clone(), challenge, credential, name))
    }

    fn begin_passkey_sign_in(&self, visit: Visit) -> Answer<'_, PasskeyRequest> {
        Box::pin(async move { self.0.begin_passkey_sign_in(&visit).await })
    }

    fn finish_passkey_sign_in(&self, visit: Visit, challenge: Uuid, assertion: Assertion) -> Answer<'_, Session> {
        Box::pin(self.0.clone().finish_passkey_sign_in(visit, challenge, assertion))
    }

    fn passkeys<'a>(&'a self, caller: &'a Caller) -> Answer<'a, Vec<Passkey>> {
        Box::pin(self.0.passkeys(caller))
    }

    fn rename_passkey<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        passkey: Uuid,
        name: String,
    ) -> Answer<'a, Passkey> {
        Box::pin(self.0.clone().rename_passkey(visit, caller.clone(), passkey, name))
    }

    fn remove_passkey<'a>(&'a self, visit: Visit, caller: &'a Caller, passkey: Uuid) -> Answer<'a, ()> {
        Box::pin(self.0.clone().remove_passkey(visit, caller.clone(), passkey))
    }

    fn enroll_key<'a>(&'a self, visit: Visit, caller: &'a Caller, asked: EnrollFactor) -> Answer<'a, EnrolledKey> {
        Box::pin(self.0.clone().enroll_key(visit, caller.clone(), asked))
    }

    fn verify_key<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
        challenge: Uuid,
        answer: KeyAnswer,
    ) -> Answer<'a, Session> {
        Box::pin(self.0.clone().verify_key(visit, caller.clone(), factor, challenge, answer))
    }

    fn passkeys_of<'a>(&'a self, caller: &'a Caller, account: Uuid) -> Answer<'a, Vec<Passkey>> {
        Box::pin(self.0.passkeys_by_id(caller, account))
    }

    fn remove_passkey_of<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        account: Uuid,
        passkey: Uuid,
    ) -> Answer<'a, ()> {
        Box::pin(self.0.clone().remove_passkey_by_id(visit, caller.clone(), account, passkey))
    }
}

impl Administration for Auth {
    fn create_account<'a>(&'a self, visit: Visit, caller: &'a Caller, new: AccountSettings) -> Answer<'a, Account> {
        Box::pin(self.0.clone().create_account(visit, caller.clone(), new))
    }

    fn accounts<'a>(&'a self, caller: &'a Caller, page: Page) -> Answer<'a, AccountPage> {
        Box::pin(self.0.accounts(caller, page))
    }

    fn find<'a>(&'a self, caller: &'a Caller, id: Uuid) -> Answer<'a, Account> {
        Box::pin(self.0.find(caller, id))
    }

    fn change_account<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        id: Uuid,
        change: AccountSettings,
    ) -> Answer<'a, Account> {
        Box::pin(self.0.clone().set_account(visit, caller.clone(), id, change))
    }

    fn remove_account<'a>(&'a self, visit: Visit, caller: &'a Caller, id: Uuid) -> Answer<'a, Account> {
        Box::pin(self.0.clone().remove_account_by_id(visit, caller.clone(), id))
    }

    fn remove_factor_of<'a>(&'a self, visit: Visit, caller: &'a Caller, id: Uuid, factor: Uuid) -> Answer<'a, ()> {
        Box::pin(self.0.clone().remove_factor_by_id(visit, caller.clone(), id, factor))
    }

    fn sessions_of_account<'a>(&'a self, caller: &'a Caller, id: Uuid) -> Answer<'a, Vec<AccountSession>> {
        Box::pin(self.0.sessions_by_id(caller, id))
    }

    fn audit_log<'a>(&'a self, caller: &'a Caller, page: Page, filter: Option<AuditFilter>) -> Answer<'a, AuditPage> {
        Box::pin(self.0.audit_log(caller, page, filter))
    }

    fn end_sessions_of<'a>(&'a self, visit: Visit, caller: &'a Caller, id: Uuid) -> Answer<'a, ()> {
        Box::pin(self.0.clone().end_sessions_by_id(visit, caller.clone(), id))
    }
}

impl Providers for Auth {
    fn depart(&self, visit: Visit, asked: Depart) -> Answer<'_, Departure> {
        Box::pin(self.0.clone().depart(visit, asked))
    }

    fn depart_to_link<'a>(&'a self, visit: Visit, caller: &'a Caller, asked: Depart) -> Answer<'a, Departure> {
        Box::pin(self.0.clone().depart_to_link(visit, caller.clone(), asked))
    }

    fn come_back(&self, visit: Visit, told: Return) -> BoxFuture<'_, Landing> {
        Box::pin(self.0.clone().come_back(visit, told))
    }

    fn sign_in_by_token(&self, visit: Visit, asked: TokenSignIn) -> Answer<'_, Session> {
        Box::pin(self.0.clone().sign_in_by_token(visit, asked))
    }

    fn link_by_token<'a>(&'a self, visit: Visit, caller: &'a Caller, asked: TokenSignIn) -> Answer<'a, Session> {
        Box::pin(self.0.clone().link_by_token(visit, caller.clone(), asked))
    }

    fn unlink<'a>(&'a self, visit: Visit, caller: &'a Caller, identity: Uuid) -> Answer<'a, Account> {
        Box::pin(self.0.clone().unlink(visit, caller.clone(), identity))
    }

    fn providers(&self) -> Vec<String> {
        self.0.provider_names()
    }

    fn public_url(&self) -> String {
        self.0.public_url.clone()
    }
}
