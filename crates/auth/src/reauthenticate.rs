//! A code by mail for who is signed in, as a proof for a change of password when the sign-in is not recent and the old password
//! forgotten.

use crate::core::Core;
use crate::mail::{Letter, MailKind};
use crate::one_time::{self, Taken};
use crate::records::{self, USERS};
use crate::sessions;
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkError, LinkKind, Secret, Visit};
use undergird_engine::{Isolation, Outcome};
use undergird_model::Value;
use undergird_plan::Caller;
use uuid::Uuid;

impl Core {
    pub(crate) async fn reauthenticate(self: Arc<Self>, visit: Visit, caller: Caller) -> Result<(), AccountError> {
        let (id, _) = sessions::of_caller(&caller)?;
        let system = Caller::system(visit.moment);
        let users = self.engine.records(&system, records::by("id", Value::Uuid(id), USERS)).await?;
        let user = users.first().ok_or(AccountError::AccountMissing)?;
        let email = user.text("email").ok_or(LinkError::NeedsAddress)?;
        let letter = Letter { user: Some(id), ..Letter::to(MailKind::Link(LinkKind::Reauthentication), email) };
        self.queue_alone(&visit, letter).await
    }

    /// Uses up the code of such a mail.
    pub(crate) async fn prove_by_nonce(
        &self,
        visit: &Visit,
        of: (Uuid, Uuid),
        email: &str,
        nonce: &Secret,
    ) -> Result<(), AccountError> {
        self.budgets.mail_codes.take(&email, visit.moment.now).map_err(crate::password::too_many)?;
        let (key, moment) = (self.one_time.clone(), visit.moment);
        let (told, nonce) = (email.to_owned(), nonce.clone());
        let taken = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (key, email, nonce) = (key.clone(), told.clone(), nonce.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                let kinds = [LinkKind::Reauthentication];
                let taken = one_time::take_code(transaction, &system, &key, &kinds, (&email, &nonce)).await?;
                Ok(Outcome::commit(matches!(taken, Taken::Good(_))))
            })
        });
        if !taken.await? {
            self.tell_wrong_proof(visit, of, "nonce").await?;
            return Err(LinkError::NonceInvalid.into());
        }
        self.budgets.mail_codes.give_back(&email);
        Ok(())
    }
}
