//! A forgotten password: a mail with a link and a code that sign in, after which the password may be replaced as after any fresh
//! sign-in. The answer and the work are the same whether somebody has the address or not: the mail is queued by its address, and looked
//! up when it is sent.

use crate::core::Core;
use crate::mail::MailKind;
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkKind, Visit, Wish};

impl Core {
    pub(crate) async fn recover(self: Arc<Self>, visit: Visit, email: String, wish: Wish) -> Result<(), AccountError> {
        let letter = self.letter(MailKind::Link(LinkKind::Recovery), &email, wish)?;
        self.queue_alone(&visit, letter).await
    }
}
