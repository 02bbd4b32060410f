//! More requests than a server can answer: some are refused with a time, the others are answered, and probes all the while
//! (R6 of TRUST.md in small; `cargo xtask overload` measures).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Folder, Running, said};

/// More than may wait however long it takes, on any machine that runs tests.
fn many() -> usize {
    64 * std::thread::available_parallelism().map_or(2, usize::from).min(8)
}

/// A request on a connection that stays. Gives the answer's status, and its head.
fn ask(stream: &mut TcpStream, target: &str, key: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\napikey: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 64 * 1024]);
    loop {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "closed without an answer");
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        while bytes.len() < end + 4 + length {
            let read = stream.read(&mut piece).unwrap();
            assert_ne!(read, 0, "cut off");
            bytes.extend_from_slice(&piece[..read]);
        }
        return (head.split(' ').nth(1).unwrap().parse().unwrap(), head);
    }
}

fn shed(running: &Running, secret: &str) -> f64 {
    let bearer = format!("Bearer {secret}");
    let figures = running.send("GET", "/metrics", &[("Authorization", &bearer)], b"");
    let line = figures.text().lines().find_map(|line| line.strip_prefix("undergird_requests_shed_total ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn what_is_too_much_is_refused_at_once_and_the_rest_is_answered() {
    let blog = Folder::example("blog");
    let (code, _, errors) = said(&blog, &["seed", "--rows", "users=10,posts=2000"], &[]);
    assert_eq!(code, 0, "{errors}");
    let (code, keys, errors) = said(&blog, &["keys", "--json"], &[]);
    assert_eq!(code, 0, "{errors}");
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let (publishable, secret) = (keys["publishable_key"].as_str().unwrap(), keys["secret_key"].as_str().unwrap());
    let running = Running::start(&blog, "serve", &[]);

    let answers = Mutex::new(BTreeMap::<u16, usize>::new());
    let refusals = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let list = "/rest/v1/posts?select=*,author:users(id,name)&order=created_at.desc&limit=300";
    std::thread::scope(|scope| {
        for _ in 0..many() {
            scope.spawn(|| {
                let mut stream = running.connect();
                while !over.load(Ordering::Relaxed) {
                    let (status, head) = ask(&mut stream, list, publishable);
                    *answers.lock().unwrap().entry(status).or_default() += 1;
                    if status != 200 {
                        refusals.lock().unwrap().push(head);
                    }
                }
            });
        }
        // Until both have been seen: how long that takes is the machine's business.
        let begun = Instant::now();
        let mut probe = running.connect();
        while begun.elapsed() < Duration::from_secs(60) {
            assert_eq!(ask(&mut probe, "/health/ready", publishable).0, 200, "a probe is not refused");
            let seen = |status| answers.lock().unwrap().get(&status).copied().unwrap_or(0);
            if seen(200) > 100 && seen(503) > 100 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
    let answers = answers.into_inner().unwrap();
    assert!(answers.keys().all(|status| matches!(status, 200 | 503)), "{answers:?}");
    assert!(answers[&200] > 100 && answers.get(&503).is_some_and(|refused| *refused > 100), "{answers:?}");
    for head in refusals.into_inner().unwrap() {
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
    assert_eq!(shed(&running, secret), answers[&503] as f64);

    // And then all is as it was.
    let mut stream = running.connect();
    for _ in 0..50 {
        assert_eq!(ask(&mut stream, list, publishable).0, 200);
    }
    running.stop();
}
