//! The same mail again: a confirmation that was lost. Nothing is told about whether one is waited for.

use crate::core::Core;
use crate::mail::{Letter, MailKind};
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkError, LinkKind, ResendRequest, Visit};

impl Core {
    pub(crate) async fn resend(self: Arc<Self>, visit: Visit, asked: ResendRequest) -> Result<(), AccountError> {
        match asked.kind {
            LinkKind::Confirmation | LinkKind::EmailChange => {}
            LinkKind::EmailChangeCurrent
            | LinkKind::MagicLink
            | LinkKind::Recovery
            | LinkKind::Invite
            | LinkKind::Reauthentication => {
                return Err(LinkError::NoSuchLink.into());
            }
        }
        let letter = self.letter(MailKind::Link(asked.kind), &asked.email, asked.wish)?;
        if asked.kind == LinkKind::EmailChange && self.engine.app().model().settings.auth.double_confirm_changes {
            let current = Letter { kind: MailKind::Link(LinkKind::EmailChangeCurrent), ..letter.clone() };
            self.queue_alone(&visit, current).await?;
        }
        self.queue_alone(&visit, letter).await
    }
}
