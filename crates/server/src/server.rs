//! One application, opened: definition, data directory, keys, store, schema, engine, accounts, HTTP. The order is the order of
//! what can be wrong, cheapest first.

use crate::config::{Definition, Environment, data_directory};
use crate::data::DataDirectory;
use crate::dress;
use crate::keys::{self, KeysProblem};
use crate::migrations::Fits;
use crate::schema::{Change, Obstacle};
use crate::serve::{self, Shutdown, signals};
use crate::stores;
use futures_util::{Stream, StreamExt};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use undergird_api::auth::pages::Dress;
use undergird_api::http::{AccessLog, Http};
use undergird_auth::{Auth, Keys};
use undergird_engine::Engine;
use undergird_model::Model;
use undergird_model::definition::Override;
use undergird_model::settings::Settings;
use undergird_store::{Notice, Store};

/// How often a node looks whether the schema is still its definition's, where nobody tells it.
const SCHEMA_POLL: Duration = Duration::from_secs(5);
/// How long a server that stops tries to write what it alone knows.
const LAST_WRITE_MAX: Duration = Duration::from_secs(2);

/// Why an application cannot be opened.
#[derive(Debug)]
pub enum StartError {
    /// The definition has mistakes.
    Definition(Box<Definition>),
    /// Keys, settings or the directory are not what they should be.
    Wrong(String),
    /// The schema of the database is not the definition's, and it is not this command's to change it.
    Schema(String),
    /// Something would be lost for good, each in words.
    Loss(Vec<String>),
    /// Anything else.
    Failed(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Definition(definition) => f.write_str(&definition.render(false)),
            StartError::Wrong(why) | StartError::Schema(why) | StartError::Failed(why) => f.write_str(why),
            StartError::Loss(losses) => write!(f, "data would be lost: {}", losses.join("; ")),
        }
    }
}

impl std::error::Error for StartError {}

/// What to do about a database whose schema is not the definition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// Refuse to start.
    Demand,
    /// Bring it to the definition.
    Follow {
        /// Also when something is lost for good.
        accept_data_loss: bool,
    },
    /// Leave it as it is: the command does that itself.
    Leave,
}

/// How an application is opened.
#[derive(Debug)]
pub struct Builder {
    directory: PathBuf,
    data: Option<PathBuf>,
    flags: Vec<Override>,
    environment: Environment,
    schema: SchemaPolicy,
    make_keys: bool,
    beside: bool,
    shows_mails: bool,
    shows_pages: bool,
    wait: Duration,
    log: Arc<AccessLog>,
}

impl Builder {
    /// Where data is kept, instead of `UNDERGIRD_DATA` or `data/`.
    pub fn data(mut self, path: impl Into<PathBuf>) -> Builder {
        self.data = Some(path.into());
        self
    }

    /// A setting over the file's and the environment's: `.setting("server.listen", "127.0.0.1:0")`.
    pub fn setting(mut self, path: &str, value: &str) -> Builder {
        self.flags.push(Override {
            path: path.split('.').map(str::to_owned).collect(),
            value: value.to_owned(),
            origin: format!("setting {path}"),
        });
        self
    }

    /// Settings from flags of the command line.
    pub fn flags(mut self, flags: Vec<Override>) -> Builder {
        self.flags.extend(flags);
        self
    }

    /// These variables instead of the process's.
    pub fn environment(mut self, environment: Environment) -> Builder {
        self.environment = environment;
        self
    }

    /// What to do about another schema. [`SchemaPolicy::Demand`] unless said.
    pub fn schema(mut self, policy: SchemaPolicy) -> Builder {
        self.schema = policy;
        self
    }

    /// Whether missing keys are made and kept. Not, unless said.
    pub fn make_keys(mut self, make: bool) -> Builder {
        self.make_keys = make;
        self
    }

    /// Whether the data directory may be in use by a running server: for short commands that write through the same store, which
    /// keeps processes apart by itself.
    pub fn beside_server(mut self, beside: bool) -> Builder {
        self.beside = beside;
        self
    }

    /// Whether mails are kept to be looked at where no mail server is set up. Not, unless said.
    pub fn show_mails(mut self, show: bool) -> Builder {
        self.shows_mails = show;
        self
    }

    /// Whether there are sign-in pages where the settings do not say. Not, unless said.
    pub fn show_pages(mut self, show: bool) -> Builder {
        self.shows_pages = show;
        self
    }

    /// How long to wait for another process that has the data directory. Not at all, unless said.
    pub fn wait(mut self, wait: Duration) -> Builder {
        self.wait = wait;
        self
    }

    /// Where requests leave their records.
    pub fn access_log(mut self, log: Arc<AccessLog>) -> Builder {
        self.log = log;
        self
    }

    /// Reads and checks the definition alone.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn definition(&self) -> Result<Definition, StartError> {
        Definition::load(&self.directory, &self.environment, &self.flags).map_err(StartError::Wrong)
    }

    /// Opens the data directory and the store alone, for commands that change the schema themselves.
    ///
    /// # Errors
    /// The directory is in use, or the store cannot be opened.
    pub async fn open_store(&self, model: &Model) -> Result<(Arc<dyn Store>, DataDirectory), StartError> {
        let data = self.data_directory(model)?;
        let store = stores::open(&model.settings, &self.directory, data.path()).await?;
        callable(&store, model)?;
        Ok((store, data))
    }

    /// Takes the data directory: alone where the database is in it, beside others where it is not.
    fn data_directory(&self, model: &Model) -> Result<DataDirectory, StartError> {
        let data = data_directory(&self.directory, &self.environment, self.data.as_deref());
        let data = match (stores::is_elsewhere(&model.settings), self.beside) {
            (true, _) => Ok(DataDirectory::shared(&data)),
            (false, true) => DataDirectory::beside(&data),
            (false, false) => DataDirectory::open_within(&data, self.wait, |taken| {
                tracing::info!("{taken}; waiting");
            }),
        };
        data.map_err(StartError::Failed)
    }

    fn dress(&self, model: &Model) -> Result<Dress, String> {
        dress::read(&model.settings.auth.ui, &self.directory, self.shows_pages)
    }

    /// Opens the application.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(self) -> Result<Server, StartError> {
        let definition = self.definition()?;
        let Some(model) = definition.model.clone() else { return Err(StartError::Definition(Box::new(definition))) };
        let data = self.data_directory(&model)?;
        let keys = keys::load(data.path(), &self.environment, self.make_keys).map_err(|problem| match problem {
            KeysProblem::Wrong(why) => StartError::Wrong(why),
            KeysProblem::Failed(why) => StartError::Failed(why),
        })?;
        let store = stores::open(&model.settings, &self.directory, data.path()).await?;
        if store.is_shared() && model.settings.server.public_url.is_none() {
            tracing::warn!(
                "public_url is not set: tokens name the address of this node as their issuer, and other nodes refuse them"
            );
        }
        callable(&store, &model)?;
        let mut beside = false;
        if self.schema == SchemaPolicy::Demand {
            let demanded = crate::migrations::demand(&self.directory, &store, &model).await;
            beside = match demanded.map_err(StartError::Schema)? {
                Fits::Beside(why) => {
                    tracing::warn!("{why}");
                    true
                }
                Fits::Exactly | Fits::Unsaid => false,
            };
        }
        if beside {
            speakable(&store, &model)?;
            same_functions(&store, &model).await?;
        } else if self.schema != SchemaPolicy::Leave {
            fit(&store, &model, self.schema).await?;
        }
        let dress = self.dress(&model).map_err(StartError::Wrong)?;
        let engine = Engine::new(model.clone(), store);
        if self.schema != SchemaPolicy::Leave {
            readable(&engine, &model).await?;
        }
        let auth = crate::accounts::open(&engine, &keys, &self.directory, self.shows_mails).await;
        let auth = auth.map_err(StartError::Failed)?;
        let cursors = crate::keys::cursor_key(&keys);
        let cursors = cursors.ok_or_else(|| StartError::Failed("no key for cursors could be derived".into()))?;
        let http = Http::new(engine.clone(), Arc::new(auth.clone()), cursors, self.log.clone());
        http.dress(dress);
        Ok(Server { engine, http, auth, keys, definition, _data: data, builder: self })
    }
}

/// An application that is open.
pub struct Server {
    engine: Arc<Engine>,
    http: Arc<Http>,
    auth: Auth,
    keys: Keys,
    definition: Definition,
    builder: Builder,
    // Last: whoever comes next may have the directory only when everything else is closed.
    _data: DataDirectory,
}

impl Server {
    /// How to open the application in a directory.
    pub fn builder(directory: impl AsRef<Path>) -> Builder {
        Builder {
            directory: directory.as_ref().to_owned(),
            data: None,
            flags: Vec::new(),
            environment: Environment::of_process(),
            schema: SchemaPolicy::Demand,
            make_keys: false,
            beside: false,
            shows_mails: false,
            shows_pages: false,
            wait: Duration::ZERO,
            log: Arc::default(),
        }
    }

    /// Runs plans.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Answers requests.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// The accounts.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The definition as it was when the application was opened.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.engine.app().model().settings.clone()
    }

    /// Reads the definition again, as it was read first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn reread(&self) -> Result<Definition, StartError> {
        self.builder.definition()
    }

    /// Takes a changed model, and brings the database to it.
    ///
    /// # Errors
    /// [`StartError::Loss`], or why the schema cannot be changed. The old model goes on.
    pub async fn follow(&self, model: Arc<Model>, accept_data_loss: bool) -> Result<String, StartError> {
        let dress = self.builder.dress(&model).map_err(StartError::Wrong)?;
        let done = fit(self.engine.store(), &model, SchemaPolicy::Follow { accept_data_loss }).await?;
        readable(&self.engine, &model).await?;
        self.engine.replace(model);
        self.http.dress(dress);
        self.http.refresh();
        Ok(done)
    }

    /// A listener at the settings' address.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn bind(&self) -> Result<(TcpListener, SocketAddr), StartError> {
        let listen = self.settings().server.listen;
        let listener = TcpListener::bind(&listen).await.map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => "; is another server running? --listen takes another address",
                _ => "",
            };
            StartError::Failed(format!("cannot listen on {listen}: {error}{hint}"))
        })?;
        let address = listener.local_addr().map_err(|error| StartError::Failed(error.to_string()))?;
        Ok((listener, address))
    }

    /// Serves until the process is told to end, then drains and closes.
    ///
    /// # Errors
    /// Requests under way had to be cut.
    pub async fn serve(self, listener: TcpListener) -> Result<(), StartError> {
        self.serve_until(listener, signals(), Duration::ZERO).await
    }

    /// The same until `ended`, still accepting for `grace` after that.
    ///
    /// # Errors
    /// Requests under way had to be cut.
    pub async fn serve_until(
        self,
        listener: TcpListener,
        ended: impl Future<Output = ()>,
        grace: Duration,
    ) -> Result<(), StartError> {
        let drained = self.accept_until(listener, ended, grace).await;
        self.close().await;
        match drained {
            true => Ok(()),
            false => Err(StartError::Failed("requests under way were cut".into())),
        }
    }

    /// Serves until `ended` and drains, but stays open.
    pub(crate) async fn accept_until(
        &self,
        listener: TcpListener,
        ended: impl Future<Output = ()>,
        grace: Duration,
    ) -> bool {
        let limits = self.settings().limits;
        let shutdown = Shutdown { grace, drain: limits.request };
        tokio::select! {
            drained = serve::run(self.http.clone(), listener, limits, ended, shutdown) => drained,
            () = self.auth.keep_up() => false,
            () = self.engine.clone().keep_up() => false,
            () = self.keep_fitting() => false,
            () = self.http.keep_watch() => false,
        }
    }

    /// Follows what other nodes do to the schema. When it is no longer this definition's, the definition is read again: it may have come
    /// to this node too. If it does not fit either, this node says that it is not ready, and goes on with what still works.
    async fn keep_fitting(&self) {
        let store = self.engine.store();
        if !store.is_shared() {
            return std::future::pending().await;
        }
        let mut notices = store.notices();
        let mut fitted = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(SCHEMA_POLL) => {}
                () = schema_changed(&mut notices) => {}
            }
            let fits = match self.fits(self.engine.app().model()).await {
                Ok(true) => true,
                Ok(false) => self.take_again().await,
                // Readiness asks the store itself.
                Err(_) => continue,
            };
            if fits != fitted {
                match fits {
                    true => tracing::info!("the database is at the definition again"),
                    false => tracing::error!(
                        "another node changed the schema, and the definition here does not fit it: not ready"
                    ),
                }
                self.http.fit(fits);
                fitted = fits;
            }
        }
    }

    /// Whether the database is at a definition, or its nodes can serve beside others on what it is at.
    async fn fits(&self, model: &Model) -> Result<bool, undergird_store::StoreError> {
        let store = self.engine.store();
        if Change::plan(store, model).await?.is_nothing() {
            return Ok(true);
        }
        let demanded = crate::migrations::demand(&self.builder.directory, store, model).await;
        Ok(matches!(demanded, Ok(Fits::Beside(_))))
    }

    /// Reads the definition again and takes it if the database is at it.
    async fn take_again(&self) -> bool {
        let Ok(Definition { model: Some(model), .. }) = self.reread() else { return false };
        if !matches!(self.fits(&model).await, Ok(true)) {
            return false;
        }
        tracing::info!("another node changed the schema; the definition was read again and fits");
        self.engine.replace(model);
        self.http.refresh();
        true
    }

    /// Finishes what is under way in the store, and closes it.
    pub async fn close(self) {
        // A courtesy: nothing waits for it for long.
        match tokio::time::timeout(LAST_WRITE_MAX, self.auth.write_key_uses()).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::warn!(?failure, "when keys were last used could not be written"),
            Err(_) => tracing::warn!("when keys were last used could not be written in time"),
        }
        self.engine.store().close().await;
    }
}

/// Waits until the schema changed, or may have.
async fn schema_changed(notices: &mut (impl Stream<Item = Notice> + Unpin)) {
    loop {
        match notices.next().await {
            Some(Notice::Schema | Notice::Missed) => return,
            Some(Notice::Announced(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// That a store can keep all that a definition says.
fn speakable(store: &Arc<dyn Store>, model: &Model) -> Result<(), StartError> {
    let lacking = undergird_store::sql::lacking(model, store.dialect());
    if !lacking.is_empty() {
        return Err(StartError::Schema(format!("the store cannot keep these rules:\n  {}", lacking.join("\n  "))));
    }
    let unknown = undergird_store::sql::unknown_forms(model, store.dialect());
    if !unknown.is_empty() {
        return Err(StartError::Schema(format!(
            "the store cannot read these columns of adopted tables:\n  {}",
            unknown.join("\n  ")
        )));
    }
    callable(store, model)
}

/// That adopted tables have what their models say.
async fn readable(engine: &Engine, model: &Arc<Model>) -> Result<(), StartError> {
    let told = engine.estranged(model).await;
    let told = told.map_err(|error| StartError::Failed(format!("cannot read the adopted tables: {error}")))?;
    if told.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = told.iter().map(|(collection, why)| format!("  {collection}: {why}")).collect();
    Err(StartError::Schema(format!(
        "adopted tables are not as their models say; change the models (or `undergird adopt` into another folder and compare):\n{}",
        lines.join("\n")
    )))
}

/// Holds a database to a definition, or brings it there. Gives what was done, in words.
async fn fit(store: &Arc<dyn Store>, model: &Model, policy: SchemaPolicy) -> Result<String, StartError> {
    let unreadable =
        |error: undergird_store::StoreError| StartError::Failed(format!("cannot read the schema: {error}"));
    speakable(store, model)?;
    let change = Change::plan(store, model).await.map_err(unreadable)?;
    if change.is_nothing() {
        raise_wall(store, model).await?;
        same_functions(store, model).await?;
        return Ok(String::new());
    }
    let accept_data_loss = match policy {
        SchemaPolicy::Follow { accept_data_loss } => accept_data_loss,
        SchemaPolicy::Demand | SchemaPolicy::Leave => {
            let steps = change.describe();
            let what = if change.fresh { "is empty" } else { "is not at the definition" };
            return Err(StartError::Schema(format!(
                "the database {what}; `undergird migrate` takes these steps (`--dry-run` shows their SQL):\n{steps}"
            )));
        }
    };
    match change.obstacle(accept_data_loss) {
        Some(Obstacle::Loss(losses)) => return Err(StartError::Loss(losses)),
        Some(Obstacle::Blocked(reasons)) => {
            return Err(StartError::Schema(format!("the schema cannot be changed so: {}", reasons.join("; "))));
        }
        None => {}
    }
    change.apply(store).await.map_err(StartError::Failed)?;
    raise_wall(store, model).await?;
    // After the change: what a function gives may be rows of a table that is only there now.
    same_functions(store, model).await?;
    Ok(change.describe())
}

/// Puts the rules around the tables once more, where that is asked for.
async fn raise_wall(store: &Arc<dyn Store>, model: &Model) -> Result<(), StartError> {
    store.raise_wall(model).await.map_err(|error| match error {
        undergird_store::StoreError::SchemaMismatch(why) => StartError::Schema(why),
        error => StartError::Failed(format!("the policies of row_security could not be made: {error}")),
    })
}

/// That a definition which declares functions has a store that can call them.
fn callable(store: &Arc<dyn Store>, model: &Model) -> Result<(), StartError> {
    let uncallable = undergird_store::sql::uncallable(model, store.dialect());
    if uncallable.is_empty() { Ok(()) } else { Err(StartError::Wrong(uncallable.join("\n"))) }
}

/// That the declared functions are those of the database.
async fn same_functions(store: &Arc<dyn Store>, model: &Model) -> Result<(), StartError> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let told = store.functions(model).await;
    let told = told.map_err(|error| StartError::Failed(format!("cannot read the database's functions: {error}")))?;
    if told.is_empty() {
        return Ok(());
    }
    Err(StartError::Schema(format!("the functions of the database are not as declared:\n  {}", told.join("\n  "))))
}
