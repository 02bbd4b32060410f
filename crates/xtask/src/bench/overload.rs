//! `cargo xtask overload`: what a server does when ten times as much comes as it can do (R6 of TRUST.md).
//!
//! Requests come at times of their own, not when the last was answered: an open loop over many connections. First the peak is found
//! (closed loops of several widths), then half of it is asked for, then `--times` as much for `--seconds`, then half again. A request for
//! which no connection was free within [`UNSENT`] was never sent, and is told apart: the connections' number bounds what a client can ask
//! of a server that answers late. The server has the first half of the machine's cores and the client the others (`taskset`).
//!
//! `--store` names an empty database to do it on; otherwise it is SQLite's. The database's server has whatever cores it likes. `--side`
//! names another server of `bench/sides`.
//!
//! Absent: a verdict; `docs/performance.md` says what was seen.

use super::client::Client;
use super::data::{Data, STORE};
use super::side::{Said, Session, Side, Work, publishable_key};
use super::start::{Started, start};
use super::{at, copy_directory, ms, text};
use crate::process::{Running, run, run_with};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How wide the closed loops are that find the peak.
const WIDTHS: [usize; 3] = [16, 64, 256];
/// How long each of them runs, and the quiet phase.
const SHORT: Duration = Duration::from_secs(5);
/// Good: answered within this.
const GOOD: Duration = Duration::from_secs(1);
/// For so long a request waits for a connection of the client's.
const UNSENT: Duration = Duration::from_millis(100);
/// How often health is asked for.
const PULSE: Duration = Duration::from_millis(50);
/// The slices in which it is looked whether all is well again.
const SLICE: Duration = Duration::from_millis(500);

struct Options {
    seconds: u64,
    times: f64,
    connections: usize,
    heavy: bool,
    built: bool,
    store: Option<String>,
    side: String,
}

pub(crate) fn overload(root: &Path, given: &[String]) -> Result<(), String> {
    let options = options(given)?;
    if !options.built {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "undergird", "-p", "xtask"])?;
        let again: Vec<&str> = ["overload", "--built"].into_iter().chain(given.iter().map(String::as_str)).collect();
        let client = client_cores();
        let program = root.join("target/release/xtask");
        let again: Vec<&str> = ["-c", &client, text(&program)?].into_iter().chain(again).collect();
        return run(root, "taskset", &again);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime, async {
        let started = match &options.store {
            Some(store) => on_store(root, store).await?,
            None => alone(root, &options.side, &MANY).await?,
        };
        phases(started, &options).await
    })
}

/// All clients have few addresses here.
pub(super) const MANY: [(&str, &str); 2] =
    [("UNDERGIRD_LIMITS_CONNECTIONS_PER_ADDRESS", "20000"), ("UNDERGIRD_LIMITS_CONNECTIONS", "20000")];

/// Posts that there are.
const ROWS: usize = 100_000;

/// A side on SQLite, on the first half of the cores.
pub(super) async fn alone(root: &Path, side: &str, environment: &[(&str, &str)]) -> Result<Started, String> {
    let side = Side::read(root, side)?;
    let mut data = Data::prepare(root, ROWS, None)?;
    start(root, &side, &mut data, false, &["taskset", "-c", &server_cores()], environment).await
}

/// Undergird on a database of a server's, on the first half of the cores.
async fn on_store(root: &Path, store: &str) -> Result<Started, String> {
    let app = root.join("target/bench/overload-store");
    let _ = fs::remove_dir_all(&app);
    copy_directory(&root.join("examples/blog"), &app)?;
    let undergird = root.join("target/release/undergird");
    let rows = format!("users={},posts={ROWS}", ROWS / 100);
    run_with(&undergird, &["seed", text(&app)?, "--rows", &rows], &[(STORE, store)])?;
    let environment: Vec<_> = MANY.into_iter().chain([(STORE, store)]).collect();
    let server = server_cores();
    let arguments = ["-c", &server, text(&undergird)?, "serve", text(&app)?, "--listen", "127.0.0.1:0"];
    let running = Running::start_with(Path::new("taskset"), &arguments, &environment)?;
    let said = Said { key: publishable_key(&undergird, &app)?, ..Said::default() };
    let session = Session::open(&Side::read(root, "undergird")?, running.port, said, false).await?;
    Ok(Started { running, session })
}

fn options(given: &[String]) -> Result<Options, String> {
    let mut options = Options {
        seconds: 30,
        times: 10.0,
        connections: 1_000,
        heavy: false,
        built: false,
        store: None,
        side: "undergird".into(),
    };
    let mut arguments = given.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse::<u32>().ok()).ok_or(USAGE);
        match argument.as_str() {
            "--built" => options.built = true,
            "--heavy" => options.heavy = true,
            "--store" => options.store = Some(arguments.next().ok_or(USAGE)?.clone()),
            "--side" => arguments.next().ok_or(USAGE)?.clone_into(&mut options.side),
            "--seconds" => options.seconds = number()?.into(),
            "--times" => options.times = number()?.into(),
            "--connections" => options.connections = number()? as usize,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

const USAGE: &str = "usage: cargo xtask overload [--seconds N] [--times N] [--connections N] [--heavy (long lists)] \
    [--store URL (an empty database)] [--side NAME (of bench/sides)] \
    [--built (use the release binaries as they are)]";

/// The first half of the machine's cores.
fn server_cores() -> String {
    format!("0-{}", (cores() / 2).saturating_sub(1))
}

/// The second half of the machine's cores.
pub(super) fn client_cores() -> String {
    format!("{}-{}", cores() / 2, cores().saturating_sub(1))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

async fn phases(started: Started, options: &Options) -> Result<(), String> {
    let Started { running, session } = started;
    let running = &running;
    let mix = if options.heavy { Mix::Long } else { Mix::Short };
    let requests = Rc::new(Requests { session, mix, next: RefCell::default() });
    let mut peak = 0.0f64;
    for width in WIDTHS {
        let begun = Instant::now();
        let seen = closed(running.port, &requests, width, SHORT).await?;
        let rate = seen.good as f64 / begun.elapsed().as_secs_f64();
        eprintln!("closed loop of {width}: {rate:.0} good/s, {}", seen.times());
        peak = peak.max(rate);
    }
    let resident = running.resident()?;
    let quiet = open(running, &requests, peak / 2.0, SHORT, options.connections).await?;
    eprintln!("half the peak: {quiet}");
    let time = Duration::from_secs(options.seconds);
    let over = open(running, &requests, peak * options.times, time, options.connections).await?;
    eprintln!("{} times the peak: {over}", options.times);
    let mut normal = None;
    let mut after = Vec::new();
    for slice in 0..10u32 {
        let seen = open(running, &requests, peak / 2.0, SLICE, options.connections).await?;
        let well = seen.shed + seen.bad + seen.late + seen.unsent == 0 && seen.at(0.99) <= quiet.at(0.99) * 2;
        if well && normal.is_none() {
            normal = Some(SLICE * slice);
        }
        after.push(seen);
    }
    let per_second = |count: usize, over: &Seen| count as f64 / over.took.as_secs_f64();
    println!("peak, good answers/s: {peak:.0}");
    println!("asked for, requests/s: {:.0}; sent: {:.0}", peak * options.times, per_second(over.sent(), &over));
    println!("goodput of the peak: {:.0} %", 100.0 * per_second(over.good, &over) / peak);
    println!("p99 of good answers: {:.1} ms; at half the peak: {:.1} ms", ms(over.at(0.99)), ms(quiet.at(0.99)));
    println!(
        "refused with 429 or 503 and a time: {}; answered late: {}; otherwise wrong: {}",
        over.shed, over.late, over.bad
    );
    println!("health p99: {:.1} ms, worst {:.1} ms, failed {}", ms(over.health(0.99)), ms(over.health(1.0)), over.ill);
    println!("resident: {} MB before, {} MB at most", resident >> 20, over.resident >> 20);
    match normal {
        Some(time) => println!("as before after: {time:?}"),
        None => println!("as before after: not within {:?}; {}", SLICE * 10, after[9]),
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Mix {
    Short,
    Long,
    Reads,
}

/// Reads of one row, by turns.
pub(super) fn reads(session: Session) -> Rc<Requests> {
    Rc::new(Requests { session, mix: Mix::Reads, next: RefCell::default() })
}

/// What is asked for, in turn: of twenty requests 12 read one row, 4 list 20, 2 list 20 with authors, 2 create; with `heavy`, 18 list
/// 200 with authors and 2 create.
pub(super) struct Requests {
    session: Session,
    mix: Mix,
    next: RefCell<usize>,
}

impl Requests {
    /// The next request, and whether it writes.
    fn next(&self) -> (String, bool) {
        let n = self.next.replace_with(|n| *n + 1);
        let work = match (n % 10, self.mix) {
            (_, Mix::Reads) => Work::R1,
            (9, _) => Work::W1,
            (_, Mix::Long) => return (self.session.long(), false),
            (0..6, _) => Work::R1,
            (6 | 7, _) => Work::R2,
            _ => Work::R3,
        };
        (self.session.request(work, 1, n), work == Work::W1)
    }
}

/// What came of a phase.
#[derive(Default)]
pub(super) struct Seen {
    good: usize,
    late: usize,
    shed: usize,
    bad: usize,
    unsent: usize,
    /// From sending a request to its answer; good ones, sorted at the end.
    latencies: Vec<Duration>,
    /// Those of writes alone.
    writes: Vec<Duration>,
    pulses: Vec<Duration>,
    ill: usize,
    first_bad: Option<String>,
    resident: u64,
    took: Duration,
}

impl Seen {
    fn count(&mut self, took: Duration, writes: bool, answer: Result<(u16, bool), String>) {
        match answer {
            Ok((200..300, _)) if took <= GOOD => {
                self.good += 1;
                self.latencies.push(took);
                if writes {
                    self.writes.push(took);
                }
            }
            Ok((200..300, _)) => self.late += 1,
            Ok((429 | 503, true)) => self.shed += 1,
            other => {
                self.bad += 1;
                self.first_bad.get_or_insert_with(|| format!("{other:?}"));
            }
        }
    }

    fn sent(&self) -> usize {
        self.good + self.late + self.shed + self.bad
    }

    pub(super) fn at(&self, share: f64) -> Duration {
        at(&self.latencies, share)
    }

    fn health(&self, share: f64) -> Duration {
        at(&self.pulses, share)
    }

    /// Good answers in a second.
    pub(super) fn rate(&self) -> f64 {
        self.good as f64 / self.took.as_secs_f64()
    }

    pub(super) fn times(&self) -> String {
        let writes = (ms(at(&self.writes, 0.5)), ms(at(&self.writes, 0.99)));
        let all = (ms(self.at(0.5)), ms(self.at(0.99)), ms(self.at(0.999)));
        let writes = format!("writes alone p50 {:.1}, p99 {:.1} ms", writes.0, writes.1);
        format!("p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms; {writes}", all.0, all.1, all.2)
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { good, late, shed, bad, unsent, ill, .. } = self;
        let per_second = *good as f64 / self.took.as_secs_f64();
        write!(f, "{good} good ({per_second:.0}/s), {late} late, {shed} refused with a time, {bad} otherwise wrong, ")?;
        write!(f, "{unsent} never sent; {}; health p99 {:.1} ms, {ill} failed", self.times(), ms(self.health(0.99)))?;
        self.first_bad.as_ref().map_or(Ok(()), |bad| write!(f, "; the first wrong one: {bad}"))
    }
}

/// Each of `width` clients asks again when it was answered.
pub(super) async fn closed(port: u16, requests: &Rc<Requests>, width: usize, time: Duration) -> Result<Seen, String> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let begun = Instant::now();
    let mut clients = Vec::with_capacity(width);
    for _ in 0..width {
        clients.push(Client::connect(port).await?);
    }
    let work = clients.into_iter().map(|mut client| {
        let (requests, seen) = (requests.clone(), seen.clone());
        async move {
            while begun.elapsed() < time {
                let sent = Instant::now();
                let (request, writes) = requests.next();
                let answer = client.send(&request).await.map(|(status, _)| status);
                let answer = answer.map(|status| (status, client.says_when()));
                let broken = answer.is_err();
                seen.borrow_mut().count(sent.elapsed(), writes, answer);
                if broken {
                    break;
                }
            }
        }
    });
    futures_util::future::join_all(work).await;
    let mut seen = seen.take();
    seen.took = begun.elapsed();
    seen.latencies.sort_unstable();
    seen.writes.sort_unstable();
    Ok(seen)
}

/// The requests that are due, each with its time.
#[derive(Default)]
struct Due {
    waiting: RefCell<VecDeque<Instant>>,
    more: Notify,
    over: RefCell<bool>,
}

impl Due {
    /// Waits for the next that is due. Gives whether there is one.
    async fn next(&self, seen: &RefCell<Seen>) -> bool {
        loop {
            while let Some(due) = self.waiting.borrow_mut().pop_front() {
                if due.elapsed() <= UNSENT {
                    return true;
                }
                seen.borrow_mut().unsent += 1;
            }
            if *self.over.borrow() {
                return false;
            }
            self.more.notified().await;
        }
    }
}

/// Requests come at `rate` a second, answered or not.
async fn open(
    running: &Running,
    requests: &Rc<Requests>,
    rate: f64,
    time: Duration,
    connections: usize,
) -> Result<Seen, String> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let due = Rc::new(Due::default());
    let mut workers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::connect(running.port).await?;
        let (requests, seen, due, port) = (requests.clone(), seen.clone(), due.clone(), running.port);
        workers.push(tokio::task::spawn_local(async move {
            while due.next(&seen).await {
                let sent = Instant::now();
                let (request, writes) = requests.next();
                let answer = client.send(&request).await.map(|(status, _)| status);
                let answer = answer.map(|status| (status, client.says_when()));
                let broken = answer.is_err();
                seen.borrow_mut().count(sent.elapsed(), writes, answer);
                if broken {
                    match Client::connect(port).await {
                        Ok(again) => client = again,
                        Err(_) => return,
                    }
                }
            }
        }));
    }
    let mut pulse = Client::connect(running.port).await?;
    let begun = Instant::now();
    let health = {
        let (seen, health) = (seen.clone(), requests.session.health());
        tokio::task::spawn_local(async move {
            for beat in 0.. {
                let at = begun + PULSE * beat;
                if at - begun >= time {
                    return;
                }
                tokio::time::sleep_until(at.into()).await;
                let answer = pulse.send(&health).await;
                let well = matches!(answer, Ok((200, _)));
                let mut seen = seen.borrow_mut();
                seen.ill += usize::from(!well);
                seen.pulses.push(at.elapsed());
            }
        })
    };
    let mut came = 0u64;
    let mut resident = 0;
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let wanted = (begun.elapsed().min(time).as_secs_f64() * rate) as u64;
        let mut waiting = due.waiting.borrow_mut();
        for number in came..wanted {
            waiting.push_back(begun + Duration::from_secs_f64(number as f64 / rate));
            due.more.notify_one();
        }
        // What nobody will send any more must not be kept either.
        while waiting.front().is_some_and(|at| at.elapsed() > UNSENT) {
            waiting.pop_front();
            seen.borrow_mut().unsent += 1;
        }
        if wanted / 1_000 != came / 1_000 {
            resident = resident.max(running.resident()?);
        }
        came = wanted;
    }
    let took = begun.elapsed();
    due.over.replace(true);
    due.more.notify_waiters();
    for worker in workers {
        // Those that sleep by now are woken by whoever looked before the end was said.
        due.more.notify_one();
        let _ = worker.await;
    }
    let _ = health.await;
    let mut seen = seen.take();
    seen.took = took;
    seen.resident = resident;
    seen.latencies.sort_unstable();
    seen.writes.sort_unstable();
    seen.pulses.sort_unstable();
    Ok(seen)
}
