//! The way of a request: id, limits, route, caller, body, handler, and what every answer gets.

use super::access_log::{AccessLog, AccessRecord};
use super::answer::Answer;
use super::body::{self, Linger};
use super::compress::compress;
use super::fault::Fault;
use super::forwarded;
use super::metrics::{Figures, Metrics};
use super::policy::Policy;
use super::request_id::{RequestId, RequestIds};
use super::route::Route;
use super::service;
use super::turnstile::{Turn, Turnstile};
use crate::auth::pages::{self, Dress, PageRequest};
use crate::auth::{self, AuthRequest};
use crate::problem::Problem;
use crate::rest::cursor::CursorKey;
use crate::rest::{batch, call, handler};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use undergird_engine::accounts::{Accounts, Unidentified};
use undergird_engine::observe::{Stage, Stages};
use undergird_engine::{App, Engine};
use undergird_model::diagnostic::nearest;
use undergird_model::field_type::wire;
use undergird_model::operation::{AuthOperation, MailOperation, OperationKind, PageOperation, ProviderOperation, RPC};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Identity, Refusal};

/// How long a request that is refused for overload waits for its answer. Reading and refusing costs as much as a short read of the database:
/// whoever asks again at once would have the server do nothing else. The refused pay for that, and nobody else.
const REFUSAL_TIME: Duration = Duration::from_millis(250);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Everything that all requests of a process share.
pub struct Http {
    engine: Arc<Engine>,
    accounts: Arc<dyn Accounts>,
    cursors: CursorKey,
    policy: ArcSwap<Policy>,
    dress: ArcSwap<Dress>,
    metrics: Metrics,
    log: Arc<AccessLog>,
    ids: RequestIds,
    draining: AtomicBool,
    unfit: AtomicBool,
    turnstile: Arc<Turnstile>,
}

/// What a connection knows about its requests.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other side's address.
    pub peer: IpAddr,
    /// Told when an answer went out before its request was read to the end.
    pub linger: Linger,
}

/// One request on its way through a handler.
pub struct Exchange<'a> {
    /// Runs plans.
    pub engine: &'a Arc<Engine>,
    /// The application as it was when the request came.
    pub app: &'a Arc<App>,
    /// Who is who.
    pub accounts: &'a Arc<dyn Accounts>,
    /// Seals cursors.
    pub cursors: &'a CursorKey,
    /// What is called.
    pub operation: OperationKind,
    /// What stands for `{key}` in the path, still percent-encoded.
    pub key: Option<&'a str>,
    /// Method, URI, headers.
    pub head: &'a Parts,
    /// The whole body.
    pub body: Bytes,
    /// The time and the dice of this request.
    pub moment: Moment,
    /// Where it came from.
    pub peer: IpAddr,
    /// Its name.
    pub id: RequestId,
    /// How long each stage took.
    pub stages: &'a mut Stages,
}

impl Exchange<'_> {
    /// A header as text. One that is not visible ASCII is as good as absent.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What follows the `?`.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// Who calls. Rows are asked for by [`serve`] itself; this is for operations that may be called without a good token.
    ///
    /// # Errors
    /// Credentials that are not good.
    pub fn identify(&self) -> Result<Caller, Unidentified> {
        identify(self.accounts, &self.head.headers, self.moment)
    }
}

impl Http {
    /// For an engine and its accounts. Nodes that serve one application need the same key of cursors.
    pub fn new(engine: Arc<Engine>, accounts: Arc<dyn Accounts>, cursors: CursorKey, log: Arc<AccessLog>) -> Arc<Http> {
        let metrics = Metrics::new();
        let policy = Policy::new(engine.app(), &metrics);
        let ids = RequestIds::new(engine.moment().entropy);
        let policy = ArcSwap::from_pointee(policy);
        Arc::new(Http {
            engine,
            accounts,
            cursors,
            policy,
            dress: ArcSwap::default(),
            metrics,
            log,
            ids,
            draining: AtomicBool::new(false),
            unfit: AtomicBool::new(false),
            turnstile: Turnstile::new(std::thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// Takes the engine's new application, after [`Engine::replace`].
    pub fn refresh(&self) {
        self.policy.store(Arc::new(Policy::new(self.engine.app(), &self.metrics)));
    }

    /// Dresses the sign-in pages, from now on.
    pub fn dress(&self, dress: Dress) {
        self.dress.store(Arc::new(dress));
    }

    /// From now on not ready: load balancers look elsewhere while requests under way end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`Http::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the database's schema is this definition's; when it is not, not ready.
    pub fn fit(&self, fits: bool) {
        self.unfit.store(!fits, Ordering::Relaxed);
    }

    /// Whether [`Http::fit`] said no.
    pub fn is_unfit(&self) -> bool {
        self.unfit.load(Ordering::Relaxed)
    }

    /// Looks whether there is too much to do, for as long as it is polled. Without this, nobody is ever refused for that.
    pub async fn keep_watch(&self) {
        let mut watch = tokio::task::JoinSet::new();
        // On a worker thread, as requests are: whoever waits for this may be on a thread of its own.
        watch.spawn(self.turnstile.clone().watch());
        watch.join_next().await;
    }

    /// Brings the figure of waiting requests up to date.
    pub(super) fn count_waiting(&self) {
        self.metrics.waiting.set(i64::try_from(self.turnstile.waiting()).unwrap_or(i64::MAX));
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Counts a request as under way while it is; also when its client leaves and the future is dropped.
struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// What is found out about a request on its way, for its log record and figures.
#[derive(Default)]
struct Found {
    operation: Option<usize>,
    role: Option<&'static str>,
    unread: bool,
}

/// Answers a request. Never fails: what goes wrong is an answer.
pub async fn serve<B>(http: &Http, connection: &Connection, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let started = Instant::now();
    http.metrics.in_flight.inc();
    let _in_flight = InFlight(&http.metrics);
    let id = http.ids.next();
    let policy = http.policy.load_full();
    let (head, body) = request.into_parts();
    let moment = http.engine.moment();
    let peer = forwarded::client(connection.peer, &head.headers, &policy.server.trusted_proxies);
    let mut found = Found::default();
    let mut stages = Stages::default();

    let way = Way { http, policy: &policy, head: &head, peer, id, moment };
    // A panic in a handler is one answer of 500, not the end of the connection's other requests.
    let work = AssertUnwindSafe(way.answer(body, &mut found, &mut stages)).catch_unwind();
    let answer = match work.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(fault)) => {
            found.unread |= fault.leaves_body_unread();
            if matches!(fault, Fault::Overloaded) {
                http.metrics.shed.inc();
                tokio::time::sleep(REFUSAL_TIME).await;
            }
            if let Some(cause) = fault.cause() {
                note_failure(&id, &head, cause);
            }
            let answer = fault.answer(&id);
            // RFC 9110 §15.5.6: whatever says 405 says what is allowed, also when the method is served but not like this.
            match policy.routes.allow(head.uri.path()) {
                Some(allow) if answer.status == StatusCode::METHOD_NOT_ALLOWED => answer.with_allow(allow),
                _ => answer,
            }
        }
        Err(_) => {
            http.metrics.panics.inc();
            tracing::error!(request_id = %id, method = %head.method, path = head.uri.path(), "a handler panicked");
            found.unread = true;
            Fault::Internal.answer(&id)
        }
    };
    let mut answer = compress(&head.headers, answer).await;

    let authenticated = found.role.is_some_and(|role| role != "anon");
    policy.secure(&mut answer.headers, authenticated);
    policy.origins.allow(&head.headers, &mut answer.headers);
    if head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        let allow = answer.headers.get(http::header::ALLOW).and_then(|allow| allow.to_str().ok()).map(str::to_owned);
        policy.origins.preflight(&head.headers, allow.as_deref().unwrap_or_default(), &mut answer.headers);
    }
    answer.headers.insert(X_REQUEST_ID, id.header());
    if head.version == http::Version::HTTP_2 {
        // Connections are not a header's business there (RFC 9113 §8.2.2).
        answer.headers.remove(CONNECTION);
    } else if found.unread {
        connection.linger.request();
    }
    let took = started.elapsed();
    if let Some(timing) = server_timing(&stages, took) {
        answer.headers.insert(SERVER_TIMING, timing);
    }

    let status = answer.status.as_u16();
    let figures: &Figures = match found.operation {
        Some(position) => &policy.figures[position],
        None => http.metrics.without_operation(),
    };
    figures.count(status, took, &stages);
    let record = AccessRecord {
        id,
        at: moment.now,
        operation: found.operation.map(|position| policy.names[position].clone()),
        status,
        bytes: answer.body.len(),
        took,
        role: found.role,
        peer,
        method: head.method.clone(),
    };
    http.log.push(record, head.uri.path());
    respond(&head.method, answer)
}

/// As hyper wants it. `HEAD` says how long the body would have been.
fn respond(method: &Method, mut answer: Answer) -> Response<Full<Bytes>> {
    if *method == Method::HEAD && !answer.body.is_empty() {
        answer.headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        answer.body = Bytes::new();
    }
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// `decode;dur=0.012, store;dur=0.304, total;dur=0.351`: milliseconds, by the W3C's Server Timing.
fn server_timing(stages: &Stages, total: Duration) -> Option<HeaderValue> {
    // Room for all of them, each of many minutes.
    let mut text = Vec::with_capacity(192);
    for (stage, time) in stages.iter().filter(|(_, time)| !time.is_zero()) {
        push_timing(&mut text, stage.name(), time);
        text.extend_from_slice(b", ");
    }
    push_timing(&mut text, "total", total);
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

fn push_timing(text: &mut Vec<u8>, name: &str, time: Duration) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b";dur=");
    wire::write_milliseconds(text, time);
}

/// What a request takes along.
struct Way<'a> {
    http: &'a Http,
    policy: &'a Arc<Policy>,
    head: &'a Parts,
    peer: IpAddr,
    id: RequestId,
    moment: Moment,
}

impl Way<'_> {
    async fn answer<B>(&self, body: B, found: &mut Found, stages: &mut Stages) -> Result<Answer, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Way { http, policy, head, .. } = self;
        // Until it is read; an answer before that leaves it in the connection.
        found.unread = !body.is_end_stream();
        let limits = &policy.limits;
        let length = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if length > limits.url_bytes as usize {
            return Err(Fault::UrlTooLong { max: limits.url_bytes });
        }
        let path = head.uri.path();
        if head.method == Method::OPTIONS {
            return self.options(path);
        }
        let (operation, key) = match policy.routes.find(head.method.as_str(), path) {
            Route::Found { operation, key } => (operation, key),
            Route::NotAllowed { allow } if path.starts_with(RPC) => return Err(call_not_allowed(allow)),
            Route::UnknownFunction { name } => return Err(self.unknown_function(name)),
            Route::NotAllowed { allow } => return Err(Fault::MethodNotAllowed { allow: allow.to_owned() }),
            Route::UnknownCollection { name } => return Err(self.unknown_collection(name)),
            Route::Missing => return Err(Fault::NotFound),
        };
        found.operation = Some(operation);
        let kind = policy.app.operations()[operation].kind;
        // Probes, figures and the contract are asked for by those who look after the server: they do not queue.
        let queues = !matches!(kind, OperationKind::Service(_));
        if queues && body.is_end_stream() && http.turnstile.refuses() {
            return Err(Fault::Overloaded);
        }
        let caller = if needs_caller(kind) {
            let started = Instant::now();
            let caller = identify(&http.accounts, &head.headers, self.moment);
            stages.add(Stage::Identify, started.elapsed());
            let caller = caller.inspect_err(|_| {
                http.metrics.auth_failures.inc();
            });
            let caller = caller.map_err(Fault::Unidentified)?;
            found.role = Some(caller.role());
            if matches!(caller.identity(), Identity::Secret) {
                http.metrics.secret_key_uses.inc();
            }
            Some(caller)
        } else {
            None
        };
        let body_bytes = match kind {
            OperationKind::Auth(_) | OperationKind::Page(_) => limits.body_bytes.min(auth::BODY_BYTES_MAX as u64),
            _ => limits.body_bytes,
        };
        let body = body::read(&head.headers, body, body_bytes, body::PACE).await?;
        found.unread = false;
        let turn = match queues {
            true => http.turnstile.enter().await.map_err(|_| Fault::Overloaded)?,
            false => None,
        };
        let exchange = Exchange {
            engine: &http.engine,
            app: &policy.app,
            accounts: &http.accounts,
            cursors: &http.cursors,
            operation: kind,
            key,
            head,
            body,
            moment: self.moment,
            peer: self.peer,
            id: self.id,
            stages,
        };
        let handled = tokio::time::timeout(limits.request, dispatch(http, policy, exchange, caller));
        while_polled_once(turn, handled).await.map_err(|_| Fault::Timeout)?
    }

    fn options(&self, path: &str) -> Result<Answer, Fault> {
        let allow = self.policy.routes.allow(path);
        let preflight =
            self.head.headers.contains_key(ORIGIN) && self.head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        match allow {
            Some(allow) => Ok(Answer::empty(StatusCode::NO_CONTENT).with_allow(allow)),
            // So that the page gets to see the 404 of the request itself, and not an opaque failure.
            None if preflight => Ok(Answer::empty(StatusCode::NO_CONTENT).with_allow(ANY_METHOD)),
            None => Err(Fault::NotFound),
        }
    }

    fn unknown_function(&self, name: &str) -> Fault {
        let names = self.policy.app.model().functions.iter().map(|function| function.name.as_str());
        let nearest = nearest(name, names).map(str::to_owned);
        Problem::from(Refusal::UnknownFunction { name: name.to_owned(), nearest }).into()
    }

    fn unknown_collection(&self, name: &str) -> Fault {
        let names = self.policy.app.model().public().map(|collection| collection.name.as_str());
        Fault::UnknownCollection { name: name.to_owned(), nearest: nearest(name, names).map(str::to_owned) }
    }
}

/// Which method calls a function is said by what it may do.
fn call_not_allowed(allow: &str) -> Fault {
    let hint = if allow.contains("GET") {
        "Call it by POST with a JSON object of arguments, or by GET with arguments in the query."
    } else {
        "Call it by POST: it is volatile, so it may change something."
    };
    Problem::new("PGRST101", 405, "The method does not call this function").with_hint(hint).into()
}

/// What a preflight for a path that is not there is told.
const ANY_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Whether the caller is asked for before the body is read. The auth surface asks by itself: a token that ran out must not keep
/// anybody from signing in.
fn needs_caller(kind: OperationKind) -> bool {
    match kind {
        OperationKind::List(_)
        | OperationKind::Read(_)
        | OperationKind::Create(_)
        | OperationKind::Update(_)
        | OperationKind::UpdateOne(_)
        | OperationKind::Replace(_)
        | OperationKind::ReplaceOne(_)
        | OperationKind::Delete(_)
        | OperationKind::DeleteOne(_)
        | OperationKind::Call(_)
        | OperationKind::Batch => true,
        OperationKind::Auth(_) | OperationKind::Page(_) | OperationKind::Service(_) => false,
    }
}

/// Keeps a turn until the future first waits for something, or is done.
async fn while_polled_once<F: Future>(turn: Option<Turn>, future: F) -> F::Output {
    let Some(turn) = turn else { return future.await };
    let (mut turn, mut future) = (Some(turn), std::pin::pin!(future));
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        turn.take();
        polled
    })
    .await
}

/// To each surface its own.
async fn dispatch(
    http: &Http,
    policy: &Policy,
    mut exchange: Exchange<'_>,
    caller: Option<Caller>,
) -> Result<Answer, Fault> {
    // Boxed but for rows: the largest of these would be the size of each request's future, which is moved several times.
    match (exchange.operation, caller) {
        (OperationKind::Service(operation), _) => Box::pin(service::handle(http, policy, operation, &exchange)).await,
        (OperationKind::Auth(operation), _) => Ok(Box::pin(auth_surface(http, operation, &exchange)).await),
        (OperationKind::Page(operation), _) => Box::pin(page(http, operation, &exchange)).await,
        (OperationKind::Call(id), Some(caller)) => {
            Box::pin(call::handle(&mut exchange, caller, id)).await.map_err(Fault::from)
        }
        (OperationKind::Batch, Some(caller)) => {
            Box::pin(batch::handle(&mut exchange, caller)).await.map_err(Fault::from)
        }
        (_, Some(caller)) => handler::handle(&mut exchange, caller).await.map_err(Fault::from),
        (_, None) => Err(Fault::Internal),
    }
}

/// What a client is not told, under the id that it is told.
fn note_failure(id: &RequestId, head: &Parts, cause: &str) {
    tracing::error!(request_id = %id, method = %head.method, path = head.uri.path(), cause, "a request failed inside");
}

async fn auth_surface(http: &Http, operation: AuthOperation, exchange: &Exchange<'_>) -> Answer {
    let follows = matches!(
        operation,
        AuthOperation::Mail(MailOperation::Follow)
            | AuthOperation::Provider(
                ProviderOperation::Authorize | ProviderOperation::Callback | ProviderOperation::Link
            )
    );
    if follows && exchange.head.method == Method::HEAD {
        // Mail scanners look at links this way. Following one uses something up, and a HEAD must change nothing.
        return Answer::empty(StatusCode::OK).with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let request = AuthRequest {
        operation,
        path: exchange.head.uri.path(),
        query: exchange.head.uri.query(),
        headers: &exchange.head.headers,
        body: &exchange.body,
        pages: pages::is_on(&exchange.app.model().settings, &http.dress.load()),
        peer: Some(exchange.peer),
        moment: exchange.moment,
    };
    let answer = auth::handle(request, &**exchange.accounts).await;
    if let Some(cause) = &answer.cause {
        note_failure(&exchange.id, exchange.head, cause);
    }
    Answer { status: answer.status, headers: answer.headers, body: answer.body.into() }
}

async fn page(http: &Http, operation: PageOperation, exchange: &Exchange<'_>) -> Result<Answer, Fault> {
    let request = PageRequest {
        operation,
        method: &exchange.head.method,
        path: exchange.head.uri.path(),
        query: exchange.head.uri.query(),
        headers: &exchange.head.headers,
        body: &exchange.body,
        peer: Some(exchange.peer),
        moment: exchange.moment,
    };
    let (settings, dress) = (&exchange.app.model().settings, http.dress.load_full());
    let answer = pages::show(request, settings, &dress, &**exchange.accounts).await.ok_or(Fault::NotFound)?;
    if let Some(cause) = &answer.cause {
        note_failure(&exchange.id, exchange.head, cause);
    }
    Ok(Answer { status: answer.status, headers: answer.headers, body: answer.body.into() })
}

fn identify(accounts: &Arc<dyn Accounts>, headers: &HeaderMap, moment: Moment) -> Result<Caller, Unidentified> {
    let credentials = auth::credentials(headers)?;
    accounts.identify(credentials, moment)
}
