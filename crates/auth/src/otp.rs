//! Signing in without a password: a mail with a link and a code. An address that nobody has gets an account when its mail is sent, if
//! the client asks for that and the application takes sign-ups; so the answer tells nothing.
//!
//! GoTrue tells with `otp_disabled` that an address is unknown; here the answer is the same.

use crate::core::Core;
use crate::mail::MailKind;
use crate::sign_up::check_metadata;
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, LinkKind, LinkRequest, Visit};

impl Core {
    pub(crate) async fn send_link(self: Arc<Self>, visit: Visit, asked: LinkRequest) -> Result<(), AccountError> {
        let mut letter = self.letter(MailKind::Link(LinkKind::MagicLink), &asked.email, asked.wish)?;
        check_metadata(&asked.data)?;
        if asked.create {
            if !asked.data.is_empty() {
                // What can be wrong with it is told to everybody alike. Without data there is nothing of the client's to be wrong.
                let app = self.engine.app();
                crate::profile::create(app.model(), uuid::Uuid::nil(), Some(&letter.email), &asked.data, visit.moment)?;
            }
            letter.data = Some(asked.data);
        }
        self.queue_alone(&visit, letter).await
    }
}
