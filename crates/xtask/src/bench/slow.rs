//! `cargo xtask slow`: what slow clients cost the others (R8 of TRUST.md).
//!
//! A client of 16 connections reads rows; then come 10,000 idle connections, 2,000 whose head never ends, 2,000 whose body comes at 100
//! bytes a second, and 50 that take nothing of long answers. Told: how the 16 fare before and in each five seconds after, what an idle
//! connection takes of memory, and after how long the slow ones were closed. Files open at once bound the numbers: `--part N` takes an
//! N-th of each.
//!
//! Absent: a verdict; `docs/performance.md` says what was seen.

use super::overload::{MANY, alone, client_cores, closed, reads};
use super::side::Work;
use super::start::Started;
use super::{at, ms, text};
use crate::process::run;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const IDLE: usize = 10_000;
const SLOW: usize = 2_000;
const DEAF: usize = 50;
/// How often the normal client is looked at, and how many times while the slow ones are there.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOWS: usize = 8;
/// Connections from one address: ports are few.
const BY_ADDRESS: usize = 5_000;

pub(crate) fn slow(root: &Path, given: &[String]) -> Result<(), String> {
    const USAGE: &str = "usage: cargo xtask slow [--part N] [--side NAME (of bench/sides)] [--built (use the release binaries as they are)]";
    let (mut part, mut built, mut side) = (1, false, "undergird".to_owned());
    let mut arguments = given.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--built" => built = true,
            "--side" => arguments.next().ok_or(USAGE)?.clone_into(&mut side),
            "--part" => {
                part = arguments.next().and_then(|part| part.parse().ok()).filter(|part| *part > 0).ok_or(USAGE)?
            }
            _ => return Err(USAGE.into()),
        }
    }
    if !built {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "undergird", "-p", "xtask"])?;
        let program = root.join("target/release/xtask");
        let client = client_cores();
        let part = part.to_string();
        return run(
            root,
            "taskset",
            &["-c", &client, text(&program)?, "slow", "--built", "--part", &part, "--side", &side],
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    tokio::task::LocalSet::new().block_on(&runtime, async { measure(alone(root, &side, &MANY).await?, part).await })
}

async fn measure(started: Started, part: usize) -> Result<(), String> {
    let Started { running, session } = started;
    let (long, health) = (session.long(), session.health());
    let create = session.request(Work::W1, 1, 0);
    let head = create.split("content-length:").next().unwrap_or_default();
    let body = format!("{head}content-length: 100000\r\n\r\n");
    let requests = reads(session);
    let before = closed(running.port, &requests, 16, WINDOW).await?;
    println!("before: {:.0} answers/s, {}", before.rate(), before.times());

    let resting = running.resident()?;
    let mut idle = Vec::new();
    for number in 0..IDLE / part {
        let mut stream = connect(running.port, number).await?;
        stream.write_all(health.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = [0u8; 4_096];
        stream.read(&mut answer).await.map_err(|error| error.to_string())?;
        idle.push(stream);
    }
    let grown = running.resident()?.saturating_sub(resting);
    println!("{} idle connections: {:.1} KiB each", idle.len(), grown as f64 / 1_024.0 / idle.len() as f64);

    let ended = [(); 3].map(|()| Rc::new(RefCell::new(Vec::new())));
    let [heads, bodies, deaf] = &ended;
    for number in 0..SLOW / part {
        let stream = connect(running.port, number).await?;
        drip(stream, b"GET /posts HTTP/1.1\r\n".to_vec(), b"x", heads);
        let stream = connect(running.port, number + BY_ADDRESS).await?;
        drip(stream, body.clone().into_bytes(), &[b' '; 100], bodies);
    }
    for number in 0..DEAF / part {
        let mut stream = connect(running.port, number).await?;
        // More than any buffer on the way takes.
        let many = long.repeat(100);
        let ended = deaf.clone();
        tokio::task::spawn_local(async move {
            let begun = Instant::now();
            let _ = stream.write_all(many.as_bytes()).await;
            // Closed is seen by writing alone: what was sent is not read.
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if stream.write_all(b"\r\n").await.is_err() {
                    ended.borrow_mut().push(begun.elapsed());
                    return;
                }
            }
        });
    }
    for _ in 0..WINDOWS {
        let seen = closed(running.port, &requests, 16, WINDOW).await?;
        println!("with them: {:.0} answers/s, {}", seen.rate(), seen.times());
    }
    let told = [("heads", SLOW), ("bodies", SLOW), ("deaf", DEAF)];
    for ((what, many), ended) in told.into_iter().zip(&ended) {
        let mut ended = ended.borrow_mut();
        ended.sort_unstable();
        let (half, last) = (at(&ended, 0.5), at(&ended, 1.0));
        println!(
            "{what}: {} of {} closed, after {:.1} s (median), {:.1} s (last)",
            ended.len(),
            many / part,
            half.as_secs_f64(),
            last.as_secs_f64()
        );
    }
    println!(
        "memory: {} MB before, {} MB now; p99 before: {:.1} ms",
        resting >> 20,
        running.resident()? >> 20,
        ms(before.at(0.99))
    );
    drop(idle);
    Ok(())
}

/// From one of several addresses of this machine, since one has only so many ports.
async fn connect(port: u16, number: usize) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("connect: {error}");
    let socket = TcpSocket::new_v4().map_err(failed)?;
    let last = u8::try_from(2 + number / BY_ADDRESS).map_err(|_| "too many connections")?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).map_err(failed)?;
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(failed)
}

/// Sends a beginning, and then a little each second until the other side has enough.
fn drip(mut stream: TcpStream, first: Vec<u8>, drop: &'static [u8], ended: &Rc<RefCell<Vec<Duration>>>) {
    let ended = ended.clone();
    tokio::task::spawn_local(async move {
        let begun = Instant::now();
        let mut open = stream.write_all(&first).await.is_ok();
        let mut answer = [0u8; 1_024];
        while open {
            tokio::select! {
                // An answer may come before the end does.
                read = stream.read(&mut answer) => open = matches!(read, Ok(1..)),
                () = tokio::time::sleep(Duration::from_secs(1)) => open = stream.write_all(drop).await.is_ok(),
            }
        }
        ended.borrow_mut().push(begun.elapsed());
    });
}
