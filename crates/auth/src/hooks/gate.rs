//! `before_user_created`: the one gate through which every account goes that the owner does not make.
//!
//! Whether an account begins is decided inside a transaction, and nobody is asked while one is open. So [`NewUser::create`] and what a
//! provider begins pass a [`Gate`]. One that must be asked for first stops the transaction, which is rolled back, and remembers for whom; then the hook is asked
//! ([`Core::past`]), and the transaction is run again. Nobody can write an account without a gate, and a gate stands open for one account alone.
//!
//! [`NewUser::create`]: crate::core::NewUser::create

use crate::core::Core;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use undergird_engine::Failure;
use undergird_engine::accounts::AccountError;
use uuid::Uuid;

const NAME: &str = "before-user-created";

/// An account that would begin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: Uuid,
    pub(crate) email: Option<String>,
    pub(crate) app_metadata: Json,
    pub(crate) user_metadata: Json,
}

#[derive(Default)]
struct State {
    /// For whom the hook must be asked.
    wanted: Option<Draft>,
    /// Whom it let in.
    allowed: Option<Uuid>,
}

/// Whether an account may begin. Clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate {
    /// None: it stands open.
    state: Option<Arc<Mutex<State>>>,
    /// The address that was asked for, where the account is made for show under another.
    shown: Option<String>,
}

impl Gate {
    /// For accounts that the owner makes.
    pub(crate) fn open() -> Gate {
        Gate { state: None, shown: None }
    }

    /// The same gate, for an account that is known to the hook by this address.
    pub(crate) fn for_address(self, email: &str) -> Gate {
        Gate { shown: Some(email.to_owned()), ..self }
    }

    /// The account's id: that of who was let in, so that the hook was told the one that it has.
    pub(crate) fn id(&self) -> Option<Uuid> {
        self.state.as_ref()?.lock().allowed
    }

    /// Whether somebody must be asked.
    pub(crate) fn waits(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.lock().wanted.is_some())
    }

    /// Lets an account pass that may begin.
    ///
    /// # Errors
    /// The hook must be asked first: the transaction must end without a trace.
    pub(crate) fn pass(&self, mut draft: Draft) -> Result<(), Failure> {
        let Some(state) = &self.state else { return Ok(()) };
        let mut state = state.lock();
        if state.allowed == Some(draft.id) {
            return Ok(());
        }
        if let Some(shown) = &self.shown {
            draft.email = Some(shown.clone());
        }
        state.wanted = Some(draft);
        Err(Failure::Internal("the hook before_user_created was not asked".into()))
    }
}

impl Core {
    /// The gate of one sign-up.
    pub(crate) fn gate(&self) -> Gate {
        let app = self.engine.app();
        let is_asked = app.model().settings.auth.hooks.before_user_created.is_some();
        Gate { state: is_asked.then(Arc::default), shown: None }
    }

    /// Asks the hook if a transaction was stopped for it. Yes: it may be run again.
    pub(crate) async fn past(&self, gate: &Gate, address: Option<IpAddr>) -> Result<bool, AccountError> {
        let Some(state) = &gate.state else { return Ok(false) };
        let wanted = {
            let mut state = state.lock();
            let wanted = state.wanted.take();
            if wanted.is_some() && state.allowed.is_some() {
                // It became another account meanwhile.
                return Err(Failure::Conflict.into());
            }
            wanted
        };
        let Some(draft) = wanted else { return Ok(false) };
        let app = self.engine.app();
        if let Some(hook) = &app.model().settings.auth.hooks.before_user_created {
            let now = super::time(self.engine.moment().now);
            let user = json!({
                "id": draft.id.to_string(),
                "aud": crate::token::AUDIENCE,
                "role": crate::token::AUDIENCE,
                "email": draft.email.as_deref().unwrap_or(""),
                "phone": "",
                "app_metadata": draft.app_metadata,
                "user_metadata": draft.user_metadata,
                "identities": [],
                "created_at": now,
                "updated_at": now,
                "is_anonymous": draft.email.is_none(),
            });
            let members = Map::from_iter([("user".to_owned(), user)]);
            self.ask_hook(hook, NAME, address, members).await.map_err(AccountError::Hook)?;
        }
        state.lock().allowed = Some(draft.id);
        Ok(true)
    }
}
