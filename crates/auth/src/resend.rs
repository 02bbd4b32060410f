//! The same mail again: a confirmation that was lost. Nothing is told about whether one is waited for.

use crate::core::Core;
use crate::mail::MailKind;
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkError, LinkKind, ResendRequest, Visit};

impl Core {
    pub(crate) async fn resend(self: Arc<Self>, visit: Visit, asked: ResendRequest) -> Result<(), AccountError> {
        match asked.kind {
            LinkKind::Confirmation | LinkKind::EmailChange => {}
            LinkKind::MagicLink | LinkKind::Recovery | LinkKind::Invite | LinkKind::Reauthentication => {
                return Err(LinkError::NoSuchLink.into());
            }
        }
        let letter = self.letter(MailKind::Link(asked.kind), &asked.email, asked.wish)?;
        self.queue_alone(&visit, letter).await
    }
}
